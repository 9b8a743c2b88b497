"""Read one segment: what a writer appended, up to where it was torn off.

A writer that dies leaves at most one record without its newline, at the very end. That record was never acknowledged; it is
dropped and reported. Anything else that does not match its checksum is damage, which raises StateError without any guess.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from omnia_beam.core.errors import StateError
from omnia_beam.ledger.record import (
    SegmentHeader,
    UnknownVersionError,
    is_whole,
)
from omnia_beam.ledger.state_dir import StateDir, state_error
from omnia_beam.ledger.table import batch_of_records

BLOCK_BYTES: Final = 1 << 20
_KEPT_BYTES: Final = 64 << 20


class SegmentCache:
    """The content of segments that were read from an object store, where a segment never changes: a run reads each once.

    What exceeds 64 MiB is read again each time.
    """

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}
        self._left = _KEPT_BYTES

    def opened(self, state_dir: StateDir, name: str) -> BinaryIO:
        """Open a segment for reading.

        Raises:
            FileNotFoundError: the file does not exist.
            StateError: it cannot be read.
        """
        if state_dir.can_append:  # another writer may be adding to it
            return state_dir.open_file(f"ledger/{name}")
        data = self._kept.get(name)
        if data is None:
            data = state_dir.read(f"ledger/{name}")
            if data is None:
                raise FileNotFoundError(state_dir.path(f"ledger/{name}"))
            if len(data) <= self._left:
                self._kept[name] = data
                self._left -= len(data)
        return io.BytesIO(data)


class SegmentReader:
    """Reader of one segment's records as batches of `ledger_table.SCHEMA`; the attributes below are valid when `batches` has ended.

    Args:
        state_dir: in whose `ledger/` the segment is.
        name: the file's name.
        until: number of bytes to read at most; None to read to the end.
        cache: of the ledger.

    Attributes:
        header: the segment's header; None where even the header is not whole.
        length: number of bytes that hold whole records. Passed as `until`, it gives the same batches again, also when a living
            writer has added to the file since.
        torn: number of bytes after those.
    """

    def __init__(
        self, state_dir: StateDir, name: str, until: int | None = None, cache: SegmentCache | None = None
    ) -> None:
        self.name = name
        self._cache = cache or SegmentCache()
        self.header: SegmentHeader | None = None
        self.length = 0
        self.torn = 0
        self._state_dir = state_dir
        self._until = until
        self._line = 0

    @property
    def path(self) -> str:
        return self._state_dir.path(f"ledger/{self.name}")

    def batches(self) -> Iterator[Any]:
        """Yield the records.

        Raises:
            FileNotFoundError: the file does not exist.
            StateError: it cannot be read, or is damaged.
        """
        with self._cache.opened(self._state_dir, self.name) as file:
            for lines in self._whole_lines(file):
                if self.header is None:
                    self._take_header(lines.pop(0))
                if lines:
                    yield self._batch(lines)
                self._line += len(lines)

    def _whole_lines(self, file: BinaryIO) -> Iterator[list[bytes]]:
        rest = b""
        left = self._until
        while left is None or left > 0:
            try:
                block = file.read(BLOCK_BYTES if left is None else min(left, BLOCK_BYTES))
            except FileNotFoundError:
                raise
            except OSError as error:
                raise state_error(self.path, "read", error) from error
            if not block:
                break
            left = None if left is None else left - len(block)
            whole, newline, rest = (rest + block).rpartition(b"\n")
            if newline:
                self.length += len(whole) + 1
                yield whole.split(b"\n")
        if not rest:
            return
        if is_whole(rest):  # only the newline is missing: the record was written completely, so it counts
            self.length += len(rest)
            yield [rest]
        else:
            self.torn = len(rest)

    def _take_header(self, line: bytes) -> None:
        self._line = 1
        try:
            header = SegmentHeader.from_line(line)
        except UnknownVersionError as error:
            raise self._error(f"{error}") from error
        except ValueError as error:
            raise self._damaged(f"{error}") from error
        if header.file_name != self.name:
            raise self._damaged(f"its header is that of {header.file_name}")
        self.header = header

    def _batch(self, lines: list[bytes]) -> Any:
        if self.header is None:
            raise self._damaged("no header")
        for number, line in enumerate(lines, self._line + 1):
            if not is_whole(line):
                self._line = number
                raise self._damaged("its checksum does not fit its content")
        try:
            return batch_of_records(self.header, lines)
        except ValueError:
            self._find_refused(self.header, lines)
            raise

    def _find_refused(self, header: SegmentHeader, lines: list[bytes]) -> None:
        """Raise the error for that one of some whole lines which this code cannot read."""
        for line in lines:
            self._line += 1
            try:
                batch_of_records(header, [line])
            except UnknownVersionError as error:
                raise self._error(f"{error}") from error
            except ValueError as error:
                raise self._damaged(f"{error}") from error

    def _damaged(self, what: str) -> StateError:
        return self._error(
            f"damaged: {what}. Restore the file from a copy, or delete this line (delete the file where the line is "
            "its first): what it records is then read again. Run verify afterwards"
        )

    def _error(self, what: str) -> StateError:
        return StateError(f"{self.path}, line {self._line}: {what}", path=self.path, line=self._line)
