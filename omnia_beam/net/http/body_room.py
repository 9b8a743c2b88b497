"""Bound the memory of all bodies that the threads of a process read at the same time.

A body takes room as it grows. Where none is left, a thread waits, and stops reading from its socket, until others
have finished. One thread at a time may continue beyond the bound, up to its own body's limit, so that there is always one
that finishes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_LOOK_S: Final = 0.5


class BodyRoom:
    """The room in bytes for bodies that are being read. Thread-safe."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._changed = threading.Condition()
        self._used = 0
        self._beyond: object | None = None

    @property
    def used(self) -> int:
        """Bytes that are taken now."""
        return self._used

    @contextmanager
    def share(self) -> Iterator[RoomShare]:
        """Yield a share for one body; the room that it took is released at the end."""
        share = RoomShare(self)
        try:
            yield share
        finally:
            with self._changed:
                self._used -= share.taken
                if self._beyond is share:
                    self._beyond = None
                self._changed.notify_all()

    def take(self, share: RoomShare, size: int, is_given_up: Callable[[], bool]) -> None:
        with self._changed:
            while self._used + size > self._total and self._beyond not in (None, share):
                if is_given_up():
                    return
                self._changed.wait(_LOOK_S)
            if self._used + size > self._total:
                self._beyond = share
            self._used += size
            share.taken += size


class RoomShare:
    """The room that one body has taken."""

    def __init__(self, room: BodyRoom) -> None:
        self._room = room
        self.taken = 0

    def take(self, size: int, is_given_up: Callable[[], bool] = lambda: False) -> None:
        """Take `size` bytes more, after waiting for them; return without them when the body is given up meanwhile."""
        self._room.take(self, size, is_given_up)


class _Shared:
    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.room = BodyRoom(256 << 20)


_shared: Final = _Shared()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.forget)


def shared_room() -> BodyRoom:
    """Return this process's room of 256 MiB."""
    return _shared.room
