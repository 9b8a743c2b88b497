"""Reading an answer's body: in one piece, whole or not at all.

`requests` hands a body out in pieces of 10 KB, which costs more than the network does; here it is one read. Truncation
shows as a length that does not match, a chunk that is missing, a gzip stream without its end, or headers that tell of
no body at all. A body that ends only because the connection does (neither a length nor chunks) cannot be checked here:
the reader of its content must, for which pages carry their total count.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

MAX_BODY_BYTES: Final = 1 << 30
"""More than the largest answer there can be: 100 series of 100,000 points each as protobuf are 280 MB. [ours]"""

_BODILESS: Final = frozenset({204, 304})

_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS


class BodyError(Exception):
    """A body that cannot be used; `kind` is `truncated`, `encoding` or `oversize`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def read_body(raw: Any, headers: Any) -> bytes:
    """The body as it crossed the wire, still encoded.

    Args:
        raw: the `urllib3` response of a streamed request.
        headers: its headers.

    Raises:
        BodyError: over `MAX_BODY_BYTES`.
        urllib3.exceptions.HTTPError: cut short, or the connection failed.
    """
    length = headers.get("Content-Length", "")
    if length.isdecimal():
        _check_size(int(length))
        body: bytes = raw.read(decode_content=False)
    else:
        body = raw.read(MAX_BODY_BYTES + 1, decode_content=False)
        _check_size(len(body))
        if not body and raw.status not in _BODILESS and "chunked" not in headers.get("Transfer-Encoding", "").lower():
            # http.client takes a connection that ends among the headers for their end: the length was still to come.
            raise BodyError("truncated", "neither a body nor its length: cut short among the headers")
    raw.release_conn()
    return body


def decode_body(body: bytes, encoding: str) -> bytes:
    """Undo the `Content-Encoding`.

    Raises:
        BodyError: a gzip stream that is broken, cut short or too large, or an encoding that nobody asked for.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip" | "deflate":
            return _inflate(body) if body else body
        case _:
            raise BodyError("encoding", f"Content-Encoding {encoding[:40]!r}, which was not asked for")


def _inflate(body: bytes) -> bytes:
    parts: list[bytes] = []
    size = 0
    while body:
        stream = zlib.decompressobj(_GZIP_OR_ZLIB)
        try:
            part = stream.decompress(body, MAX_BODY_BYTES + 1 - size)
        except zlib.error as error:
            raise BodyError("truncated", f"broken gzip: {error}") from None
        size += len(part)
        _check_size(size)
        if not stream.eof:
            raise BodyError("truncated", "gzip cut short")
        parts.append(part)
        body = stream.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _check_size(size: int) -> None:
    if size > MAX_BODY_BYTES:
        raise BodyError("oversize", f"a body of more than {MAX_BODY_BYTES} bytes")
