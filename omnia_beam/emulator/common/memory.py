"""Series given as arrays by the program that starts an emulator on a thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omnia_beam.emulator.common.metadata import WRITABLE, SeriesMetadata, series_id
from omnia_beam.emulator.common.points import Points, as_points, upserted
from omnia_beam.emulator.common.source import StoredPoints
from omnia_beam.emulator.common.store import Store


def add_memory_series(store: Store, series: Mapping[str, Any], *, facility: str) -> None:
    """Add the series of `load_store(series=…)`.

    A value is `(times, values[, statuses])`, times in ns, or a dict of the service's metadata fields, optionally with
    `id`, and with such a tuple under `points`. The last of several points with one time wins. Raises ValueError, which
    names what is wrong.
    """
    for name, given in series.items():
        fields: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {"points": given}
        points = fields.pop("points", None)
        fields = {"name": name, "facility": facility, "source": "IMS"} | fields
        unknown = sorted(set(fields) - set(WRITABLE) - {"id"})
        if unknown:
            raise ValueError(f"series {name!r}: unknown fields {', '.join(unknown)}")
        fields.setdefault("id", series_id(fields["facility"], fields["name"]))
        store.add(SeriesMetadata(**fields), StoredPoints(_columns(name, points)))


def _columns(name: str, points: Any) -> Points | None:
    if points is None or isinstance(points, Points):
        return points
    if not isinstance(points, tuple | list) or len(points) not in (2, 3):
        raise ValueError(f"series {name!r}: its points must be (times, values) or (times, values, statuses)")
    return upserted(as_points(*points))
