"""The configuration of a job with all kinds of source and sink: its model, its schema, and the function that loads it.

config = load_config("job.yaml", overrides=["source.rate.max_in_flight=4"], now_ns=time.time_ns())
config.window.start                      # ns since the Unix epoch
config.source.kind                       # "omnia" | "csv" | "parquet" | ...
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field, create_model

from omnia_beam.config import load
from omnia_beam.config.fields import OneOrMany
from omnia_beam.config.job import JobConfig
from omnia_beam.io.kinds import kinds
from omnia_beam.pipelines.config.storage import StorageConfig

__all__ = ["JobConfig", "job_model", "load_config"]


@cache
def job_model() -> type[JobConfig]:
    """Return the model of a job whose `source` and `sink` are of any kind that is installed.

    Raises:
        UsageError: a kind of another package cannot be loaded.
    """
    table = kinds().values()
    fields: dict[str, Any] = {
        "source": _narrowed("source", [each.source for each in table if each.source is not None]),
        "sink": _narrowed("sink", [each.sink for each in table if each.sink is not None]),
    }
    storage = JobConfig.model_fields["storage"]
    fields["storage"] = (OneOrMany[StorageConfig], Field(storage.default, description=storage.description))
    return create_model("Job", __base__=JobConfig, __doc__=JobConfig.__doc__, __module__=__name__, **fields)


def load_config(
    path: str, *, overrides: Sequence[str] = (), start: str | None = None, end: str | None = None, now_ns: int
) -> JobConfig:
    """Read and check a configuration; see `config.load.load_config`.

    Raises:
        UsageError: one line for each problem.
    """
    return load.load_config(path, job_model(), overrides=overrides, start=start, end=end, now_ns=now_ns)


def _narrowed(name: str, models: Sequence[Any]) -> tuple[Any, Any]:
    union = reduce(or_, models)
    return Annotated[union, Field(discriminator="kind")], Field(description=JobConfig.model_fields[name].description)


def __getattr__(name: str) -> Any:
    """Return the model of a job by its name, under which instances are pickled."""
    if name == "Job":
        return job_model()
    raise AttributeError(name)
