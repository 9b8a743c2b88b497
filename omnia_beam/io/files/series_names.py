"""Read the names and units of series from the series metadata beside the data of a destination of files."""

from __future__ import annotations

from omnia_beam.config.series_file import find_series_files, read_series_file
from omnia_beam.io.contents import SeriesAbout, SeriesNames


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
