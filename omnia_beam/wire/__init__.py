"""Conversion between bytes and columns: the protobuf and JSON forms of the Omnia Timeseries API."""

from typing import assert_never

from omnia_beam.core.errors import WireFormatError
from omnia_beam.core.window import BodyFormat
from omnia_beam.wire.json_reading import decode_json_page
from omnia_beam.wire.json_writing import SeriesPoints, encode_datapoints, encode_series_datapoints
from omnia_beam.wire.page import ItemScan, Page, PageItem, PageScan
from omnia_beam.wire.protobuf import decode_page, item_bytes, read_continuation_token, scan_page

__all__ = [
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
    "item_bytes",
    "read_continuation_token",
    "scan_page",
]


def decode_body(data: bytes | bytearray | memoryview, format: BodyFormat) -> Page:
    """Decode one response in either format and return its page; see decode_page and decode_json_page.

    Raises:
        WireFormatError: the bytes do not follow the format.
    """
    if format == "protobuf":
        return decode_page(data)
    if format == "json":
        return decode_json_page(data)
    assert_never(format)
