"""Continuation tokens: where the next page of a query begins, sealed so that no client can make or alter one.

A token holds positions as times, not as indices, so that it stays right while points are added and removed. It
contains the query that it belongs to (everything but the limit), when it was issued, and where its own page had begun.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from omnia_beam.emulator.common.serving.response import Refusal

START: Final = "start"
DONE: Final = "done"
Position = int | str
"""Where a series stands in a paged query: START, DONE, or the time (ns) of the last row that was sent."""

_VERSION = 1
_HEAD = struct.Struct("<B8sQH")
_SEAL_BYTES = 12


@dataclass(frozen=True, slots=True)
class PageToken:
    """The positions where the page of this token begins, and where the page that issued it began."""

    positions: tuple[Position, ...]
    before: tuple[Position, ...]


class TokenSealer:
    """A maker and reader of tokens. A token is refused `ttl_s` seconds after it was issued; with None, never."""

    def __init__(self, seed: int, ttl_s: float | None) -> None:
        self._key = hashlib.blake2b(f"continuation {seed}".encode(), digest_size=32).digest()
        self._ttl_s = ttl_s

    def seal(self, query: Any, token: PageToken, now_ns: int) -> str:
        """Return the text of a token for a query, which is any JSON content."""
        payload = _HEAD.pack(_VERSION, _fingerprint(query), now_ns // 1_000_000, len(token.positions))
        payload += _packed(token.positions) + _packed(token.before)
        return base64.urlsafe_b64encode(payload + self._seal_of(payload)).decode().rstrip("=")

    def unseal(self, query: Any, text: str, now_ns: int) -> PageToken:
        """Read a token; refuse with 400 one that is expired, of another query, or not issued by this emulator."""
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            payload, seal = sealed[:-_SEAL_BYTES], sealed[-_SEAL_BYTES:]
            if not hmac.compare_digest(seal, self._seal_of(payload)):
                raise ValueError("seal")
            version, fingerprint, given_ms, count = _HEAD.unpack_from(payload)
        except (ValueError, binascii.Error, struct.error):
            raise Refusal(400, "The continuation token is not valid.") from None
        if version != _VERSION or fingerprint != _fingerprint(query):
            raise Refusal(400, "The continuation token belongs to another query.")
        if self._ttl_s is not None and now_ns // 1_000_000 - given_ms > self._ttl_s * 1000:
            raise Refusal(400, "The continuation token has expired.")
        positions, end = _unpacked(payload, _HEAD.size, count)
        before, _ = _unpacked(payload, end, count)
        return PageToken(positions, before)

    def _seal_of(self, payload: bytes) -> bytes:
        return hashlib.blake2b(payload, key=self._key, digest_size=_SEAL_BYTES).digest()


def _fingerprint(query: Any) -> bytes:
    return hashlib.blake2b(orjson.dumps(query, option=orjson.OPT_SORT_KEYS), digest_size=8).digest()


def _packed(positions: Sequence[Position]) -> bytes:
    kinds = bytes(0 if position == START else 1 if position == DONE else 2 for position in positions)
    times = [position for position in positions if isinstance(position, int)]
    return kinds + struct.pack(f"<{len(times)}q", *times)


def _unpacked(payload: bytes, offset: int, count: int) -> tuple[tuple[Position, ...], int]:
    kinds = payload[offset : offset + count]
    timed = kinds.count(2)
    times = iter(struct.unpack_from(f"<{timed}q", payload, offset + count))
    positions = tuple(START if kind == 0 else DONE if kind == 1 else next(times) for kind in kinds)
    return positions, offset + count + 8 * timed
