"""The whole configuration of a job."""

from __future__ import annotations

import time
from typing import Literal

from pydantic import ValidationInfo, field_validator, model_validator

from omnia_beam.config.accept import AcceptItem
from omnia_beam.config.expect import ExpectConfig
from omnia_beam.config.fields import Duration, JobName, Moment, OneOrMany, PathText, Removable
from omnia_beam.config.kind import SinkOptions, SourceOptions
from omnia_beam.config.mapping import MappingConfig
from omnia_beam.config.section import Section, key, problem
from omnia_beam.config.storage import StorageOptions, give_settings
from omnia_beam.core.errors import UsageError
from omnia_beam.core.limits import MAX_CHUNK_POINTS
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import format_time
from omnia_beam.store.place import with_settings


class WindowConfig(Section):
    """The time to copy, from `start` up to but not including `end`."""

    start: Moment = key("First instant.")
    end: Moment | None = key(
        "The instant after the last. Without it a batch command goes up to now, and a tail has no end.", None
    )

    @model_validator(mode="after")
    def _is_not_empty(self) -> WindowConfig:
        if self.end is None:
            return self
        if self.end < self.start:
            raise problem(
                f"ends before it starts: start {format_time(self.start)}, end {format_time(self.end)}", at="end"
            )
        if self.end == self.start:
            raise problem(
                f"is empty: it starts and ends at {format_time(self.start)} (the end does not belong to it)", at="end"
            )
        return self


class TailConfig(Section):
    """How a copy is kept fresh."""

    poll: Duration = key("Time between two polls of the source.", "30s")
    lag: Duration = key("How far behind now to stay, so that the source has settled.", "5m")
    refresh: Duration | None = key("Trailing interval that is read again for late data.", None)

    @field_validator("refresh", mode="after")
    @classmethod
    def _reaches_behind_the_lag(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and value <= info.data.get("lag", 0):
            raise problem("reaches back no further than lag: nothing would be read again")
        return value


class MetricsConfig(Section):
    """Where a run's Prometheus metrics go: a port, a text file, or both."""

    port: int | None = key("Port that serves them over HTTP while the job runs.", None, ge=1, le=65_535)
    host: str = key("Address that the port is opened at.", "127.0.0.1", min_length=1)
    textfile: PathText | None = key(
        "File for node_exporter's textfile collector; `{name}` is the job's name. Counters continue from what it holds.",
        None,
    )

    @field_validator("textfile", mode="after")
    @classmethod
    def _is_a_local_file(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            raise problem("is a file on this machine, such as /var/lib/node_exporter/{name}.prom")
        return value

    @model_validator(mode="after")
    def _goes_somewhere(self) -> MetricsConfig:
        if self.port is None and self.textfile is None:
            raise problem("needs a port, a textfile, or both", at="port")
        return self


class JobConfig(Section):
    """A job: what to read, what to do with it, where to put it, and where to record what is done.

    The model that reads a file narrows `source` and `sink` to the kinds that there are; see `pipelines.config`.

    Times are ns since the Unix epoch, durations ns. Relative paths start at the current directory.
    """

    name: JobName = key("Name of the job, in file names and reports; one state directory can serve several jobs.")
    source: SourceOptions = key("Where points come from.")
    window: WindowConfig | None = key("The time to copy. Files without it are read whole.", None)
    sink: SinkOptions = key("Where points go to.")
    mapping: MappingConfig | None = key(
        "How the source's timeseries become the target's. Without it every series keeps its id.", None
    )
    state: PathText = key("Directory of ledger, plan and dead letters, on a disk or an object store.")
    storage: OneOrMany[StorageOptions] = key(
        "How object stores are reached, where the environment does not configure it: one entry or a list; of those that fit a "
        "place the one with the longest `for` counts.",
        (),
    )
    order: Literal["oldest_first", "newest_first"] = key("Which windows to copy first.", "oldest_first")
    refresh: Duration | None = key("Trailing interval of the window that every run reads again, for late data.", None)
    deadline: Duration | None = key("Time after which a run stops, between two windows; the next run continues.", None)
    max_chunk_points: int = key(
        "Points in one chunk, at most: what bounds the memory.", MAX_CHUNK_POINTS, ge=1, le=100_000_000
    )
    workers: int = key("Processes on this machine; the rate is for all of them together.", 1, ge=1, le=256)
    destination_check: Literal["full", "existence", "off"] | None = key(
        "How the destination is compared with the ledger at the end of a run. Files: names and sizes, by one listing. Target "
        "series of a service: `existence`, or `full` for the counts of their points too. What is lost is written again. "
        "Without it `full` up to 10,000 series, `existence` above.",
        None,
    )
    vanished: Literal["keep", "follow"] = key(
        "What happens to stored points whose window, series or file held points and now shows none: `keep` reports and "
        "keeps them, `follow` removes them.",
        "keep",
    )
    max_removed: Removable = key(
        "Points that a run may remove from the destination without replacing them: a number, or a percentage of what is "
        "recorded for the job, which means at least 1,000. Above it nothing is removed.",
        "1%",
    )
    tail: TailConfig = key("How `omnia-beam tail` keeps the copy fresh.", default_factory=TailConfig)
    metrics: MetricsConfig | None = key("Prometheus metrics of backfill, migrate, tail and replay.", None)
    accept: OneOrMany[AcceptItem] = key(
        "Findings of the loss report that do not stop a migration: names, or `{NAME: {series: [PATTERN], at_most: POINTS}}`.",
        (),
    )

    expect: ExpectConfig | None = key(
        "What the points at the destination are expected to be like, checked after backfill and migrate, and by profile: a series "
        "that is not as expected is named, and the exit code is 1. It changes nothing that is copied.",
        None,
    )

    @model_validator(mode="after")
    def _expects_what_can_be_read(self) -> JobConfig:
        if self.expect is not None and not self.sink.is_read_whole:
            raise problem(
                f"is checked by reading the destination as a whole, which a sink of kind {self.sink.kind} is not: remove it",
                at="expect",
            )
        return self

    @model_validator(mode="after")
    def _maps_statuses_of_its_source(self) -> JobConfig:
        name = None if self.mapping is None else self.mapping.status_map
        reason = self.source.refused_status_maps.get(name) if isinstance(name, str) else None
        if reason is not None:
            raise problem(f"status_map {name} does not fit: {reason}; remove it", at="mapping")
        return self

    @model_validator(mode="after")
    def _reaches_its_places(self) -> JobConfig:
        give_settings(self, [each.entry for each in self.storage])
        return self

    def placed(self, path: str) -> str:
        """Return a path that the command line names, with the settings of its store.

        Raises:
            UsageError: it names no store that is known.
        """
        return with_settings(path, [each.entry for each in self.storage])


def wanted_range(job: JobConfig) -> TimeRange:
    """Return the window of a job; without an end, up to now.

    It may reach into the future, where forecasts lie: `redo_keys` explains why such a window is read again later.

    Raises:
        UsageError: there is no window, or it starts in the future.
    """
    if job.window is None:
        raise UsageError(
            f"window: a source of kind {job.source.kind} needs one: {{start: 2023-01-01, end: 2024-01-01}}, or --start and --end"
        )
    end = time.time_ns() if job.window.end is None else job.window.end
    if end <= job.window.start:
        raise UsageError("window.start is in the future: there is nothing to read yet")
    return TimeRange(job.window.start, end)
