"""Decoding one response of the service in either of its two formats."""

from __future__ import annotations

from typing import Final, Literal, assert_never

from omnia_beam.wire.json_reading import decode_json_page
from omnia_beam.wire.page import Page
from omnia_beam.wire.protobuf import decode_page

BodyFormat = Literal["protobuf", "json"]
"""The values that `source.format` may have in the configuration."""

ACCEPT: Final[dict[BodyFormat, str]] = {"protobuf": "application/protobuf", "json": "application/json"}
"""The `Accept` header that requests each format. [sdk]"""


def decode_body(data: bytes | bytearray | memoryview, format: BodyFormat) -> Page:
    """Decode one response; see decode_page and decode_json_page. Raises WireFormatError."""
    if format == "protobuf":
        return decode_page(data)
    if format == "json":
        return decode_json_page(data)
    assert_never(format)
