"""Collect what reading a file shows beside its points: its format, what was not read, what a number could not hold.

`ReadingNotes` collects while blocks are read; `SeriesFacts` and `FileFacts` are what an index keeps of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

SERIES_NOTES: Final = (
    "text_values",
    "integer_precision",
    "infinite_values",
    "same_time",
    "duplicates",
)
"""What can be noted of a series; each name is that of the finding that it becomes."""

_FEW_ROWS: Final = 4
_QUALITY: Final = re.compile(
    r"(.*[^a-z])?(status|quality|qual|qc|state|flag|flags|good|bad|questionable|substituted|validity|valid|confidence)"
    r"([^a-z].*)?",
    re.IGNORECASE,
)


def names_quality(column: str) -> bool:
    """Return whether a column's name suggests that it holds statuses or qualities, so that leaving it out has to be reported."""
    return _QUALITY.fullmatch(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column)) is not None


@dataclass(frozen=True, slots=True)
class Noted:
    """The number of points that a note applies to.

    Args:
        points: number of rows of the file.
        example: the first of them, such as `in.csv:17: '1e309'`.
    """

    points: int
    example: str = ""

    def plus(self, other: Noted) -> Noted:
        return Noted(self.points + other.points, self.example or other.example)


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What files hold of one series; repeats are counted each time.

    Args:
        points: number of rows with a value.
        not_finite: those that are NaN or infinite.
        fine: those whose time is no multiple of 100 ns.
        statuses: number of points by status.
        noted: notes, by one of SERIES_NOTES.
    """

    points: int = 0
    not_finite: int = 0
    fine: int = 0
    statuses: Mapping[int, int] = field(default_factory=dict, hash=False)
    noted: Mapping[str, Noted] = field(default_factory=dict, hash=False)

    def plus(self, other: SeriesFacts) -> SeriesFacts:
        return SeriesFacts(
            self.points + other.points,
            self.not_finite + other.not_finite,
            self.fine + other.fine,
            {
                status: self.statuses.get(status, 0) + other.statuses.get(status, 0)
                for status in {**self.statuses, **other.statuses}
            },
            merged_notes(self.noted, other.noted),
        )

    def to_json(self) -> list[Any]:
        """Return plain data that `from_json` reads back."""
        noted = [[name, each.points, each.example] for name, each in sorted(self.noted.items())]
        return [self.points, self.not_finite, self.fine, sorted([s, n] for s, n in self.statuses.items()), noted]

    @classmethod
    def from_json(cls, data: list[Any]) -> SeriesFacts:
        points, not_finite, fine, statuses, noted = data
        return cls(
            points,
            not_finite,
            fine,
            dict(statuses),
            {name: Noted(count, example) for name, count, example in noted},
        )


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The format of a file, as reading it showed.

    Args:
        form: what reading it determined, by name and in words: `layout`, `delimiter`, `encoding`, `times`, …
        columns: header and meaning of each column, such as `("PT-1", "series")`; meanings are `time`, `series`, `value`,
            `status`, `quality of NAME` and `not read`. Only the first hundred columns are kept.
        unread: headers of columns that look like a status or a quality and are not read.
        warnings: texts about the file for the person who runs the job.
        guessed: whether the layout was taken from the header.
        rows: number of rows with a time; counted in wide files only.
        times: number of different times, counted block by block.
    """

    form: Mapping[str, str] = field(default_factory=dict, hash=False)
    columns: tuple[tuple[str, str], ...] = ()
    unread: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    guessed: bool = False
    rows: int = 0
    times: int = 0

    @property
    def looks_long(self) -> bool:
        """Whether a file whose header made it wide has each time several times, as a long file has."""
        return self.form.get("layout") == "wide" and self.guessed and 2 * self.times <= self.rows >= _FEW_ROWS

    def to_json(self) -> list[Any]:
        """Return plain data that `from_json` reads back."""
        columns = [list(each) for each in self.columns]
        texts = [list(self.unread), list(self.warnings)]
        return [dict(self.form), columns, *texts, self.guessed, self.rows, self.times]

    @classmethod
    def from_json(cls, data: list[Any]) -> FileFacts:
        form, columns, unread, warnings, *counts = data
        meanings = tuple((name, meaning) for name, meaning in columns)
        return cls(form, meanings, tuple(unread), tuple(warnings), *counts)


class ReadingNotes:
    """Notes that readers of one file take while they read. Not for several threads.

    Reading a block for its points takes the same notes as indexing it did; only the index keeps them.

    Attributes:
        infinite: by series, number of texts whose numbers are too large for a double.
        inexact: by series, number of whole numbers beyond 2^53 that no double holds.
        guessed, rows, times: as in `FileFacts`.
    """

    def __init__(self) -> None:
        self.infinite: Counter[str] = Counter()
        self.inexact: Counter[str] = Counter()
        self.guessed = False
        self.rows = 0
        self.times = 0
        self._form: dict[str, str] = {}
        self._columns: tuple[tuple[str, str], ...] = ()
        self._unread: dict[str, None] = {}
        self._warnings: dict[str, None] = {}
        self._series: dict[str, dict[str, Noted]] = {}

    def about_form(self, **words: str) -> None:
        """Note the file's format, such as `layout="wide", delimiter=";"`."""
        self._form.update(words)

    def about_columns(self, columns: Iterable[tuple[str, str]]) -> None:
        """Note each column's header and meaning, as in `FileFacts.columns`."""
        self._columns = tuple(columns)[:100]

    def unread_column(self, name: str) -> None:
        """Note a column that looks like a status or a quality and is not read."""
        self._unread[name] = None

    def warn(self, text: str) -> None:
        """Note a text for the person who runs the job; it has to name the file."""
        self._warnings[text] = None

    def about_points(self, note: str, series: str, points: int, example: str = "") -> None:
        """Note that something is true of points of a series.

        Args:
            note: one of SERIES_NOTES.
            series: the series' name.
            points: the number of points.
            example: the first of them, with its place.
        """
        if note not in SERIES_NOTES:
            raise ValueError(f"{note} is not one of {', '.join(SERIES_NOTES)}")
        if points:
            held = self._series.setdefault(series, {})
            held[note] = held.get(note, Noted(0)).plus(Noted(points, example))

    def take_series(self) -> dict[str, dict[str, Noted]]:
        """Return what was noted of series since the last call."""
        for note, counted in (("infinite_values", self.infinite), ("integer_precision", self.inexact)):
            for series, points in counted.items():
                self.about_points(note, series, points)
            counted.clear()
        taken, self._series = self._series, {}
        return taken

    def file_facts(self) -> FileFacts:
        """Return what was noted of the file so far."""
        texts = (tuple(self._unread), tuple(self._warnings))
        return FileFacts(dict(self._form), self._columns, *texts, self.guessed, self.rows, self.times)


def merged_notes(first: Mapping[str, Noted], second: Mapping[str, Noted]) -> dict[str, Noted]:
    """Return the sum of two sets of notes, by name."""
    return {name: first.get(name, Noted(0)).plus(second.get(name, Noted(0))) for name in {**first, **second}}
