"""Cut a CSV file into blocks of whole rows, a few megabytes each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from omnia_beam.core.errors import UsageError
from omnia_beam.io.files.csv.quotes import QuoteScan, count_lines, last_row_end, scan_quotes
from omnia_beam.io.files.csv.text import TextForm

BLOCK_BYTES: Final = 4 << 20
"""Size of a block: large enough that parsing outweighs its overhead, small enough that many fit into memory."""

LONGEST_LINE: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class CsvBlock:
    """A block of whole rows.

    Args:
        start: offset of the first byte in the (uncompressed) file.
        data: the rows, byte for byte as in the file.
        first_line: number of the first line, from 1.
    """

    start: int
    data: bytes
    first_line: int


@dataclass(frozen=True, slots=True)
class BlockForm:
    """How the rows of a file are separated.

    Args:
        text: the encoding.
        delimiter: between cells.
        comment: prefix of lines that are ignored; None for no such lines.
        footer: number of rows at the end of the file that are ignored.
    """

    text: TextForm = field(default_factory=lambda: TextForm("utf-8"))
    delimiter: str = ","
    comment: str | None = None
    footer: int = 0


def cut_blocks(
    file: Any, start: int, path: str, form: BlockForm = BlockForm(), block_bytes: int = BLOCK_BYTES, line: int = 2
) -> Iterator[CsvBlock]:
    """Yield the rest of a file, from behind its header, as blocks of whole rows.

    Args:
        file: binary, at `start`.
        start: offset behind the header.
        path: for messages.
        form: how rows are separated.
        block_bytes: number of bytes that are read for each block.
        line: number of the line at `start`.

    Raises:
        UsageError: a quoted cell is not closed, or a row is longer than 64 MB, so that this is no CSV.
    """
    blocks = _cut(file, start, path, form, block_bytes, line)
    return _without_footer(blocks, form) if form.footer else blocks


def _cut(file: Any, start: int, path: str, form: BlockForm, block_bytes: int, line: int) -> Iterator[CsvBlock]:
    rest = b""
    while True:
        read = file.read(block_bytes)
        data = rest + read
        view = form.text.view(data)
        scan = scan_quotes(view, form.delimiter, form.comment)
        if not read:
            if scan.open_at is not None:
                raise _not_closed(path, line, view, scan)
            if data:
                yield CsvBlock(start, data, line)
            return
        at = last_row_end(view, scan, whole=False)
        end = at if at == len(view) and not form.text.is_utf16 else form.text.raw_length(view[:at])
        if end:
            yield CsvBlock(start, data[:end], line)
        line += count_lines(view, at)
        start, rest = start + end, data[end:]
        if len(rest) > LONGEST_LINE:
            if scan.open_at is not None:
                raise _not_closed(path, line, view[at:], scan_quotes(view[at:], form.delimiter, form.comment))
            raise UsageError(f"{path}:{line}: the line is longer than {LONGEST_LINE >> 20} MB: is this a CSV file?")


def _not_closed(path: str, line: int, view: bytes, scan: QuoteScan) -> UsageError:
    number = line + count_lines(view, scan.open_at)
    return UsageError(
        f"{path}:{number}: a quoted cell begins here and is not closed before the file ends: was the file cut short, or is the "
        "quote part of the text? In a quoted cell a quote is written twice"
    )


def _without_footer(blocks: Iterator[CsvBlock], form: BlockForm) -> Iterator[CsvBlock]:
    held: CsvBlock | None = None
    for block in blocks:
        if held is not None and len(_row_starts(block.data, form)) >= form.footer:
            yield held
            held = block
        else:
            held = block if held is None else CsvBlock(held.start, held.data + block.data, held.first_line)
    if held is not None:
        starts = _row_starts(held.data, form)
        if len(starts) > form.footer:
            end = form.text.raw_length(form.text.view(held.data)[: starts[-form.footer]])
            yield CsvBlock(held.start, held.data[:end], held.first_line)


def _row_starts(data: bytes, form: BlockForm) -> list[int]:
    """Return where rows that are not empty begin, as offsets in the view of a block."""
    view = form.text.view(data)
    scan = scan_quotes(view, form.delimiter, form.comment)
    signs = np.frombuffer(view, np.uint8)
    ends = np.flatnonzero((signs == 10) | (signs == 13)).tolist()
    comments = {start for start, _ in scan.comments}
    starts = [0, *(at + 1 for at in ends if not scan.is_quoted(at))]
    bounds = zip(starts, [*starts[1:], len(view)], strict=True)
    return [start for start, end in bounds if start not in comments and view[start:end].strip()]
