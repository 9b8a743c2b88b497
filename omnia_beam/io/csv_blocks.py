"""A CSV file cut into blocks of whole lines, a few megabytes each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from omnia_beam.core.errors import UsageError

BLOCK_BYTES: Final = 4 << 20
"""Of one block: large enough that parsing dwarfs its overhead, small enough that many fit into memory."""

_BOM: Final = b"\xef\xbb\xbf"
_LONGEST_LINE: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class CsvBlock:
    """Whole lines.

    Args:
        start: offset of the first byte in the (uncompressed) file.
        data: the lines.
        first_line: number of the first, from 1.
    """

    start: int
    data: bytes
    first_line: int


def read_first_line(file: Any, encoding: str, path: str) -> tuple[str, int]:
    """The header without its end, and its length in bytes with it.

    Raises:
        UsageError: the file is empty, or its first line is not text of the encoding.
    """
    try:
        feed = "\n".encode(encoding.lower().removesuffix("-sig"))
    except LookupError:
        raise UsageError(f"source.encoding: {encoding!r} is no encoding: use utf-8, latin-1, cp1252, …") from None
    if feed != b"\n":
        raise UsageError(f"source.encoding: {encoding}: lines cannot be told apart in it: save {path} as UTF-8")
    line = file.readline()
    if not line.strip():
        raise UsageError(f"{path}:1: there is no header: the first line names the columns")
    try:
        text = line.removeprefix(_BOM).decode(encoding)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}:1: is not {encoding} text (byte {error.start}): set source.encoding") from None
    return text.rstrip("\r\n"), len(line)


def cut_blocks(file: Any, start: int, path: str, block_bytes: int = BLOCK_BYTES) -> Iterator[CsvBlock]:
    """The rest of a file, from behind its header.

    Args:
        file: binary, at `start`.
        start: offset behind the header.
        path: for messages.
        block_bytes: of a block, at least.

    Raises:
        UsageError: a line that is longer than 64 MB: no CSV, or with other line ends.
    """
    rest, line = b"", 2
    while True:
        read = file.read(block_bytes)
        data = rest + read
        end = len(data) if not read else data.rfind(b"\n") + 1
        if end:
            yield CsvBlock(start, data[:end], line)
        if not read:
            return
        line += data.count(b"\n", 0, end)
        start, rest = start + end, data[end:]
        if len(rest) > _LONGEST_LINE:
            raise UsageError(f"{path}:{line}: the line is longer than {_LONGEST_LINE >> 20} MB: is this a CSV file?")
