"""The keys of CSV and Parquet files as a source and as a sink."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import Field, model_validator

from omnia_beam.config.fields import Delimiter, OneOrMany, PathText, SeriesFrom, Status, Text, ZoneName
from omnia_beam.config.kind import SinkOptions, SourceOptions
from omnia_beam.config.section import Section, key, problem
from omnia_beam.core.limits import GOOD
from omnia_beam.io.files.csv.fields import CommentMark, TimeColumn, WordStatus, check_csv, check_time_format
from omnia_beam.store.place import identity_of, is_remote

if TYPE_CHECKING:
    pass

_LEVELS: Final = {"zstd": (1, 22), "gzip": (1, 9), "lz4": (1, 12)}
"""Lowest and highest compression level of each codec, from its own documentation."""


_TEXT: Final = (
    "Whether every file has a column `text`, for series whose values are texts: their value is NaN. Without it such points are the "
    "finding `text_values`."
)


class FilesOptions(SourceOptions):
    """The keys that CSV and Parquet sources share."""

    beside: ClassVar = frozenset({"include", "exclude"})
    apart: ClassVar = frozenset({"path", "status"})

    path: OneOrMany[PathText] = key(
        "File, glob or list of them, on a disk or an object store. Where two rows give the same series and time, the later file in "
        "name order wins, as an upsert would."
    )
    include: OneOrMany[Text] = key("Read only series whose name matches one of these; `*` matches anything.", ())
    exclude: OneOrMany[Text] = key("Leave out series whose name matches one of these.", ())
    status: OneOrMany[Status] = key("Read only points with one of these statuses.", ())
    default_status: Status = key("Status of points that come without one.", GOOD)
    facility: Text | None = key("Facility of the series, for templates and rules of the mapping.", None)
    timezone: ZoneName = key("Zone of times that name none: a name, or a fixed offset such as `+01:00`.", "UTC")
    series_from: SeriesFrom | None = key(
        "The series' name from the file's path, where the file has none: its end (`{series}.csv`), or a folder "
        "(`tag={series}/`).",
        None,
    )

    def identity(self) -> dict[str, str]:
        """Return the paths, how the files are understood, and the filter of statuses."""
        return {
            "source": f"{self.kind} {' '.join(_place(path) for path in self.path)}",
            "reading": self.options_digest(),
            "statuses": ",".join(map(str, sorted(set(self.status)))) if self.status else "all",
        }

    def folders(self) -> tuple[str, ...]:
        """Return the paths and globs."""
        return tuple(self.path)

    def selection(self) -> str:
        """Return the paths and the filters of names as a text."""
        return repr((self.path, self.include, self.exclude))


class CsvSource(FilesOptions):
    """CSV files, wide (a column a series) or long (a row a point)."""

    kind: Literal["csv"] = key("The kind of source.")
    layout: Literal["auto", "wide", "long"] = key(
        "`wide`: a time column, every other column a series by its name. `long`: one row per point. `auto`: long where the header "
        "has a series and a value column.",
        "auto",
    )
    delimiter: Delimiter = key(
        "Character between cells; `tab`; or `auto`: what the header uses of `,`, `;` and tab.", "auto"
    )
    decimal: Literal[".", ","] = key("Decimal mark of values.", ".")
    encoding: Text = key(
        "Text encoding of the files. A byte order mark takes precedence, and UTF-16 is known without a mark too.",
        "utf-8",
    )
    missing: OneOrMany[str] = key("Texts that mean that there is no point, besides the empty cell.", ())
    time_column: TimeColumn | None = key(
        "Header of the time column; the first column, or `time` in long files. `[Date, Time]`: columns that are joined by a "
        "blank.",
        None,
    )
    series_column: Text | None = key("Long files: header of the series column; `series_id` or `name`.", None)
    value_column: Text | None = key("Long files: header of the value column; `value`.", None)
    status_column: Text | None = key("Long files: header of the status column; `status` where there is one.", None)
    time_format: Text | None = key(
        "How times are written: a `strptime` pattern, or `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns`, or `excel` for serial "
        "dates, to the millisecond; otherwise RFC 3339, a blank for the `T` allowed. `%f` takes one to nine decimals.",
        None,
    )
    dst_fold: Literal["refuse", "order", "earlier", "later", "dead_letter"] = key(
        "What happens to local times that occur twice when clocks go back: the file is refused with the line, the order of the "
        "rows decides (of each series, and of a wide file), the earlier or the later is meant, or such points become dead letters.",
        "refuse",
    )
    skip_rows: Annotated[int, Field(ge=0, le=100_000)] = key("Lines before the header.", 0)
    skip_after_header: Annotated[int, Field(ge=0, le=100_000)] = key(
        "Rows behind the header that are no points, such as one of units; empty lines and comments do not count.", 0
    )
    skip_footer: Annotated[int, Field(ge=0, le=100_000)] = key(
        "Rows at the end that are no points; empty lines and comments do not count.", 0
    )
    comment: CommentMark | None = key("Beginning of lines that are ignored, such as `#`.", None)
    thousands: Literal[" ", ".", ",", "'"] | None = key(
        "Mark between groups of three digits of values; a blank includes no-break and narrow ones.", None
    )
    values: dict[str, WordStatus] = key(
        default_factory=dict,
        description="Words in value cells: each is a NaN with this status, or with `skip` no point.",
    )
    status_words: dict[str, WordStatus] = key(
        default_factory=dict, description="Words in status cells: {word: status}."
    )
    status_suffix: Text | None = key(
        "Wide files: a column called like another with this behind it holds the statuses of that one, such as `.q`.",
        None,
    )
    quality_columns: dict[str, Text] = key(
        default_factory=dict, description="Wide files: {value column: column of its statuses}."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> CsvSource:
        check_csv(self)
        return self


class ParquetColumns(Section):
    """Names of a Parquet file's columns."""

    series_id: Text = key("Column of the series' id or name, a text.", "series_id")
    time: Text = key("Column of the time: a timestamp, a date, an integer or a text.", "time")
    value: Text = key("Column of the value, a number.", "value")
    status: Text | None = key("Column of the status, an integer; `null` where there is none.", "status")
    text: Text | None = key(
        "Column of texts, whose rows are points with the value NaN. Without it a column `text` counts beside values that are NaN.",
        None,
    )


