"""Turn what reading files revealed besides points into findings of the loss report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from omnia_beam.core.finding import Finding
from omnia_beam.core.text import counted
from omnia_beam.core.timestamps import NS_PER_SECOND, format_time
from omnia_beam.io.facts import FileFacts, Noted, SeriesFacts
from omnia_beam.io.files.options import CsvSource, ParquetSource

_MONTH_NS: Final = 31 * 86_400 * NS_PER_SECOND
_YEAR_NS: Final = 366 * 86_400 * NS_PER_SECOND
_WORDS: Final[Mapping[str, tuple[bool, Callable[[int], str]]]] = {
    "text_values": (True, lambda n: f"{counted(n, 'value')} of text, which the sink does not keep and writes as NaN"),
    "integer_precision": (True, lambda n: f"{counted(n, 'whole number')} beyond 2^53, which float64 rounds"),
    "infinite_values": (True, lambda n: f"{counted(n, 'number')} too large for float64, which becomes infinity"),
    "same_time": (True, lambda n: f"{counted(n, 'point')} at the time of another one: dead letters"),
    "duplicates": (
        False,
        lambda n: (
            f"at least {counted(n, 'row')} with series and time of another row: the later row wins (the summary counts all)"
        ),
    ),
}
"""Note -> whether it blocks, and its message for a number of points."""


def series_findings(shown: str, series_id: str, facts: SeriesFacts) -> Iterator[Finding]:
    """Yield a finding for each note in a series' index."""
    for name, noted in sorted(facts.noted.items()):
        blocking, words = _WORDS[name]
        yield Finding(name, shown, _with_example(words(noted.points), noted), blocking, noted.points, series_id)


def time_findings(
    shown: str, series_id: str, span: tuple[int, int], options: CsvSource | ParquetSource, now_ns: int
) -> Iterator[Finding]:
    """Yield a finding for times that a wrong unit would give: all near 1970, or more than a year ahead."""
    first, last = span
    unit = "source.time_unit" if isinstance(options, ParquetSource) else "source.time_format (epoch_s, epoch_ms, …)"
    held = f"first {format_time(first)}, last {format_time(last)}"
    if first >= -_MONTH_NS and last <= _MONTH_NS:
        text = f"all times are within a month of 1970 ({held}): is the unit of the times right? See {unit}"
        yield Finding("odd_times", shown, text, False, series_id=series_id)
    elif last > now_ns + _YEAR_NS:
        text = f"times are more than a year ahead ({held}): is the unit of the times right? See {unit}"
        yield Finding("odd_times", shown, text, False, series_id=series_id)


def file_findings(options: CsvSource | ParquetSource, about: Mapping[str, FileFacts]) -> Iterator[Finding]:
    """Yield the findings about whole files: columns that are not read, long files that were read as wide.

    Args:
        options: of the source.
        about: facts by path.
    """
    unread: dict[str, list[str]] = {}
    long: list[str] = []
    for path, facts in about.items():
        for column in facts.unread:
            unread.setdefault(column, []).append(path)
        if facts.looks_long:
            long.append(path)
    for column, paths in sorted(unread.items()):
        text = f"the column {column!r} looks like a status or a quality and is not read{_and_more(paths)}: {_cure(options, column)}"
        yield Finding("unread_column", paths[0], text, False)
    if long:
        each = about[long[0]]
        times = f"{each.rows:,} rows have {each.times:,} different times"
        text = (
            f"{times}{_and_more(long)}: this looks like one row per point, and was read as one column per series: name "
            "source.series_column and source.value_column, or set source.layout: wide"
        )
        yield Finding("long_as_wide", long[0], text)


def _cure(options: CsvSource | ParquetSource, column: str) -> str:
    if isinstance(options, ParquetSource):
        return f"set source.columns.status: {column} if it is one"
    if isinstance(options, CsvSource) and options.layout == "wide":
        return "name it in source.quality_columns if it is one"
    return f"set source.status_column: {column} if it is one"


def _with_example(text: str, noted: Noted) -> str:
    return f"{text} ({noted.example})" if noted.example else text


def _and_more(paths: list[str]) -> str:
    return f" (and in {len(paths) - 1:,} other files)" if len(paths) > 1 else ""
