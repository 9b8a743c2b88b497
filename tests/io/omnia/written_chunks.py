"""Chunks to be written: a point a second, drawn from a seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey

SECOND = 10**9
START = 1_704_067_200 * SECOND


def chunk_of(targets: Mapping[str, str], window: int, points: int = 40, seed: int = 0) -> Chunk:
    """A chunk of some series, one point a second."""
    time_range = TimeRange(START + window * points * SECOND, START + (window + 1) * points * SECOND)
    draws = np.random.default_rng([seed, window])
    times = time_range.start_ns + np.arange(points, dtype=np.int64) * SECOND

    def column() -> Points:
        return Points(times, draws.normal(size=points), draws.choice([192, 64], points).astype(np.uint32))

    sources = sorted(targets)
    return Chunk.from_points(
        ChunkKey(tuple(sources), time_range), {s: column() for s in sources}, [targets[s] for s in sources]
    )
