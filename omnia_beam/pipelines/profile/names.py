"""Read the names and units of series from the series metadata beside a destination's data."""

from __future__ import annotations

from dataclasses import dataclass, replace

from omnia_beam.config.series_file import find_series_files, read_series_file
from omnia_beam.pipelines.profile.figures import SeriesAbout, SeriesFigures


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
