"""Sort a chunk's points by the ids under which they are stored."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa

from omnia_beam.core.chunk import Chunk


def in_stored_order(chunk: Chunk) -> Any:
    """Return a chunk's batch sorted by stored id and time.

    A chunk is sorted by the source's ids, which after a mapping may not be the order of the target's ids. Where both orders are
    the same, as without a mapping, it is the batch itself.
    """
    ids = chunk.series_ids
    if all(one < other for one, other in itertools.pairwise(ids)):
        return chunk.batch
    ranks = {series_id: rank for rank, series_id in enumerate(sorted(set(ids)))}
    rank = np.array([ranks[series_id] for series_id in ids], np.int32)[chunk.codes]
    return chunk.batch.take(pa.array(np.lexsort((chunk.points.times, rank))))
