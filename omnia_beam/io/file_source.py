"""What is to be read from files: where they are, how they are written, which of their series."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from omnia_beam.core.limits import GOOD
from omnia_beam.io.series_from import series_of_path

DstFold = Literal["refuse", "order", "earlier", "later", "dead_letter"]


@dataclass(frozen=True, slots=True)
class CsvForm:
    """How CSV files are written.

    Args:
        layout: `wide` (a time column, every other column a series by its name), `long` (a row a point), or `auto`: long
            where the header has a series and a value column.
        delimiter: between cells; `auto` for what the header uses of `,`, `;` and tab.
        decimal: mark of values, `.` or `,`.
        encoding: of the text; one in which a line feed is one byte, or UTF-16. A byte order mark goes before it, and UTF-16
            is known without a mark too.
        missing: texts that mean that there is no point, besides the empty cell.
        time_column: header; None for the first column, or `time` in long files. Several are joined by a blank.
        series_column, value_column, status_column: headers in long files; None for `series_id` or `name`, `value`, and
            `status` where there is one.
        time_format: a pattern as `core.time_pattern` reads it, `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns` or `excel`;
            None for RFC 3339, a blank for the `T` allowed.
        skip_rows: lines before the header.
        skip_after_header, skip_footer: rows behind the header and at the end; empty lines and comments do not count.
        comment: what lines that do not count begin with.
        thousands: mark between groups of three digits of values.
        dst_fold: what becomes of local times that came twice.
        values: words in value cells, and the status of the NaN that they are; None for no point.
        status_words: words in status cells.
        status_suffix: wide files: a column called like another with this behind it holds the statuses of that one.
        quality_columns: wide files: (value column, status column).
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
    """How Parquet files of one row a point are written.

    Args:
        series_id, time, value, status: names of columns; `status` None where there is none. A file may lack a column
            called `status`, but not one of another name.
        time_unit: what an integer in the time column counts, since 1970 UTC.
        time_format: how texts in the time column are written, as in `CsvForm`.
    """

    series_id: str = "series_id"
    time: str = "time"
    value: str = "value"
    status: str | None = "status"
    time_unit: Literal["s", "ms", "us", "ns"] = "ns"
    time_format: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class FileSource:
    """Files of one form, read as one set of series. A series is known by its name (long files and Parquet: its id).

    Where two rows give the same series and time, the later file in name order wins, then the later row: as an upsert
    would.

    Args:
        paths: files or globs on any Beam filesystem.
        form: CSV or Parquet.
        include: only series that match one of these, `*` for anything; empty for all.
        exclude: not those that match one of these.
        statuses: only points with one of these, of those that win; empty for all.
        default_status: of points that come without one.
        timezone: IANA name or an offset such as `+01:00`, of times that name no zone.
        series_from: how the path of a file names its series; None where the file does. See `series_of_path`.
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
        """16 hex digits of everything that changes what a file is understood to hold."""
        text = _text(replace(self, paths=(), statuses=())) + _text_of_new(self.form)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def series_of(self, path: str) -> str | None:
        """The series that a file's path names; None where the file itself names its series.

        Raises:
            UsageError: the path is not of the form that `series_from` describes.
        """
        return None if self.series_from is None else series_of_path(path, self.series_from)

    def selects(self, name: str) -> bool:
        """Whether a series of this name is to be read."""
        included = not self.include or any(_matches(pattern, name) for pattern in self.include)
        return included and not any(_matches(pattern, name) for pattern in self.exclude)


def _text(value: Any) -> str:
    """The repr of a dataclass, without those fields that are not shown and have their default.

    Fields that earlier releases did not have are not shown: the digest of what does not use them stays as it was.
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