class ParquetSource(FilesOptions):
    """Parquet files of one row a point: those of this program, or others by the names of their columns."""

    kind: Literal["parquet"] = key("The kind of source.")
    columns: ParquetColumns = key("Names of the files' columns.", default_factory=ParquetColumns)
    time_unit: Literal["s", "ms", "us", "ns"] = key("What an integer in the time column counts, since 1970 UTC.", "ns")
    time_format: Text | None = key("How texts in the time column are written, as in CSV; otherwise RFC 3339.", None)

    @model_validator(mode="after")
    def _fits_together(self) -> ParquetSource:
        check_time_format(self.time_format, self.timezone)
        return self


class ParquetSink(SinkOptions):
    """Parquet files, partitioned by `year=`/`month=`, sorted by series and time."""

    beside: ClassVar = frozenset({"compression", "compression_level"})

    is_read_whole: ClassVar = True

    kind: Literal["parquet"] = key("The kind of sink.")
    path: PathText = key("Directory, on a disk or an object store.")
    compression: Literal["zstd", "snappy", "gzip", "lz4", "none"] = key("Compression of the columns.", "zstd")
    compression_level: int | None = key(
        "Its level: zstd 1 to 22, gzip 1 to 9, lz4 1 to 12; otherwise the codec's own.", None
    )
    text: bool = key(_TEXT, False)

    @model_validator(mode="after")
    def _has_a_level(self) -> ParquetSink:
        if self.compression_level is None:
            return self
        if self.compression not in _LEVELS:
            raise problem(f"compression {self.compression} has no levels: remove the key", at="compression_level")
        low, high = _LEVELS[self.compression]
        if not low <= self.compression_level <= high:
            raise problem(
                f"{self.compression_level} is no level of {self.compression}: use {low} to {high}",
                at="compression_level",
            )
        return self

    def identity(self) -> dict[str, str]:
        """Return the directory, and whether texts are kept; compression changes no point."""
        return {"sink": f"parquet {_place(self.path)}", "writing": _writing(self.text)}

    def folder(self) -> str:
        """Return the directory."""
        return self.path


class CsvSink(SinkOptions):
    """CSV files: times in RFC 3339 with nine decimals, values in the shortest form that reads back as the same number."""

    beside: ClassVar = frozenset({"compression"})

    is_read_whole: ClassVar = True

    kind: Literal["csv"] = key("The kind of sink.")
    path: PathText = key("Directory, on a disk or an object store.")
    layout: Literal["long", "wide"] = key(
        "`long`: one row per point, with its status. `wide`: one column per series, no status.", "long"
    )
    delimiter: Delimiter = key("Character between cells, or `tab`.", ",")
    compression: Literal["none", "gzip", "zstd"] = key("Compression of the files.", "none")
    text: bool = key(_TEXT, False)

    @model_validator(mode="after")
    def _has_a_delimiter(self) -> CsvSink:
        if self.delimiter == "auto":
            raise problem("auto is for reading: name the character to write", at="delimiter")
        if self.text and self.layout == "wide":
            raise problem("wide files have no place for texts: set layout: long", at="text")
        return self

    def identity(self) -> dict[str, str]:
        """Return the directory, and the layout and delimiter, which make other files."""
        return {"sink": f"csv {self.layout} {self.delimiter!r} {_place(self.path)}", "writing": _writing(self.text)}

    def folder(self) -> str:
        """Return the directory."""
        return self.path


def _writing(text: bool) -> str:
    return "as read, with texts" if text else "as read"


def _place(path: str) -> str:
    """Return a local path made absolute, since the same text in another directory is another place; keep remote paths."""
    return identity_of(path) if is_remote(path) else os.path.abspath(path)
