"""Series metadata beside files: those that a source's files come with, and those that a sink keeps of its job."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from omnia_beam.config.series_file import find_series_files, read_series_file, series_file_name, series_table
from omnia_beam.core.series import Timeseries
from omnia_beam.io.contents import SeriesAbout, SeriesNames
from omnia_beam.ledger.fence import LeaseFence
from omnia_beam.store import reason, within, write_durably
from omnia_beam.store.place import Place


@dataclass(frozen=True)
class FoundMetadata:
    """The metadata at the root of a source's paths.

    Args:
        series: by id; of a series the row of the newest file counts.
        problems: what could not be read or understood, a text each, with file and line.
    """

    series: Mapping[str, Timeseries] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def of(self, name: str, facility: str) -> Timeseries:
        """Return a file's series with its metadata, as far as there is any.

        Args:
            name: in the files, which is its id.
            facility: where the metadata has none.
        """
        found = self.series.get(name, Timeseries(name, name, facility))
        return replace(found, name=found.name or name, facility=found.facility or facility)


def find_metadata(paths: Iterable[str]) -> FoundMetadata:
    """Read all `_series*.csv` at the root of paths and globs: the folder before the first part with a wildcard."""
    series: dict[str, Timeseries] = {}
    problems: list[str] = []
    for folder in dict.fromkeys(map(_root, paths)):
        try:
            files = find_series_files(folder)
        except OSError as error:
            problems.append(f"{folder}: cannot be listed for series metadata: {reason(error)}")
            continue
        for file in files:
            rows, wrong = read_series_file(file)
            series |= {each.series.id: each.series for each in rows}
            problems += wrong
    return FoundMetadata(series, tuple(problems))


def write_metadata(folder: str, job_name: str, series: Iterable[Timeseries], fence: LeaseFence) -> None:
    """Replace a job's file of series metadata, whole, as long as the lease is held.

    Raises:
        DestinationError: it cannot be written.
        StateError: the lease was lost.
    """
    write_durably(within(folder, series_file_name(job_name)), series_table(series), placing=fence.placing)


def _root(path: str) -> str:
    """Return the folder of a path or glob above which nothing of it lies."""
    scheme, _, rest = path.rpartition("://")
    parts = rest.split("/")[:-1]
    fixed = next((at for at, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    root = "/".join(parts[:fixed]) or ("/" if rest.startswith("/") else ".")
    if not scheme:
        return root
    root = f"{scheme}://{root}"
    return Place(root, path.entry) if isinstance(path, Place) else root


def read_names(path: str) -> SeriesNames:
    """Read all `_series*.csv` at the root of a destination; of a series the row of the newest file counts."""
    rows: dict[str, SeriesAbout] = {}
    problems: list[str] = []
    for file in find_series_files(path):
        found, wrong = read_series_file(file)
        rows |= {
            each.series.id: SeriesAbout(
                each.series.name, each.series.unit or "", each.series.facility, each.series.description or ""
            )
            for each in found
        }
        if wrong:
            problems.append(f"ids stand in place of names: {wrong[0]}")
    return SeriesNames(rows, tuple(problems))
