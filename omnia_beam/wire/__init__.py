"""Bytes to columns and back: the protobuf and JSON forms of the Omnia Timeseries API."""

from omnia_beam.wire.page import ItemScan, Page, PageItem, PageScan
from omnia_beam.wire.protobuf import decode_page, read_continuation_token, scan_page

__all__ = ["ItemScan", "Page", "PageItem", "PageScan", "decode_page", "read_continuation_token", "scan_page"]
