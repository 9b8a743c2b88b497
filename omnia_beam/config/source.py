"""The places that points come from: a service, CSV files, Parquet files."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator

from omnia_beam.config.connection import OmniaConnection
from omnia_beam.config.csv_fields import CommentMark, TimeColumn, WordStatus, check_csv, check_time_format
from omnia_beam.config.fields import Delimiter, OneOrMany, PathText, SeriesFrom, SeriesId, Status, Text, ZoneName
from omnia_beam.config.section import Section, key, problem
from omnia_beam.core.limits import GOOD


def _one_selection(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"required": [name]} for name in schema["properties"]]


class SearchConfig(Section):
    """A search in the service's metadata: what is given must all match; `*` stands for anything."""

    model_config = ConfigDict(json_schema_extra=_one_selection)
    starter: ClassVar = {"name": ""}

    # Field names keep the service's own spelling, so that its documentation applies here. [sdk]
    name: Text | None = key("Name, such as `*PT*`.", None)
    description: Text | None = key("Description.", None)
    facility: Text | None = key("Facility (plant) code, such as `1191`.", None)
    unit: Text | None = key("Engineering unit.", None)
    source: Text | None = key("System that the timeseries comes from.", None)
    assetId: Text | None = key("Asset id.", None)
    externalId: Text | None = key("External id.", None)

    @model_validator(mode="after")
    def _asks_for_something(self) -> SearchConfig:
        if not self.patterns():
            raise problem('asks for nothing: give at least one of its keys; name: "*" asks for everything')
        return self

    def patterns(self) -> dict[str, str]:
        """Return the keys that were given, by name."""
        return {name: value for name, value in self if value is not None}


class SeriesSelection(Section):
    """Which timeseries to read: all that any of the keys names, each once."""

    model_config = ConfigDict(json_schema_extra=_one_selection)
    starter: ClassVar = {"search": ""}

    ids: OneOrMany[SeriesId] = key("Ids of timeseries.", ())
    ids_file: PathText | None = key(
        "File of ids: one a line, or CSV with a column `id`, `series_id` or `source`; `#` begins a comment.", None
    )
    search: OneOrMany[SearchConfig] = key("Searches in the service's metadata; one or a list.", ())

    @model_validator(mode="after")
    def _selects_something(self) -> SeriesSelection:
        if not self.ids and self.ids_file is None and not self.search:
            raise problem("selects nothing: give ids, ids_file or search")
        return self


class OmniaSource(OmniaConnection):
    """An Omnia Timeseries service to read from."""

    job_starter: ClassVar = {"window": ""}

    kind: Literal["omnia"] = key("The kind of source.")
    federation_source: Literal["IMS", "TSDB", "DataLake"] | None = key(
        "Which of the service's stores answers; it changes the answer. Where it is not given, the service decides.",
        None,
    )
    series: SeriesSelection = key("Which timeseries to read.")
    status: OneOrMany[Status] = key("Read only points with one of these statuses.", ())


class FileSource(Section):
    """The keys that CSV and Parquet sources share."""

    path: OneOrMany[PathText] = key(
        "File, glob or list of them, on a disk or an object store. Where two rows give the same series and time, the later file in "
        "name order wins, as an upsert would."
    )
    include: OneOrMany[Text] = key("Read only series whose name matches one of these; `*` stands for anything.", ())
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


class CsvSource(FileSource):
    """CSV files, wide (a column a series) or long (a row a point)."""

    kind: Literal["csv"] = key("The kind of source.")
    layout: Literal["auto", "wide", "long"] = key(
        "`wide`: a time column, every other column a series by its name. `long`: a row a point. `auto`: long where the header "
        "has a series and a value column.",
        "auto",
    )
    delimiter: Delimiter = key(
        "Character between cells; `tab`; or `auto`: what the header uses of `,`, `;` and tab.", "auto"
    )
    decimal: Literal[".", ","] = key("Decimal mark of values.", ".")
    encoding: Text = key(
        "Text encoding of the files. A byte order mark goes before it, and UTF-16 is known without a mark too.", "utf-8"
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
        "What becomes of local times that come twice when clocks go back: the file is refused with the line, the order of the "
        "rows tells (of each series, and of a wide file), the earlier or the later is meant, or such points become dead letters.",
        "refuse",
    )
    skip_rows: Annotated[int, Field(ge=0, le=100_000)] = key("Lines before the header.", 0)
    skip_after_header: Annotated[int, Field(ge=0, le=100_000)] = key(
        "Rows behind the header that are no points, such as one of units; empty lines and comments do not count.", 0
    )
    skip_footer: Annotated[int, Field(ge=0, le=100_000)] = key(
        "Rows at the end that are no points; empty lines and comments do not count.", 0
    )
    comment: CommentMark | None = key("What lines that do not count begin with, such as `#`.", None)
    thousands: Literal[" ", ".", ",", "'"] | None = key(
        "Mark between groups of three digits of values; a blank stands for no-break and narrow ones too.", None
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


class ParquetSource(FileSource):
    """Parquet files of one row a point: those of this program, or others by the names of their columns."""

    kind: Literal["parquet"] = key("The kind of source.")
    columns: ParquetColumns = key("Names of the files' columns.", default_factory=ParquetColumns)
    time_unit: Literal["s", "ms", "us", "ns"] = key("What an integer in the time column counts, since 1970 UTC.", "ns")
    time_format: Text | None = key("How texts in the time column are written, as in CSV; otherwise RFC 3339.", None)

    @model_validator(mode="after")
    def _fits_together(self) -> ParquetSource:
        check_time_format(self.time_format, self.timezone)
        return self


Source = Annotated[OmniaSource | CsvSource | ParquetSource, Field(discriminator="kind")]
