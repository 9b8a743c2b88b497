"""Read the names and units of series from the series metadata beside a destination's data."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from omnia_beam.core.errors import DestinationError
from omnia_beam.io.files.destination_files import opened_file
from omnia_beam.pipelines.profile.figures import SeriesAbout, SeriesFigures
from omnia_beam.store import store_of

_PREFIX: Final = "_series-"
_SUFFIX: Final = ".csv"
_FIELDS: Final = ("name", "unit", "facility", "description")


@dataclass(frozen=True)
class SeriesNames:
    """Metadata by stored id.

    Args:
        rows: what is known of each series.
        problems: files that cannot be read, a text each.
    """

    rows: dict[str, SeriesAbout]
    problems: tuple[str, ...] = ()

    def named(self, figures: SeriesFigures) -> SeriesFigures:
        """Return the figures with the series' metadata, where there is any."""
        found = self.rows.get(figures.series_id)
        return figures if found is None else replace(figures, about=found)


def read_names(path: str) -> SeriesNames:
    """Read all `_series-*.csv` at the root of a destination; of a series the row of the newest file counts."""
    rows: dict[str, SeriesAbout] = {}
    problems = []
    for name in _metadata_files(path):
        try:
            rows.update(_rows(f"{path.rstrip('/')}/{name}"))
        except (OSError, ValueError, csv.Error, DestinationError) as error:
            problems.append(f"{name} cannot be read, so ids are shown in place of its names: {error}")
    return SeriesNames(rows, tuple(problems))


def _metadata_files(path: str) -> list[str]:
    """Return the names of the files at the root of a destination, the oldest first."""
    found = [each for each in store_of(path).list(path) if _is_metadata(each.name)]
    return [each.name for each in sorted(found, key=lambda each: (each.mtime_ns, each.name))]


def _is_metadata(name: str) -> bool:
    return "/" not in name and name.startswith(_PREFIX) and name.endswith(_SUFFIX)


def _rows(path: str) -> Iterator[tuple[str, SeriesAbout]]:
    with opened_file(path) as source:
        text = bytes(source.read()).decode("utf-8-sig")
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if "series_id" not in (reader.fieldnames or ()):
        raise ValueError("it has no column series_id")
    for row in reader:
        yield row["series_id"] or "", SeriesAbout(*(row.get(name) or "" for name in _FIELDS))
