"""The places that points go to: a service, Parquet files, CSV files."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, model_validator

from omnia_beam.config.connection import OmniaConnection
from omnia_beam.config.fields import Delimiter, Factor, PathText, Status, Template
from omnia_beam.config.section import Section, key, problem
from omnia_beam.core.limits import TIME_RESOLUTION_NS

_LEVELS: Final = {"zstd": (1, 22), "gzip": (1, 9), "lz4": (1, 12)}
"""Lowest and highest compression level of each codec, from its own documentation."""


class CreateMissing(Section):
    """Metadata of target timeseries that have to be created. What is not given is carried over from the source."""

    facility: Template | None = key(
        "Facility: a text or template such as `{facility}`. Without it, it comes from the mapping or the source.", None
    )
    name: Template = key("Name: a text or template such as `{name}`.", "{name}")
    description: Template | None = key("Description, as a template.", None)
    unit: Template | None = key("Engineering unit, as a template; the mapping's target unit goes before it.", None)
    source: Template | None = key("System that the timeseries comes from, as a template.", None)
    assetId: Template | None = key("Asset id, as a template.", None)
    externalId: Template | None = key("External id, as a template.", None)
    step: bool | None = key("Whether values hold until the next one.", None)


class OmniaSink(OmniaConnection):
    """An Omnia Timeseries service to write to."""

    job_starter: ClassVar = {"mapping": ""}

    kind: Literal["omnia"] = key("The kind of sink.")
    create_missing: CreateMissing | None = key(
        "Create target timeseries that do not exist, with this metadata. Without it, a missing target is an error.",
        None,
    )
    batch_points: int = key("Points in one write, at most.", 10_000, ge=1, le=1_000_000)
    batch_bytes: int = key("Bytes in one write's body, at most.", 4_000_000, ge=1_000, le=1_000_000_000)
    nan: Literal["dead_letter", "drop_counted", "as_bad_status"] = key(
        "What becomes of NaN and infinities, which the service's JSON cannot hold: kept as dead letters, dropped and counted, "
        "or written as `bad_value` with `bad_status`.",
        "dead_letter",
    )
    bad_status: Status = key("Status written by `nan: as_bad_status`.", 0)
    bad_value: Factor = key("Value written by `nan: as_bad_status`.", 0.0)
    time_resolution: Literal["dead_letter", "truncate"] = key(
        f"What becomes of times finer than the service's {TIME_RESOLUTION_NS} ns: kept as dead letters, or cut off (and "
        "counted; two points in the same step become one).",
        "dead_letter",
    )


class ParquetSink(Section):
    """Parquet files, partitioned by `year=`/`month=`, sorted by series and time."""

    kind: Literal["parquet"] = key("The kind of sink.")
    path: PathText = key("Directory, on a disk or an object store.")
    compression: Literal["zstd", "snappy", "gzip", "lz4", "none"] = key("Compression of the columns.", "zstd")
    compression_level: int | None = key(
        "Its level: zstd 1 to 22, gzip 1 to 9, lz4 1 to 12; otherwise the codec's own.", None
    )

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


class CsvSink(Section):
    """CSV files: times in RFC 3339 with nine decimals, values in the shortest form that reads back as the same number."""

    kind: Literal["csv"] = key("The kind of sink.")
    path: PathText = key("Directory, on a disk or an object store.")
    layout: Literal["long", "wide"] = key(
        "`long`: a row a point, with its status. `wide`: a column a series, no status.", "long"
    )
    delimiter: Delimiter = key("Character between cells, or `tab`.", ",")
    compression: Literal["none", "gzip", "zstd"] = key("Compression of the files.", "none")

    @model_validator(mode="after")
    def _has_a_delimiter(self) -> CsvSink:
        if self.delimiter == "auto":
            raise problem("auto is for reading: name the character to write", at="delimiter")
        return self


Sink = Annotated[OmniaSink | ParquetSink | CsvSink, Field(discriminator="kind")]
