"""The table of kinds: the one place that names them. A kind is one folder below `io/` and one line here.

Packages of others add theirs by the entry point group `omnia_beam.kinds`: the name is the kind's, the object a `Kind`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from omnia_beam.config.kind import SinkOptions, SourceOptions
from omnia_beam.core.errors import UsageError
from omnia_beam.io.files.options import CsvSink, CsvSource, ParquetSink, ParquetSource
from omnia_beam.io.omnia.options import OmniaSink, OmniaSource
from omnia_beam.io.pi.options import PiSource
from omnia_beam.io.postgresql.options import PostgresqlSink, PostgresqlSource

GROUP: Final = "omnia_beam.kinds"


@dataclass(frozen=True)
class Kind:
    """The options of one kind; None where it is only a sink or only a source."""

    source: type[SourceOptions] | None = None
    sink: type[SinkOptions] | None = None


KINDS: Final[Mapping[str, Kind]] = {
    "omnia": Kind(OmniaSource, OmniaSink),
    "csv": Kind(CsvSource, CsvSink),
    "parquet": Kind(ParquetSource, ParquetSink),
    "postgresql": Kind(PostgresqlSource, PostgresqlSink),
    "pi": Kind(PiSource),
}


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
    return kind
