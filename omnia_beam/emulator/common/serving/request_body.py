"""Reading and unpacking the body of a request, with a bound on its size."""

from __future__ import annotations

import zlib
from typing import Final

from aiohttp import web

from omnia_beam.emulator.common.serving.response import Refusal

_WINDOW_BITS: Final = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


async def read_body(request: web.Request, limit: int) -> bytes:
    """Return the body, at most `limit` bytes on the wire and unpacked; refuse a larger one with 413 as soon as it is known.

    Refuses with 400 a body that is cut short or not what its Content-Encoding names, with 415 another encoding than gzip
    and deflate.
    """
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", *_WINDOW_BITS):
        raise Refusal(415, "The Content-Encoding is not supported.")
    if not request.can_read_body:
        return b""
    if (request.content_length or 0) > limit:
        raise _too_large()
    stream = zlib.decompressobj(_WINDOW_BITS[encoding]) if encoding in _WINDOW_BITS else None
    parts: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        parts.append(chunk if stream is None else _unpacked(stream, chunk, limit + 1 - size))
        size += len(parts[-1])
        if size > limit:
            raise _too_large()
    if stream is not None and (not stream.eof or stream.unused_data):
        raise _broken()
    return b"".join(parts)


def _unpacked(stream: zlib._Decompress, chunk: bytes, most: int) -> bytes:
    """Return what a chunk unpacks to, cut at `most` bytes: one byte above the limit is enough to show an excess."""
    if stream.eof:
        raise _broken()
    try:
        return stream.decompress(chunk, most)
    except zlib.error:
        raise _broken() from None


def _too_large() -> Refusal:
    return Refusal(413, "The request body is too large.")


def _broken() -> Refusal:
    return Refusal(400, "The request body is not what its Content-Encoding says.")
