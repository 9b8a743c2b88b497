"""The catalogue of hostile series: the kinds of data that have broken readers of time series before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from omnia_beam.emulator.common.counterhash import hashes, key_of
from omnia_beam.emulator.common.grid import TimeGrid
from omnia_beam.emulator.common.metadata import SeriesMetadata, series_id
from omnia_beam.emulator.common.points import Points, as_points, no_points
from omnia_beam.emulator.common.signal import PlantSignal, Quality, Shape
from omnia_beam.emulator.common.source import PointSource, StoredPoints
from omnia_beam.emulator.common.store import Store
from omnia_beam.emulator.common.timetext import NS_PER_SECOND, parse_time

_DAY_NS = 86_400 * NS_PER_SECOND
_YEAR_2024 = parse_time("2024-01-01")
UNLISTED_STATUSES = (1, 127, 128, 193, 16_383, 16_384, 2_097_152, 268_435_456, 2**31, 2**32 - 1)


def add_hostile(store: Store, label: str, *, facility: str, seed: int) -> None:
    """Add the catalogue; each series is named `<label>-<what it is>`."""
    for name, description, content in catalogue(seed):
        full_name = f"{label}-{name}"
        metadata = SeriesMetadata(
            series_id(facility, full_name),
            full_name,
            facility,
            description=description,
            unit="1",
            externalId=f"{facility}:{full_name}",
            source="IMS",
        )
        store.add(metadata, StoredPoints(content) if isinstance(content, Points) else content)


def catalogue(seed: int) -> Iterator[tuple[str, str, Points | PointSource]]:
    """Yield name, description and points of each hostile series."""
    yield "empty", "No point at all", no_points()
    yield "one-point", "A single point", as_points([_YEAR_2024 + 12_345_678_900], [1.25])
    yield "before-1970", "Negative times, and across the epoch", _spaced("1965-01-01", 4_000, _DAY_NS, seed)
    yield "epoch-edge", "Every ns around the epoch, so the shortest time varints", _around_epoch()
    yield "varint-edge", "Times around each change of varint length since 1970", _around_varint_edges()
    yield (
        "one-ns-apart",
        "Neighbours 1 ns apart: JSON cannot tell them from one another",
        _spaced("2024-02-29T23:59:59.9999", 2_000, 1, seed),
    )
    yield "ticks", "Neighbours 100 ns apart, the finest that JSON resolves", _spaced("2024-03-01", 20_000, 100, seed)
    yield (
        "hour-edges",
        "Points exactly on hours, so on edges of days and months too",
        _spaced("2023-11-01", 6_000, 3_600 * NS_PER_SECOND, seed),
    )
    yield "edge-neighbours", "The last and the first 100 ns of each day", _edge_neighbours()
    yield "million-in-a-second", "A million points within one second", _million(seed)
    yield "gaps-of-years", "Ten points a day on single days years apart", _years_apart()
    yield "only-bad", "Not one good status", as_points(*_line("2024-01-01", 5_000, 60 * NS_PER_SECOND), 0)
    yield "unlisted-statuses", "Statuses that no table lists, of every varint length", _unlisted()
    yield "odd-values", "NaN, infinities, negative zero, denormals and the largest doubles", _odd_values()
    yield "year-1900", "The earliest times that people mean", _spaced("1900-01-01", 500, 30 * _DAY_NS, seed)
    yield "year-2200", "Times far ahead", _spaced("2200-01-01", 500, _DAY_NS, seed)
    yield "bursts-and-silence", "Two bursts of 150,000 points, a century of one point a year between", _two_bursts(seed)


def _line(start: str, count: int, step_ns: int) -> tuple[Any, Any]:
    times = parse_time(start) + np.arange(count, dtype=np.int64) * step_ns
    return times, np.arange(count) * 0.5


def _spaced(start: str, count: int, step_ns: int, seed: int) -> Points:
    times, _ = _line(start, count, step_ns)
    drawn = hashes(key_of(seed, start, step_ns), 0, count)
    values = (drawn >> np.uint64(11)).astype(np.float64) * 2.0**-53 * 100.0
    return as_points(times, values, np.where(drawn % np.uint64(10) == 0, 64, 192))


def _around_epoch() -> Points:
    near = np.arange(-300, 301)
    return as_points(near, near / 7.0, np.where(near % 3 == 0, 0, 192))


def _around_varint_edges() -> Points:
    edges = [2 ** (7 * length) for length in range(1, 9)]
    times = np.unique(np.concatenate([np.arange(edge - 3, edge + 4) for edge in edges]))
    return as_points(times, times * 1e-9, 192)


def _edge_neighbours() -> Points:
    days = parse_time("2024-02-25") + np.arange(20) * _DAY_NS
    times = np.sort(np.concatenate([days - 100, days, days + 100]))
    return as_points(times, np.arange(len(times)), 192)


def _million(seed: int) -> PlantSignal:
    key = key_of(seed, "million")
    grid = TimeGrid(parse_time("2024-06-01T12:00:00"), 1_000, np.zeros(1, np.int64), 1_000_000, key, 900, 100)
    return PlantSignal(grid, Shape(key, 10.0, 5.0, NS_PER_SECOND, 1.0, 10_000_000, 0.1), Quality(key))


def _years_apart() -> Points:
    starts = [parse_time(f"{year}-07-15") for year in (1975, 1981, 1999, 2004, 2013, 2024)]
    times = np.concatenate([start + np.arange(10) * 3_600 * NS_PER_SECOND for start in starts])
    return as_points(times, np.arange(len(times)) * 1.5, 192)


def _unlisted() -> Points:
    times, values = _line("2024-01-01", 3_000, NS_PER_SECOND)
    return as_points(times, values, np.resize(np.array(UNLISTED_STATUSES, dtype=np.uint32), len(times)))


def _odd_values() -> Points:
    payload = np.array([0x7FF8000000000001, 0xFFF8000000000000], dtype=np.uint64).view(np.float64)
    special = [np.nan, *payload, np.inf, -np.inf, -0.0, 0.0, 5e-324, -5e-324, 2.2250738585072014e-308]
    special += [1.7976931348623157e308, -1.7976931348623157e308, 0.1, 1 / 3, 1e22, 123456789.123456789]
    times, _ = _line("2024-01-01", 400, NS_PER_SECOND)
    return as_points(times, np.resize(np.array(special), len(times)), 192)


def _two_bursts(seed: int) -> Points:
    early, _ = _line("1920-01-01", 150_000, 1_000_000)
    between = np.array([parse_time(f"{year}-01-01") for year in range(1921, 2021)], dtype=np.int64)
    late, _ = _line("2021-01-01", 150_000, 1_000_000)
    times = np.concatenate([early, between, late])
    drawn = hashes(key_of(seed, "bursts"), 0, len(times))
    return as_points(times, (drawn >> np.uint64(40)).astype(np.float64), np.where(drawn % np.uint64(7) == 0, 24, 192))
