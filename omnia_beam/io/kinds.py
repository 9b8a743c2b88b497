"""The table of kinds: the one place that names them. A kind is one folder below `io/` and one line here.

Packages of others add theirs by the entry point group `omnia_beam.kinds`: the name is the kind's, the object a `Kind`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final

from omnia_beam.config.kind import SinkOptions, SourceOptions
from omnia_beam.core.errors import UsageError
from omnia_beam.io.files.options import CsvSink, CsvSource, ParquetSink, ParquetSource
from omnia_beam.io.omnia.options import OmniaSink, OmniaSource
from omnia_beam.io.pi.options import PiSource
from omnia_beam.io.postgresql.options import PostgresqlSink, PostgresqlSource

if TYPE_CHECKING:
    from omnia_beam.config.job import JobConfig
    from omnia_beam.io.base import Sink, Source

GROUP: Final = "omnia_beam.kinds"


@dataclass(frozen=True)
class Kind:
    """One kind: its options, and what makes the two ends of a job from them; None where it is only a sink or only a source.

    Args:
        source, sink: the options.
        make_source, make_sink: return the source, or the sink, of options and their job, without any request, read or write.
            They import what they need when they are called, since most commands need neither.
        find_keys: returns the keys that describe files as they are found, and what was seen of them, for a first job; takes the
            kind and the paths. None for a kind that has no files.
    """

    source: type[SourceOptions] | None = None
    sink: type[SinkOptions] | None = None
    make_source: Callable[[Any, JobConfig], Source] | None = None
    make_sink: Callable[[Any, JobConfig], Sink] | None = None
    find_keys: Callable[[str, tuple[str, ...]], tuple[dict[str, Any], list[str]]] | None = None


def _omnia_source(options: OmniaSource, job: JobConfig) -> Source:
    from omnia_beam.io.omnia.source import ServiceSource

    return ServiceSource(options, job)


def _omnia_sink(options: OmniaSink, job: JobConfig) -> Sink:
    from omnia_beam.io.omnia.sink import ServiceSink

    return ServiceSink(options, job)


def _files_source(options: CsvSource | ParquetSource, job: JobConfig) -> Source:
    from omnia_beam.io.files.source import FilesSource

    return FilesSource(options, job)


def _files_sink(options: CsvSink | ParquetSink, job: JobConfig) -> Sink:
    from omnia_beam.io.files.sink import FilesSink

    return FilesSink(options, job)


def _keys_of_files(kind: str, paths: tuple[str, ...]) -> tuple[dict[str, Any], list[str]]:
    from omnia_beam.io.files.description import starter_keys

    return starter_keys(kind, paths)


def _pi_source(options: PiSource, job: JobConfig) -> Source:
    from omnia_beam.io.pi.source import PiServer

    return PiServer(options, job)


def _postgresql_source(options: PostgresqlSource, job: JobConfig) -> Source:
    from omnia_beam.io.postgresql.source import TableSource

    return TableSource(options, job)


def _postgresql_sink(options: PostgresqlSink, job: JobConfig) -> Sink:
    from omnia_beam.io.postgresql.sink import TableSink

    return TableSink(options, job)


KINDS: Final[Mapping[str, Kind]] = {
    "omnia": Kind(OmniaSource, OmniaSink, _omnia_source, _omnia_sink),
    "csv": Kind(CsvSource, CsvSink, _files_source, _files_sink, _keys_of_files),
    "parquet": Kind(ParquetSource, ParquetSink, _files_source, _files_sink, _keys_of_files),
    "postgresql": Kind(PostgresqlSource, PostgresqlSink, _postgresql_source, _postgresql_sink),
    "pi": Kind(PiSource, make_source=_pi_source),
}


def source_of(job: JobConfig) -> Source:
    """Return the source of a job, without any request or read.

    Raises:
        UsageError: the kind is a sink only; the model of a job refuses such a file before.
    """
    make = kinds()[job.source.kind].make_source
    if make is None:
        raise UsageError(f"source.kind: {job.source.kind} cannot be read from: it is a sink only")
    return make(job.source, job)


def sink_of(job: JobConfig) -> Sink:
    """Return the sink of a job, without any request or write.

    Raises:
        UsageError: the kind is a source only; the model of a job refuses such a file before.
    """
    make = kinds()[job.sink.kind].make_sink
    if make is None:
        raise UsageError(f"sink.kind: {job.sink.kind} cannot be written to: it is a source only")
    return make(job.sink, job)


@cache
def kinds() -> Mapping[str, Kind]:
    """Return all kinds by name: those of this package, and those of others that are installed.

    Raises:
        UsageError: a kind of another package cannot be loaded, or has the name of one of these.
    """
    found = dict(KINDS)
    for entry in entry_points(group=GROUP):
        found[entry.name] = _loaded(entry, found)
    return found


def _loaded(entry: EntryPoint, known: Mapping[str, Kind]) -> Kind:
    package = entry.dist.name if entry.dist is not None else entry.value
    if entry.name in known:
        raise UsageError(f"kind {entry.name} of the package {package} exists already: uninstall one of the two")
    try:
        kind = entry.load()
    except Exception as error:  # whatever the other package does on import
        raise UsageError(f"kind {entry.name} of the package {package} cannot be loaded: {error}") from error
    if not isinstance(kind, Kind):
        raise UsageError(f"kind {entry.name} of the package {package}: {entry.value} is no omnia_beam.io.kinds.Kind")
    if (kind.source is None) != (kind.make_source is None) or (kind.sink is None) != (kind.make_sink is None):
        raise UsageError(
            f"kind {entry.name} of the package {package}: options and what makes the end from them come together"
        )
    return kind
