"""One answer of the service, in whichever of its two formats it was asked for."""

from __future__ import annotations

from typing import Final, Literal, assert_never

from omnia_beam.wire.json_reading import decode_json_page
from omnia_beam.wire.page import Page
from omnia_beam.wire.protobuf import decode_page

BodyFormat = Literal["protobuf", "json"]
"""What `source.format` in the configuration may say."""

ACCEPT: Final[dict[BodyFormat, str]] = {"protobuf": "application/protobuf", "json": "application/json"}
"""The `Accept` header that asks for each. [sdk]"""


def decode_body(data: bytes | bytearray | memoryview, format: BodyFormat) -> Page:
    """Decode one answer; see decode_page and decode_json_page. Raises WireFormatError."""
    if format == "protobuf":
        return decode_page(data)
    if format == "json":
        return decode_json_page(data)
    assert_never(format)
