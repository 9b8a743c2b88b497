"""Describe a source of files: where the files are, their format, and which of their series are read."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from omnia_beam.config.kind import options_as
from omnia_beam.core.limits import GOOD
from omnia_beam.io.files.csv.fields import SKIP
from omnia_beam.io.files.options import CsvSource, ParquetSource
from omnia_beam.io.files.series_from import series_of_path

DstFold = Literal["refuse", "order", "earlier", "later", "dead_letter"]


@dataclass(frozen=True, slots=True)
class CsvForm:
    """The format of CSV files.

    Args:
        layout: `wide` (a time column, every other column a series by its name), `long` (one row for each point), or `auto`: long
            where the header has a series and a value column.
        delimiter: between cells; `auto` for the one of `,`, `;` and tab that the header uses.
        decimal: decimal mark of values, `.` or `,`.
        encoding: of the text; one in which a line feed is one byte, or UTF-16. A byte order mark takes precedence, and UTF-16
            is recognised without a mark too.
        missing: texts that mean that there is no point, besides the empty cell.
        time_column: its header; None for the first column, or `time` in long files. The texts of several are joined by a blank.
        series_column, value_column, status_column: headers in long files; None for `series_id` or `name`, `value`, and
            `status` where there is one.
        time_format: a pattern of `core.time_pattern`, `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns` or `excel`;
            None for RFC 3339, in which a blank may replace the `T`.
        skip_rows: number of lines before the header.
        skip_after_header, skip_footer: number of rows to leave out behind the header and at the end, in which empty lines and
            comments do not count.
        comment: prefix of lines that are ignored.
        thousands: mark between groups of three digits of values.
        dst_fold: how ambiguous local times are treated.
        values: words in value cells. Each means NaN with the given status, or no point where that is None.
        status_words: words in status cells, and their statuses.
        status_suffix: wide files: a column whose name is that of another followed by this holds the statuses of that one.
        quality_columns: wide files: pairs (value column, status column).
    """

    layout: Literal["auto", "wide", "long"] = "auto"
    delimiter: str = "auto"
    decimal: Literal[".", ","] = "."
    encoding: str = "utf-8"
    missing: tuple[str, ...] = ()
    time_column: str | tuple[str, ...] | None = None
    series_column: str | None = None
    value_column: str | None = None
    status_column: str | None = None
    time_format: str | None = None
    skip_rows: int = field(default=0, repr=False)
    skip_after_header: int = field(default=0, repr=False)
    skip_footer: int = field(default=0, repr=False)
    comment: str | None = field(default=None, repr=False)
    thousands: Literal[" ", ".", ",", "'"] | None = field(default=None, repr=False)
    dst_fold: DstFold = field(default="refuse", repr=False)
    values: tuple[tuple[str, int | None], ...] = field(default=(), repr=False)
    status_words: tuple[tuple[str, int], ...] = field(default=(), repr=False)
    status_suffix: str | None = field(default=None, repr=False)
    quality_columns: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class ParquetForm:
    """The format of Parquet files with one row for each point.

    Args:
        series_id, time, value, status: names of columns; `status` None where there is none. A file may lack a column
            called `status`, but not one of another name.
        time_unit: what an integer in the time column counts, since 1970 UTC.
        time_format: format of texts in the time column, as in `CsvForm`.
        text: column of texts, each of which is a point; None for a column `text`, where there is one, beside values that are NaN.
    """

    series_id: str = "series_id"
    time: str = "time"
    value: str = "value"
    status: str | None = "status"
    time_unit: Literal["s", "ms", "us", "ns"] = "ns"
    time_format: str | None = field(default=None, repr=False)
    text: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class FileSource:
    """Files of one format, read as one set of series.

    A series is known by its name (long files and Parquet: its id). Where two rows have the same series and time, the later
    file in name order wins, then the later row, as in an upsert.

    Args:
        paths: files or globs, on a disk or an object store.
        form: CSV or Parquet.
        include: patterns of the series to read, in which `*` matches anything; empty for all.
        exclude: patterns of the series to leave out.
        statuses: of the points that win, only those with one of these statuses are read; empty for all.
        default_status: of points without a status.
        timezone: IANA name or an offset such as `+01:00`, of times without a zone of their own.
        series_from: how the path of a file names its series; None where the file itself names them. See `series_of_path`.

    Examples:
        >>> FileSource(("pump/*.csv",), CsvForm(delimiter=";", decimal=","), timezone="Europe/Oslo").paths
        ('pump/*.csv',)
    """

    paths: tuple[str, ...]
    form: CsvForm | ParquetForm = CsvForm()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    default_status: int = GOOD
    timezone: str = "UTC"
    series_from: str | None = field(default=None, repr=False)

    @property
    def reading_digest(self) -> str:
        """16 hex digits, a digest of everything that changes how a file is interpreted."""
        text = _text(replace(self, paths=(), statuses=())) + _text_of_new(self.form)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def series_of(self, path: str) -> str | None:
        """Return the series that a file's path names; None where the file itself names its series.

        Raises:
            UsageError: the path is not of the form that `series_from` describes.
        """
        return None if self.series_from is None else series_of_path(path, self.series_from)

    def selects(self, name: str) -> bool:
        """Return whether a series of this name is to be read."""
        included = not self.include or any(_matches(pattern, name) for pattern in self.include)
        return included and not any(_matches(pattern, name) for pattern in self.exclude)


def _text(value: Any) -> str:
    """Return the repr of a dataclass, followed by those hidden fields that differ from their defaults.

    Fields that earlier releases did not have are hidden, so that the digest of a source that does not use them stays the same.
    """
    return repr(value) + _text_of_new(value)


def _text_of_new(value: Any) -> str:
    return "".join(
        f" {each.name}={getattr(value, each.name)!r}"
        for each in fields(value)
        if not each.repr and getattr(value, each.name) != each.default
    )


def _matches(pattern: str, name: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


def file_source(source: CsvSource | ParquetSource) -> FileSource:
    """Return a file source of the configuration in the form that the reading takes."""
    form: CsvForm | ParquetForm
    if isinstance(source, CsvSource):
        values = [(word.strip(), None if status == SKIP else int(status)) for word, status in source.values.items()]
        words = [(word.strip(), int(status)) for word, status in source.status_words.items()]
        form = options_as(CsvForm, source, values=tuple(values), status_words=tuple(words))
    else:
        form = options_as(ParquetForm, source.columns, time_unit=source.time_unit, time_format=source.time_format)
    return options_as(FileSource, source, paths=source.path, form=form, statuses=source.status)
