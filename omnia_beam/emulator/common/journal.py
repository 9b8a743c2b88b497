"""The writes on disk: an append-only log that is synced before a write is acknowledged.

    magic, then records: length (uint32), CRC-32 of the payload (uint32), payload; little-endian

Requests that come while a sync is running share the next one. An incomplete last record is what a crash left of a
write that was never acknowledged: it is dropped. A damaged record with more records behind it has another cause, a
change of the file from outside, and is refused.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final

MAGIC: Final = b"omnia-beam emulator state 1\n"
_RECORD = struct.Struct("<II")
_LOG = logging.getLogger(__name__)


def read_records(path: Path) -> list[bytes]:
    """Return the payloads of a log, none where there is no file.

    Raises ValueError where the log is damaged or of another version.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    if not content.startswith(MAGIC):
        if MAGIC.startswith(content):
            return []
        raise ValueError(f"{path}: not a state of this version of the emulator; use another --state-dir")
    payloads, offset = [], len(MAGIC)
    while offset + _RECORD.size <= len(content):
        length, checksum = _RECORD.unpack_from(content, offset)
        end = offset + _RECORD.size + length
        if end > len(content):
            break
        payload = content[offset + _RECORD.size : end]
        if zlib.crc32(payload) != checksum:
            if end == len(content):
                break
            raise ValueError(f"{path}: the record at byte {offset} is damaged, with more records behind it")
        payloads.append(payload)
        offset = end
    if offset < len(content):
        _LOG.warning("%s: dropped %d bytes of a record that was never whole", path, len(content) - offset)
    return payloads


class Journal:
    """The open log of a state directory, for one emulator at a time. Raises OSError where another has it open."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "state.log"
        self._folder = folder
        self._lock = _locked(folder / "lock")
        self._file: IO[bytes] | None = None
        self._queue: list[tuple[bytes, asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._broken = False

    def begin(self, payloads: Iterable[bytes]) -> None:
        """Replace the log with these records, all or nothing, and open it for more."""
        fresh = self._folder / "state.log.new"
        with fresh.open("wb") as file:
            file.write(MAGIC)
            for payload in payloads:
                file.write(_framed(payload))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        directory = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self._file = self.path.open("ab")

    async def commit(self, payload: bytes) -> None:
        """Append a record and return when it is on disk. Raises OSError where the disk refused it or an earlier one."""
        done = asyncio.get_running_loop().create_future()
        self._queue.append((_framed(payload), done))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        await done

    async def close(self) -> None:
        """Wait for the writes that are running, close the log and release the directory."""
        if self._flushing is not None:
            await self._flushing
        if self._file is not None:
            self._file.close()
            self._file = None
        os.close(self._lock)

    async def _flush(self) -> None:
        while self._queue:
            batch, self._queue = self._queue, []
            try:
                await asyncio.to_thread(self._write, b"".join(frame for frame, _ in batch))
            except OSError as error:
                self._broken = True
                for _, done in batch:
                    done.set_exception(OSError(error.errno, f"the state cannot be written: {error.strerror}"))
                continue
            for _, done in batch:
                done.set_result(None)

    def _write(self, frames: bytes) -> None:
        if self._broken or self._file is None:
            # A record after a half-written one would be unreachable on the next start.
            raise OSError(5, "an earlier write failed")
        self._file.write(frames)
        self._file.flush()
        os.fsync(self._file.fileno())


def _framed(payload: bytes) -> bytes:
    return _RECORD.pack(len(payload), zlib.crc32(payload)) + payload


def _locked(path: Path) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise OSError(f"--state-dir {path.parent}: another emulator is using it") from None
    return lock
