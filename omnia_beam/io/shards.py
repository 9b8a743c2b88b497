"""Put planned windows on a pipeline, in elements of some windows each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import apache_beam as beam

from omnia_beam.beam import coders
from omnia_beam.core.window import Window

coders.register_coders()

_LOCAL_SHARD: Final = 1024
_CLUSTER_SHARD: Final = 16
"""Windows in one element: many in this process, where shards run one after another, and few on a cluster, where workers share
them."""


def planned_shards(
    pipeline: Any, shards: Callable[[Iterable[Window], int], Iterator[Any]], windows: Iterable[Window], *, local: bool
) -> Any:
    """Return the collection of the elements that `OpenSource.reading` takes; on a cluster they are spread over the workers.

    Args:
        shards: makes the elements; see `OpenSource.shards`.
        windows: what to read.
        local: whether the pipeline runs in this process.
    """
    elements = list(shards(windows, _LOCAL_SHARD if local else _CLUSTER_SHARD))
    created = pipeline | "Windows" >> beam.Create(elements, reshuffle=False)
    if elements:  # the type names the coder; without elements nothing is encoded
        created = created.with_output_types(type(elements[0]))
    return created if local else created | "Spread" >> beam.Reshuffle()
