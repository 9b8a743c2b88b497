"""Parse rows of CSV into points: a block at a time through Arrow, or row by row where Arrow refuses it.

Values are what Python's `float()` makes of the text, bit for bit; a text `nan` or `inf` is a point with that value, unless it
is one of the `missing` texts. Arrow reads most files as a whole. What it refuses goes through `csv_lines.py`, which accepts
more (a blank beside a number, a time with another zone than its neighbours) and reports what cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from omnia_beam.core.chunk import Points
from omnia_beam.io.facts import ReadingNotes
from omnia_beam.io.files.csv.cells import CsvReading, note_value, status_column, value_column, very_large
from omnia_beam.io.files.csv.folds import BlockPoints, Fold, FoldRows
from omnia_beam.io.files.csv.header import CsvColumns
from omnia_beam.io.files.csv.lines import CLOCK, add_settled, read_lines
from omnia_beam.io.files.csv.quotes import scan_quotes
from omnia_beam.io.files.csv.times import BothTimes, parse_times

_TEXT = pa.string()
_CODED = pa.dictionary(pa.int32(), pa.string())


def read_rows(
    data: bytes,
    columns: CsvColumns,
    reading: CsvReading,
    first_line: int,
    *,
    notes: ReadingNotes | None = None,
    folds: Mapping[str, Fold] | None = None,
) -> BlockPoints:
    """Return the points of a block of whole rows, by series, in the order of the rows.

    Args:
        data: whole rows without the header, in the file's encoding.
        columns: from the header.
        reading: how cells are parsed, and which series are wanted.
        first_line: the number of the first line in its file, from 1, for messages.
        notes: receives what the points alone do not show.
        folds: state of the series at the end of the block before, where the order of rows resolves repeated hours.

    Raises:
        UsageError: a cell cannot be read; the message has file, line, column and value.
    """
    if not data or data.isspace():
        return BlockPoints()
    try:
        text = data if reading.is_utf8 else data.decode(reading.encoding).encode()
        scan = scan_quotes(text, columns.delimiter, reading.comment)
        if not scan.clean:
            raise ValueError("only row by row is it clear which quotes count")
        if scan.comments:
            text = scan.without_comments(text)
            if not text.strip():
                return BlockPoints()
        block = _Block(text, columns, reading, notes, FoldRows(reading.times.fold, folds or {}))
        return block.wide() if columns.layout == "wide" else block.long()
    except ValueError:  # includes ArrowInvalid and UnicodeDecodeError
        return read_lines(data, columns, reading, first_line, notes=notes, folds=folds)


def split_series(codes: npt.NDArray[np.int32], names: list[str], points: Points) -> dict[str, Points]:
    """Split points of many series, in any order, by series; the points of each keep their order.

    Args:
        codes: for each point the index of its name.
        names: each once.
        points: all of them.
    """
    order = np.argsort(codes, kind="stable")
    in_order = bool((codes[1:] >= codes[:-1]).all())
    sorted_codes, sorted_points = (codes, points) if in_order else (codes[order], points.take(order))
    bounds = np.searchsorted(sorted_codes, np.arange(len(names) + 1))
    return {
        name: sorted_points.take(slice(int(bounds[i]), int(bounds[i + 1])))
        for i, name in enumerate(names)
        if bounds[i] < bounds[i + 1]
    }


class _Block:
    """A block that Arrow reads as a whole; its methods raise ValueError where Arrow cannot."""

    def __init__(
        self, text: bytes, columns: CsvColumns, reading: CsvReading, notes: ReadingNotes | None, rule: FoldRows
    ) -> None:
        self._text = text
        self._columns = columns
        self._reading = reading
        self._notes = notes
        self._rule = rule
        self._number = pa.float64() if reading.plain_numbers else _TEXT

    def wide(self) -> BlockPoints:
        columns, reading = self._columns, self._reading
        aside = columns.aside
        wanted = [i for i, name in enumerate(columns.names) if i not in aside and reading.selects(name)]
        qualities = {value: status for value, status in columns.qualities if value in set(wanted)}
        table = self._table(wanted, list(qualities.values()))
        both = self._times(table)
        both, fold = self._settled_clock(both)
        plain = np.full(len(both.earlier), reading.default_status, np.uint32)
        found = BlockPoints()
        for i in wanted:
            if table[str(i)].null_count == len(both.earlier):
                continue
            column = value_column(table[str(i)], reading)
            statuses = status_column(table[str(qualities[i])], reading) if i in qualities else plain
            points = Points(both.earlier, column.values, column.with_words(statuses))
            mine = both
            if column.valid is not None:
                points, mine = (
                    points.take(column.valid),
                    BothTimes(both.earlier[column.valid], both.later[column.valid]),
                )
            if len(points.times):
                name = columns.names[i]
                add_settled(found, name, points, mine, self._rule, reading, per_series=False)
                self._look_at(i, column.valid, points.values, [name], None)
        if fold is not None:
            found.folds[CLOCK] = fold
        if self._notes is not None:
            self._notes.rows += len(both.earlier)
            self._notes.times += _different(both.earlier)
        return found

    def long(self) -> BlockPoints:
        # The header reader sets all of these positions for long files, except the series' where the path names it.
        columns, reading = self._columns, self._reading
        status = [] if columns.status is None else [columns.status]
        table = self._table([columns.value], status, columns.series)
        both = self._times(table)
        column = value_column(table[str(columns.value)], reading)
        statuses = np.full(len(both.earlier), reading.default_status, np.uint32)
        if columns.status is not None:
            statuses = status_column(table[str(columns.status)], reading)
        names, codes = self._series(table, len(both.earlier))
        points = Points(both.earlier, column.values, column.with_words(statuses))
        keep = np.isin(codes, [i for i, name in enumerate(names) if reading.selects(name)])
        if column.valid is not None:
            keep &= column.valid
        self._look_at(columns.value, keep, points.values[keep], names, codes[keep])
        if both.earlier is both.later:
            return BlockPoints(split_series(codes[keep], names, points.take(keep)))
        return self._settled(names, codes[keep], points.take(keep), both.later[keep])

    def _series(self, table: Mapping[str, Any], rows: int) -> tuple[list[str], npt.NDArray[np.int32]]:
        if self._columns.series is None:
            return [self._reading.series or ""], np.zeros(rows, np.int32)
        series = table[str(self._columns.series)]
        names = series.dictionary.to_pylist()
        if series.null_count or any(not name or name != name.strip() or "\0" in name for name in names):
            raise ValueError("a name is empty, has blanks around it or a zero byte")
        return names, series.indices.to_numpy()

    def _settled(
        self, names: list[str], codes: npt.NDArray[np.int32], points: Points, later: npt.NDArray[np.int64]
    ) -> BlockPoints:
        """Return points by series with ambiguous times resolved; the later of the possible times are passed on as values."""
        found = BlockPoints()
        lasts = split_series(codes, names, points._replace(values=later.view(np.float64)))
        for name, mine in split_series(codes, names, points).items():
            both = BothTimes(mine.times, lasts[name].values.view(np.int64))
            add_settled(found, name, mine, both, self._rule, self._reading)
        return found

    def _times(self, table: Mapping[str, Any]) -> BothTimes:
        columns = self._columns
        texts = table[str(columns.time)]
        if columns.clock:
            parts = [texts, *(table[str(at)] for at in columns.clock)]
            if any(pc.any(pc.equal(part, "")).as_py() for part in parts):
                raise ValueError("a part of a time is empty")
            texts = pc.binary_join_element_wise(*parts, " ")
        return parse_times(texts, self._reading.times)

    def _settled_clock(self, both: BothTimes) -> tuple[BothTimes, Fold | None]:
        """Resolve the times of a wide file, whose rows form one sequence."""
        if self._rule.rule != "order" or both.earlier is both.later:
            return both, None
        times, fold = self._rule.settle(CLOCK, both)
        return BothTimes(times, times), fold

    def _look_at(
        self,
        column: int | None,
        keep: npt.NDArray[np.bool_] | None,
        values: npt.NDArray[np.float64],
        names: Sequence[str],
        codes: npt.NDArray[np.int32] | None,
    ) -> None:
        """Note very large values whose texts hold more than the values do."""
        if self._notes is None:
            return
        rows = very_large(values)
        if not len(rows):
            return
        texts = self._read({column: _TEXT})[str(column)]
        where = rows if keep is None else np.flatnonzero(keep)[rows]
        for at, text, value in zip(
            rows.tolist(), texts.take(pa.array(where)).to_pylist(), values[rows].tolist(), strict=True
        ):
            name = names[0 if codes is None else int(codes[at])]
            note_value(self._notes, name, text.strip(), value, self._reading)

    def _table(
        self, values: Sequence[int | None], statuses: Sequence[int], series: int | None = None
    ) -> dict[str, Any]:
        """Return the columns that are needed, as one Arrow array each."""
        columns, reading = self._columns, self._reading
        types: dict[Any, Any] = dict.fromkeys((columns.time, *columns.clock), _TEXT)
        types |= dict.fromkeys(columns.unnamed, _TEXT)
        if series is not None:
            types[series] = _CODED
        types |= dict.fromkeys(values, self._number)
        if not reading.status_words:
            try:
                return self._read(types | dict.fromkeys(statuses, pa.uint32()))
            except pa.ArrowInvalid:
                if not statuses:
                    raise
        return self._read(types | dict.fromkeys(statuses, _CODED))

    def _read(self, types: Mapping[Any, Any]) -> dict[str, Any]:
        columns, reading = self._columns, self._reading
        table = pcsv.read_csv(
            pa.BufferReader(self._text),
            read_options=pcsv.ReadOptions(
                column_names=[str(i) for i in range(len(columns.names))],
                block_size=len(self._text) + 1,
                use_threads=False,
            ),
            parse_options=pcsv.ParseOptions(delimiter=columns.delimiter, newlines_in_values=b'"' in self._text),
            convert_options=pcsv.ConvertOptions(
                column_types={str(i): kind for i, kind in types.items()},
                include_columns=[str(i) for i in types],
                null_values=["", *reading.missing],
                strings_can_be_null=False,
                decimal_point=reading.decimal,
            ),
        )
        found = {name: table[name].combine_chunks() for name in table.column_names}
        for at in columns.unnamed:
            if str(at) in found and pc.any(pc.not_equal(found[str(at)], "")).as_py():
                raise ValueError("a column without a name holds something")
        return found


def _different(times: npt.NDArray[np.int64]) -> int:
    return len(times) if bool((times[1:] > times[:-1]).all()) else len(np.unique(times))
