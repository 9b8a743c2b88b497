"""Sending a response, either intact or damaged as the fault rules require."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiohttp import web

from omnia_beam.emulator.common.serving.response import Buffer, ServiceResponse

_SLICES_A_SECOND = 10
_AT_ONCE = 1 << 18


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a response is sent: the connection reset instead, the body cut off half way, or at so many bytes a second."""

    reset: bool = False
    truncate: bool = False
    bytes_per_s: float | None = None


async def deliver(request: web.Request, answer: ServiceResponse, delivery: Delivery) -> web.StreamResponse:
    """Send the response part by part, with its length announced."""
    if delivery.reset:
        reset_connection(request)
        return web.Response()
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_type = answer.content_type
    response.content_length = answer.size
    await response.prepare(request)
    if request.method == "HEAD":  # a body would be read as the next response of the connection
        await response.write_eof()
        return response
    left = answer.size // 2 if delivery.truncate else answer.size
    for part in _gathered(answer.parts):
        view = memoryview(part)[:left]
        left -= len(view)
        await _write(response, view, delivery.bytes_per_s)
    if delivery.truncate:
        await asyncio.sleep(0)
        if request.transport is not None:
            request.transport.close()
        return response
    await response.write_eof()
    return response


def _gathered(parts: Sequence[Buffer]) -> Iterator[Buffer]:
    """Yield the parts with short ones joined: a write to a socket costs more than a copy of a few kilobytes."""
    short: list[Buffer] = []
    size = 0
    for part in parts:
        if short and size + len(part) > _AT_ONCE:
            yield b"".join(short)
            short, size = [], 0
        if len(part) > _AT_ONCE:
            yield part
        else:
            short.append(part)
            size += len(part)
    if short:
        yield b"".join(short)


def reset_connection(request: web.Request) -> None:
    """End the connection with a TCP reset, which is what a client sees of a crashed gateway."""
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        # Linger for zero seconds: close() then sends RST instead of FIN.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _write(response: web.StreamResponse, view: memoryview, bytes_per_s: float | None) -> None:
    size = _AT_ONCE if bytes_per_s is None else max(1, int(bytes_per_s / _SLICES_A_SECOND))
    for start in range(0, len(view), size):
        await response.write(view[start : start + size])
        if bytes_per_s is not None:
            await asyncio.sleep(1 / _SLICES_A_SECOND)
