"""Interpret the header of a CSV file: what each column holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from omnia_beam.core.errors import UsageError
from omnia_beam.io.facts import names_quality
from omnia_beam.io.files.csv.head import cells_of, likely_delimiter
from omnia_beam.io.files.csv.times import EPOCHS, EXCEL
from omnia_beam.io.files.forms import CsvForm

_SERIES: Final = ("series_id", "name")
_TIME: Final = re.compile("time|timestamp|date_?time|ts|utc|t|zeit|tid|tidspunkt|zeitstempel|when", re.IGNORECASE)
_DATE: Final = re.compile("date|dato|datum|day|dag", re.IGNORECASE)
_CLOCK: Final = re.compile("time|tid|zeit|uhrzeit|clock|hour|klokkesl.tt?|heure|hora|tijd", re.IGNORECASE)
_SUFFIX: Final = re.compile(
    r"(.+?)[ ._:/-]+\(?(?:q|quality|qual|status|state|flags?|kvalitet|qualität)\)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class CsvColumns:
    """The position and meaning of each column of a row.

    Args:
        names: of all columns, as in the header.
        delimiter: between cells.
        layout: `wide` or `long`.
        time: position of the time, from 0.
        series, value, status: positions in long files; None in wide ones. `status` is None also where there is none, `series`
            where the file's path names it.
        clock: positions of further columns whose texts follow that of the time.
        qualities: wide files: pairs of a value's position and its status' position.
        unnamed: positions of columns without a name, which must be empty.
        unread: names of columns that look like statuses and are not read.
    """

    names: tuple[str, ...]
    delimiter: str
    layout: Literal["wide", "long"]
    time: int
    series: int | None = None
    value: int | None = None
    status: int | None = None
    clock: tuple[int, ...] = ()
    qualities: tuple[tuple[int, int], ...] = ()
    unnamed: tuple[int, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def aside(self) -> frozenset[int]:
        """Positions in wide files that are no series."""
        return frozenset((self.time, *self.clock, *(status for _, status in self.qualities), *self.unnamed))

    def meanings(self, selects: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
        """Yield each column's name and its meaning, in words."""
        known = dict.fromkeys((self.time, *self.clock), "time")
        known |= {
            at: word
            for at, word in ((self.series, "series"), (self.value, "value"), (self.status, "status"))
            if at is not None
        }
        known |= {status: f"quality of {self.names[value]}" for value, status in self.qualities}
        for at, name in enumerate(self.names):
            is_series = self.layout == "wide" and at not in self.aside and selects(name)
            yield name, known.get(at, "series" if is_series else "not read")


def read_header(
    row: str,
    form: CsvForm,
    path: str,
    *,
    line: int = 1,
    selects: Callable[[str], bool] = lambda name: True,
    chosen: bool = False,
    named_by_path: bool = False,
) -> CsvColumns:
    """Interpret a header.

    Args:
        row: the header, without its line end.
        form: its keys in the configuration.
        path: for messages.
        line: number of its line, from 1.
        selects: whether a series is wanted.
        chosen: whether the configuration names series; if so, unwanted columns need no name of their own.
        named_by_path: whether the file's path names the series of all rows.

    Raises:
        UsageError: a column that the form names is missing, two columns that are read have the same name or one has none, or
            there is no column but the time.
    """
    delimiter = likely_delimiter(row) if form.delimiter == "auto" else form.delimiter
    return _Header(cells_of(row, delimiter) or ("",), delimiter, form, f"{path}:{line}", selects, chosen).read(
        named_by_path
    )


