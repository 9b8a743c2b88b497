"""Put planned windows on a pipeline, in elements of some windows each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

LOCAL_SHARD: Final = 1024
CLUSTER_SHARD: Final = 16
"""Windows in one element: many in this process, where shards run one after another, and few on a cluster, where workers share
them."""


def put_shards(pipeline: Any, elements: Sequence[Any], *, local: bool) -> Any:
    """Return the collection of elements for `OpenSource.reading`; on a cluster they are spread over the workers.

    Args:
        elements: made by `OpenSource.shards`, of `LOCAL_SHARD` or `CLUSTER_SHARD` windows.
        local: whether the pipeline runs in this process.
    """
    import apache_beam as beam  # here: planning uses the sizes above, and importing Beam takes seconds

    from omnia_beam.beam import coders

    coders.register_coders()
    created = beam.Create(elements, reshuffle=False)
    if elements:  # the type names the coder; without elements nothing is encoded
        created = created.with_output_types(type(elements[0]))
    shards = pipeline | "Windows" >> created
    return shards if local else shards | "Spread" >> beam.Reshuffle()
