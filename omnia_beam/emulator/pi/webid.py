"""WebIds: opaque to clients. Those of points hold the point's id, so that a renamed point keeps them and a deleted one loses them.

A type (`F` Full, `I` IDOnly, `P` PathOnly), a version (`1`), a marker of two letters, then base64 of the id and the path.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

WebIdType: TypeAlias = Literal["Full", "IDOnly", "PathOnly"]
TYPES: Final[dict[str, WebIdType]] = {"full": "Full", "idonly": "IDOnly", "pathonly": "PathOnly"}

SERVER: Final = "DS"
POINT: Final = "DP"
SET: Final = "MS"
SET_VALUE: Final = "MV"

_ID_BYTES: Final = 20
_ID_CHARS: Final = 27


@dataclass(frozen=True, slots=True)
class Reference:
    """What a WebId refers to: the number of an object of that marker, or its path."""

    marker: str
    number: int | None
    path: str | None


def web_id(kind: WebIdType, marker: str, server: uuid.UUID, number: int, path: str) -> str:
    r"""Return the WebId of an object; `path` has no leading backslashes, as in `EMU\SINUSOID`."""
    head = f"{kind[0]}1{marker}"
    identity = _text_of(server.bytes_le + number.to_bytes(4, "little"))
    name = _text_of(path.upper().encode())
    return head + ("" if kind == "PathOnly" else identity) + ("" if kind == "IDOnly" else name)


def parse_web_id(text: str, server: uuid.UUID) -> Reference | None:
    """Return what a WebId of this server refers to, or None where it is none."""
    kind, marker, rest = text[:1], text[2:4], text[4:]
    if text[1:2] != "1" or kind not in ("F", "I", "P"):
        return None
    try:
        if kind == "P":
            return Reference(marker, None, _bytes_of(rest).decode())
        if kind == "I" and len(rest) != _ID_CHARS:
            return None
        identity = _bytes_of(rest[:_ID_CHARS])
        _bytes_of(rest[_ID_CHARS:]).decode()
    except (ValueError, binascii.Error):
        return None
    if len(identity) != _ID_BYTES or identity[:16] != server.bytes_le:
        return None
    return Reference(marker, int.from_bytes(identity[16:], "little"), None)


def _text_of(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _bytes_of(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