class _Header:
    def __init__(
        self,
        names: tuple[str, ...],
        delimiter: str,
        form: CsvForm,
        where: str,
        selects: Callable[[str], bool],
        chosen: bool,
    ) -> None:
        self._names = names
        self._delimiter = delimiter
        self._form = form
        self._where = where
        self._selects = selects
        self._chosen = chosen

    def read(self, named_by_path: bool) -> CsvColumns:
        for position, name in enumerate(self._names, start=1):
            if any(ord(character) < 32 or ord(character) == 127 for character in name):
                raise self._complaint(f"column {position}: the name {name!r} holds a control character")
        if named_by_path:
            return self._of_path()
        layout = self._form.layout if self._form.layout != "auto" else self._layout()
        return self._wide() if layout == "wide" else self._long()

    def _wide(self) -> CsvColumns:
        names = self._names
        if len(names) - len(self._trailing()) < 2:
            raise self._complaint(
                f"the header has the one column {names[0]!r}: a wide file has a time and at least one series; "
                f"name source.delimiter if it is another than {self._delimiter!r}, and source.skip_rows if lines precede "
                "the header"
            )
        time, *clock = self._times(None) or (0,)
        if not self._form.time_column:
            self._check_first()
        qualities = self._qualities()
        unnamed = self._unnamed({time, *clock})
        columns = CsvColumns(
            names, self._delimiter, "wide", time, clock=tuple(clock), qualities=qualities, unnamed=unnamed
        )
        read = [at for at, name in enumerate(names) if at not in columns.aside and self._selects(name)]
        self._check_unique([time, *clock, *read, *(at for value, at in qualities if self._selects(names[value]))])
        if self._form.layout == "auto" and [names[at].lower() for at in read] == ["value"]:
            raise self._complaint(
                "no series is named: the one column beside the time is called 'value'. If the file's name is the series', "
                'set source.series_from: "{series}.csv"; if the series is really called so, source.layout: wide'
            )
        shown = columns.aside | set(read)
        return self._with_unread(columns, shown)

    def _long(self) -> CsvColumns:
        form = self._form
        time, *clock = self._times("time") or (0,)
        series = self._position((form.series_column,) if form.series_column else _SERIES, "series_column")
        value = self._position((form.value_column or "value",), "value_column")
        return self._rows(time, tuple(clock), series, value)

    def _of_path(self) -> CsvColumns:
        form, names = self._form, self._names
        time, *clock = self._times(None) or (self._likely_time(),)
        if not form.time_column:
            self._check_first(time)
        own = self._find((form.series_column,) if form.series_column else ("series_id",))
        if own is not None:
            raise self._complaint(
                f"column {own + 1} ({names[own]}) names the series of each row, and source.series_from takes it from the path: "
                "remove one of the two"
            )
        value = self._find((form.value_column or "value",))
        if value is None and form.value_column is None:
            status = self._find((form.status_column or "status",))
            others = [at for at, name in enumerate(names) if at not in (time, *clock, status) and name]
            value = others[0] if len(others) == 1 else None
        if value is None:
            value = self._position((form.value_column or "value",), "value_column")
        return self._rows(time, tuple(clock), None, value)

    def _rows(self, time: int, clock: tuple[int, ...], series: int | None, value: int) -> CsvColumns:
        """Return the columns of a file with one row for each point."""
        form = self._form
        status = self._find((form.status_column or "status",))
        if form.status_column is not None and status is None:
            status = self._position((form.status_column,), "status_column")
        used = [at for at in (time, *clock, series, value, status) if at is not None]
        self._check_unique(used)
        unnamed = self._trailing()
        columns = CsvColumns(
            *(self._names, self._delimiter, "long", time, series, value, status), clock=clock, unnamed=unnamed
        )
        return self._with_unread(columns, {*used, *unnamed})

    def _times(self, default: str | None) -> tuple[int, ...]:
        """Return the positions of the columns that make up the time; none where the first column is meant."""
        given = self._form.time_column or default
        if given is None:
            return ()
        parts = (given,) if isinstance(given, str) else given
        return tuple(self._position((part,), "time_column") for part in parts)

    def _likely_time(self) -> int:
        return next((at for at, name in enumerate(self._names) if _TIME.fullmatch(name)), 0)

    def _check_first(self, time: int = 0) -> None:
        """Refuse a header in which another column than the one that would be taken has the name of a time."""
        first = self._names[time]
        others = [name for at, name in enumerate(self._names) if at != time]
        clock = next(filter(_CLOCK.fullmatch, others), None)
        if _DATE.fullmatch(first) and clock is not None:
            raise self._complaint(
                f"date and time are in two columns: set source.time_column: [{first}, {clock}]; or name the column that is "
                "the whole time"
            )
        numeric = self._form.time_format in EPOCHS or self._form.time_format == EXCEL
        other = next(filter(_TIME.fullmatch, others), None)
        if numeric and other is not None and not (_TIME.fullmatch(first) or _DATE.fullmatch(first)):
            raise self._complaint(
                f"which is the time, column {time + 1} ({first!r}) or {other!r}? Both may be numbers: set source.time_column"
            )

    def _qualities(self) -> tuple[tuple[int, int], ...]:
        names, form = self._names, self._form
        pairs = [(value, status, "quality_columns") for value, status in form.quality_columns]
        if form.status_suffix is not None:
            suffix = form.status_suffix
            ends = [name for name in names if name.endswith(suffix) and name != suffix]
            pairs += [(name.removesuffix(suffix), name, "status_suffix") for name in ends]
        found = []
        for value, status, key in pairs:
            if value not in names and not self._selects(value):
                continue
            found.append(tuple(self._exact(name, key) for name in (value, status)))
        return tuple((value, status) for value, status in found)

    def _exact(self, name: str, key: str) -> int:
        if name not in self._names:
            raise self._complaint(f"there is no column {name!r}, which source.{key} names")
        if self._names.count(name) > 1:
            raise self._complaint(f"two columns are called {name!r}, and source.{key} names one: rename one")
        return self._names.index(name)

    def _trailing(self) -> tuple[int, ...]:
        """Return the columns at the end that have no name, which lines that end in a delimiter have."""
        at = len(self._names)
        while at > 1 and not self._names[at - 1]:
            at -= 1
        return tuple(range(at, len(self._names)))

    def _unnamed(self, times: set[int]) -> tuple[int, ...]:
        trailing = self._trailing()
        for at, name in enumerate(self._names):
            if name or at in trailing or (self._chosen and at not in times):
                continue
            cure = "name it, or remove the column"
            raise self._complaint(f"column {at + 1} has no name: {cure}")
        return trailing

    def _check_unique(self, read: Sequence[int]) -> None:
        first: dict[str, int] = {}
        for at in sorted(set(read)):
            name = self._names[at]
            before = first.setdefault(name, at)
            if before != at:
                raise self._complaint(
                    f"columns {before + 1} and {at + 1} have the same name {name!r}: rename one, or leave both out by "
                    "source.include or source.exclude"
                )

    def _with_unread(self, columns: CsvColumns, read: frozenset[int] | set[int]) -> CsvColumns:
        names = set(self._names)
        unread = [
            name
            for at, name in enumerate(self._names)
            if (at not in read and names_quality(name)) or (at not in columns.aside and _is_quality_of(name, names))
        ]
        if not unread:
            return columns
        return replace(columns, unread=tuple(dict.fromkeys(unread)))

    def _layout(self) -> Literal["wide", "long"]:
        form = self._form
        series = self._find((form.series_column,) if form.series_column else _SERIES)
        value = self._find((form.value_column or "value",))
        return "wide" if series is None or value is None else "long"

    def _find(self, wanted: Sequence[str]) -> int | None:
        """Return the position of the first wanted name that exists: as written, otherwise regardless of case."""
        lower = [name.lower() for name in self._names]
        for name in wanted:
            if name in self._names:
                return self._names.index(name)
            if name.lower() in lower:
                return lower.index(name.lower())
        return None

    def _position(self, wanted: Sequence[str], key: str) -> int:
        found = self._find(wanted)
        if found is None:
            raise self._complaint(
                f"there is no column {' or '.join(wanted)}; the columns are {', '.join(self._names)}: set source.{key}"
            )
        return found

    def _complaint(self, text: str) -> UsageError:
        return UsageError(f"{self._where}: {text}")


def _is_quality_of(name: str, names: set[str]) -> bool:
    """Return whether a column's name is that of another column followed by a word for quality."""
    found = _SUFFIX.fullmatch(name)
    return found is not None and found[1] in names
