"""Keep the metadata of a job's series at sinks that hold it beside the points."""

from __future__ import annotations

from dataclasses import replace

from omnia_beam.core.series import Timeseries
from omnia_beam.io.base import OpenSource
from omnia_beam.ledger.job import JobRun
from omnia_beam.mapping.resolution import MappedSeries
from omnia_beam.mapping.series_memory import recall_series, remember_series
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.preparation import Prepared


def keep_series(job: Job, source: OpenSource, prepared: Prepared, run: JobRun) -> None:
    """Replace what the sink keeps of the job's series, where it keeps anything and the series are known.

    What the source was opened without is taken from the state, and asked for once where it is not there. Series of which nothing
    is known but the id, such as columns of files, leave no metadata.

    Raises:
        DestinationError: the sink cannot be written.
        StateError: the state cannot be used, or the lease was lost.
    """
    if not job.sink.accepts.keeps_series:
        return
    mapped = prepared.resolution.mapped
    bare = [each.source.id for each in mapped if not each.source.name]
    known: dict[str, Timeseries] = {}
    if bare:
        known = recall_series(run.state_dir)
        if unknown := [each for each in bare if each not in known]:
            found = list(source.metadata(unknown))
            remember_series(run.state_dir, found)
            known |= {each.id: each for each in found}
        if len(bare) == len(mapped) and known.keys().isdisjoint(bare):
            return
    stored = [stored_series(each, known.get(each.source.id, each.source)) for each in mapped]
    if not all(each.is_bare for each in stored):
        job.sink.keep_series(run, stored)


def stored_series(mapped: MappedSeries, source: Timeseries) -> Timeseries:
    """Return the metadata of a series as it is stored: under the target's id, name, facility and unit."""
    stored_id = source.id if mapped.existing is None else mapped.existing.id
    scaled = (mapped.conversion.scale, mapped.conversion.offset) != (1.0, 0.0)
    return replace(
        source,
        id=stored_id,
        name=mapped.target.name or source.name,
        facility=mapped.target.facility or source.facility,
        unit=mapped.unit[1] or source.unit,
        value_type="float64" if scaled else source.value_type or "float64",
    )
