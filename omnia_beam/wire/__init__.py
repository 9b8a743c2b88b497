"""Conversion between bytes and columns: the protobuf and JSON forms of the Omnia Timeseries API."""

from omnia_beam.core.errors import WireFormatError
from omnia_beam.wire.body import BodyFormat, decode_body
from omnia_beam.wire.json_reading import decode_json_page
from omnia_beam.wire.json_writing import SeriesPoints, encode_datapoints, encode_series_datapoints
from omnia_beam.wire.page import ItemScan, Page, PageItem, PageScan
from omnia_beam.wire.protobuf import decode_page, read_continuation_token, scan_page

__all__ = [
    "BodyFormat",
    "ItemScan",
    "Page",
    "PageItem",
    "PageScan",
    "SeriesPoints",
    "WireFormatError",
    "decode_body",
    "decode_json_page",
    "decode_page",
    "encode_datapoints",
    "encode_series_datapoints",
    "read_continuation_token",
    "scan_page",
]
