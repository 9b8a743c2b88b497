"""Read the body of a response: whole or not at all, and never more than the largest possible size.

A small body is one read, because `requests` returns it in pieces of 10 KB, which costs more than the network does. A large
or compressed one is read and inflated piece by piece into one buffer, so that no second copy exists and a body without an
end stops at its limit. Truncation shows as a length that does not match, a missing chunk, a gzip stream without
its end, or headers that announce no body at all. A body that ends only because the connection does (neither a length nor
chunks) cannot be checked here: the reader of its content has to check it, and for that purpose pages carry their total count.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from omnia_beam.net.http.body_room import RoomShare

MAX_BODY_BYTES: Final = 600 << 20
"""Twice the largest possible response: 100 series of 100,000 points each as protobuf are 280 MB. [ours]"""

MAX_ERROR_BYTES: Final = 256 << 10
"""Bytes that are read of an error's body: the rest adds no information. [ours]"""

_FLOOR_BYTES: Final = 16 << 20
_FACTOR: Final = 2

_BODILESS: Final = frozenset({204, 304})

_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS

_PIECE: Final = 1 << 20
_ONE_READ: Final = 4 << 20


class BodyError(Exception):
    """The body cannot be used; `kind` is `truncated`, `encoding` or `oversize`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Body:
    """A decoded body. `wire_bytes` is its size as it crossed the wire; `is_cut` means that a part beyond the limit was not read."""

    content: bytes
    wire_bytes: int
    is_cut: bool = False


def most_page_bytes(series: int, page_limit: int, bytes_a_point: int) -> int:
    """Return the largest body that a page can have: twice what its points take, and 16 MiB at least.

    Whether the limit of a page counts per series or per response is unknown: per series is assumed.
    """
    return min(MAX_BODY_BYTES, max(_FLOOR_BYTES, _FACTOR * series * page_limit * bytes_a_point))


def read_body(
    raw: Any,
    headers: Any,
    *,
    most_bytes: int = MAX_BODY_BYTES,
    share: RoomShare | None = None,
    is_given_up: Callable[[], bool] = lambda: False,
) -> Body:
    """Read a body, undo its Content-Encoding and return it.

    Args:
        raw: the `urllib3` response of a streamed request.
        headers: its headers.
        most_bytes: a larger body is refused; the body of an error is cut at `MAX_ERROR_BYTES` instead.
        share: takes room for the body.
        is_given_up: returns whether the exchange has ended while the reader waits for room.

    Raises:
        BodyError: too large, broken, cut short, or in an encoding that was not requested.
        urllib3.exceptions.HTTPError: cut short, or the connection failed.
    """
    encoding = headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise BodyError("encoding", f"Content-Encoding {encoding[:40]!r}, which was not requested")
    is_error = raw.status >= 300
    sink = _Sink(MAX_ERROR_BYTES if is_error else most_bytes, share, is_given_up)
    length = headers.get("Content-Length", "")
    if length.isdecimal() and not is_error:
        sink.check(int(length))
    is_encoded = encoding not in ("", "identity")
    wire = _Wire(raw, length)
    try:
        content = _inflated(wire, sink) if is_encoded else _plain(wire, sink)
    except _Full:
        if not is_error:
            raise BodyError(
                "oversize", f"a body of more than {most_bytes:,} bytes, the most that it can rightly be"
            ) from None
        # The unread rest makes the connection useless for another request.
        raw.close()
        return Body(sink.content(), wire.size, is_cut=True)
    if not wire.size and not wire.has_end and raw.status not in _BODILESS:
        # http.client treats a connection that ends among the headers as their end; the length was in the missing part.
        raise BodyError("truncated", "neither a body nor its length: cut short among the headers")
    raw.release_conn()
    return Body(content, wire.size)


class _Full(Exception):
    """The body exceeds its limit."""


class _Sink:
    """A buffer that gathers one body and returns its content without a copy."""

    def __init__(self, most_bytes: int, share: RoomShare | None, is_given_up: Callable[[], bool]) -> None:
        self._most_bytes = most_bytes
        self._share = share
        self._is_given_up = is_given_up
        self._buffer = io.BytesIO()
        self.size = 0

    @property
    def room(self) -> int:
        """Bytes that may still be written."""
        return self._most_bytes - self.size

    def check(self, size: int) -> None:
        if size > self._most_bytes:
            raise BodyError(
                "oversize", f"a body of {size:,} bytes where {self._most_bytes:,} are the most that it can rightly be"
            )

    def write(self, piece: bytes) -> None:
        if len(piece) > self.room:
            self._buffer.write(piece[: self.room])
            self.size = self._most_bytes
            raise _Full
        self.take(len(piece))
        self._buffer.write(piece)
        self.size += len(piece)

    def take(self, size: int) -> None:
        """Take `size` bytes of the room that all bodies share."""
        if self._share is not None and size:
            self._share.take(size, self._is_given_up)

    def content(self) -> bytes:
        return self._buffer.getvalue()


class _Wire:
    """The bytes of a body as they arrive."""

    def __init__(self, raw: Any, length: str) -> None:
        self._raw = raw
        self.length = int(length) if length.isdecimal() else 0
        self._has_length = length.isdecimal()
        self.has_end = self._has_length or "chunked" in raw.headers.get("Transfer-Encoding", "").lower()
        self.size = 0

    @property
    def is_small(self) -> bool:
        return self._has_length and self.length <= _ONE_READ

    def whole(self) -> bytes:
        body: bytes = self._raw.read(decode_content=False)
        self.size = len(body)
        return body

    def pieces(self) -> Iterator[bytes]:
        if self.is_small:
            yield self.whole()
            return
        while piece := self._raw.read(_PIECE, decode_content=False):
            self.size += len(piece)
            yield piece


def _plain(wire: _Wire, sink: _Sink) -> bytes:
    if wire.is_small and sink.room >= wire.length:
        sink.take(wire.length)
        return wire.whole()
    for piece in wire.pieces():
        sink.write(piece)
    return sink.content()


def _inflated(wire: _Wire, sink: _Sink) -> bytes:
    """Undo gzip or deflate, of one stream or several after each other, and return the content."""
    stream = None
    for piece in wire.pieces():
        rest = piece
        while rest:
            if stream is None or stream.eof:
                stream = zlib.decompressobj(_GZIP_OR_ZLIB)
            try:
                sink.write(stream.decompress(rest, min(_PIECE, sink.room + 1)))
            except zlib.error as error:
                raise BodyError("truncated", f"broken gzip: {error}") from None
            rest = stream.unused_data if stream.eof else stream.unconsumed_tail
    if stream is not None and not stream.eof:
        while part := stream.decompress(b"", min(_PIECE, sink.room + 1)):
            sink.write(part)
        if not stream.eof:
            raise BodyError("truncated", "gzip cut short")
    return sink.content()
