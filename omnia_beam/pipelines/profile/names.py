"""Read the names and units of series from the series metadata beside a destination's data."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from apache_beam.io.filesystems import FileSystems

from omnia_beam.core.errors import DestinationError
from omnia_beam.io.files.destination_files import opened_file
from omnia_beam.ledger.store import is_local
from omnia_beam.pipelines.profile.figures import SeriesAbout, SeriesFigures

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
            problems.append(f"{name} cannot be read, so ids stand in place of its names: {error}")
    return SeriesNames(rows, tuple(problems))


def _metadata_files(path: str) -> list[str]:
    """Return the names of the files, the oldest first."""
    if is_local(path):
        found = [
            (os.stat(each).st_mtime_ns, each.name) for each in Path(path).glob(f"{_PREFIX}*{_SUFFIX}") if each.is_file()
        ]
        return [name for _, name in sorted(found)]
    root = path.rstrip("/")
    matched = FileSystems.match([f"{root}/{_PREFIX}*{_SUFFIX}"])[0].metadata_list
    newest_last = sorted(matched, key=lambda each: (each.last_updated_in_seconds or 0, each.path))
    return [each.path[len(root) + 1 :] for each in newest_last]


def _rows(path: str) -> Iterator[tuple[str, SeriesAbout]]:
    with opened_file(path) as source:
        text = bytes(source.read()).decode("utf-8-sig")
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if "series_id" not in (reader.fieldnames or ()):
        raise ValueError("it has no column series_id")
    for row in reader:
        yield row["series_id"] or "", SeriesAbout(*(row.get(name) or "" for name in _FIELDS))
