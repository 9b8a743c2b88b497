"""What is to be read from files: where they are, how they are written, which of their series."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

from omnia_beam.core.limits import GOOD


@dataclass(frozen=True, slots=True)
class CsvForm:
    """How CSV files are written.

    Args:
        layout: `wide` (a time column, every other column a series by its name), `long` (a row a point), or `auto`: long
            where the header has a series and a value column.
        delimiter: between cells; `auto` for what the header uses of `,`, `;` and tab.
        decimal: mark of values, `.` or `,`.
        encoding: of the text; one in which a line feed is one byte.
        missing: texts that mean that there is no point, besides the empty cell.
        time_column: header; None for the first column, or `time` in long files.
        series_column, value_column, status_column: headers in long files; None for `series_id` or `name`, `value`, and
            `status` where there is one.
        time_format: a `strptime` pattern, `epoch_s`, `epoch_ms`, `epoch_us` or `epoch_ns`; None for RFC 3339, a blank for
            the `T` allowed.
    """

    layout: Literal["auto", "wide", "long"] = "auto"
    delimiter: str = "auto"
    decimal: Literal[".", ","] = "."
    encoding: str = "utf-8"
    missing: tuple[str, ...] = ()
    time_column: str | None = None
    series_column: str | None = None
    value_column: str | None = None
    status_column: str | None = None
    time_format: str | None = None


@dataclass(frozen=True, slots=True)
class ParquetForm:
    """How Parquet files of one row a point are written.

    Args:
        series_id, time, value, status: names of columns; `status` None where there is none. A file may lack a column
            called `status`, but not one of another name.
        time_unit: what an integer in the time column counts, since 1970 UTC.
    """

    series_id: str = "series_id"
    time: str = "time"
    value: str = "value"
    status: str | None = "status"
    time_unit: Literal["s", "ms", "us", "ns"] = "ns"


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
        timezone: IANA name, of times that name no zone.
    """

    paths: tuple[str, ...]
    form: CsvForm | ParquetForm = CsvForm()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    default_status: int = GOOD
    timezone: str = "UTC"

    @property
    def reading_digest(self) -> str:
        """16 hex digits of everything that changes what a file is understood to hold.

        A field that came with a later release (`later`) counts only where it is used, so that an upgrade makes no index
        and no window out of date.
        """
        text = _stable_repr(replace(self, paths=(), statuses=()))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def selects(self, name: str) -> bool:
        """Whether a series of this name is to be read."""
        included = not self.include or any(_matches(pattern, name) for pattern in self.include)
        return included and not any(_matches(pattern, name) for pattern in self.exclude)


def later(default: Any) -> Any:
    """A field that a release after the first brought: `reading_digest` leaves it out where it has its default."""
    return field(default=default, metadata={"later": True})


def _stable_repr(value: Any) -> str:
    """What `repr` gives, without fields made by `later` that have their default."""
    if not is_dataclass(value):
        return repr(value)
    shown = [
        f"{each.name}={_stable_repr(getattr(value, each.name))}"
        for each in fields(value)
        if not (each.metadata.get("later") and getattr(value, each.name) == each.default)
    ]
    return f"{type(value).__name__}({', '.join(shown)})"


def _matches(pattern: str, name: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None
