"""A job before it moves anything: resolve its mapping, and report what would be lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.progress import Limit
from omnia_beam.config.accept import Acceptance
from omnia_beam.core.errors import SelectionError
from omnia_beam.core.text import counted, one_line
from omnia_beam.io.base import OpenSource
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.mapping.findings import loss_report
from omnia_beam.mapping.loss_report import LossReport, findings_table, series_table
from omnia_beam.mapping.resolution import Resolution, resolve_mapping
from omnia_beam.mapping.series_memory import series_changes
from omnia_beam.pipelines.job import Job
from omnia_beam.transforms.series_rule import SeriesRule


@dataclass(frozen=True)
class Prepared:
    """A job that is ready to begin.

    Args:
        resolution: of the mapping.
        report: of what would be lost.
    """

    resolution: Resolution
    report: LossReport

    @property
    def series_ids(self) -> tuple[str, ...]:
        """The source's ids of the series that will be copied, ascending."""
        return tuple(sorted(each.source.id for each in self.resolution.mapped))

    @property
    def targets(self) -> Mapping[str, str]:
        """The ids of the targets that exist, by the source's ids."""
        return {each.source.id: each.existing.id for each in self.resolution.mapped if each.existing is not None}


def prepare(job: Job, source: OpenSource, state_dir: StateDir, now_ns: int | None = None) -> Prepared:
    """Resolve the mapping and report what would be lost. Creates and writes nothing.

    Args:
        job: with its mapping.
        source: with what is known of it.
        state_dir: where earlier runs stored the metadata of their series.
        now_ns: the time that future times are measured against; None for the clock's.

    Raises:
        SelectionError: no series at all would be copied.
        UsageError: a template cannot be filled in, or a unit cannot be converted.
        ServiceError: source or target cannot be asked.
    """
    resolution = resolve_mapping(source.series, job.config, job.rows, job.sink.targets, source.spell)
    job.sink.check_names(str(each.target) for each in resolution.mapped)
    further = [
        *series_changes(state_dir, source.series),
        *(
            each
            for each in source.findings(time.time_ns() if now_ns is None else now_ns)
            if each.name != "text_values" or not job.sink.accepts.texts
        ),
    ]
    report = loss_report(resolution, job.sink.accepts, source.facts, further)
    if not resolution.mapped and not report.blocking(job.config.accept):
        raise SelectionError("mapping: it leaves no series to copy: none of the source's is mapped to a target")
    return Prepared(resolution, report)


def series_rules(resolution: Resolution) -> Mapping[str, SeriesRule] | None:
    """Return the rules for mapping chunks; None where every series keeps its id, its values and its statuses.

    Args:
        resolution: with all targets created.
    """
    rules = {each.source.id: each.rule() for each in resolution.mapped}
    if all(rule.keeps_points and rule.target_id == series_id for series_id, rule in rules.items()):
        return None
    return rules


def point_limits(prepared: Prepared, accepted: tuple[Acceptance, ...]) -> list[Limit]:
    """Return the limits that `accept` sets with `at_most`, for findings that only the points reveal."""
    names = {each.source.id: each.source.name for each in prepared.resolution.mapped}

    def covering(acceptance: Acceptance) -> Callable[[str, str], bool]:
        return lambda finding, series_id: acceptance.covers(finding, series_id, names.get(series_id, series_id))

    return [Limit(covering(each), each.at_most, str(each)) for each in accepted if each.at_most is not None]


def notify_findings(prepared: Prepared, job: Job, context: RunContext) -> None:
    """Print one line for each kind of finding that does not stop the run; `plan` prints the whole report."""
    report = prepared.report
    blocking = set(report.blocking(job.config.accept))
    for name, count in report.counts().items():
        if not any(each.name == name for each in blocking):
            context.notify(f"{name}: {counted(count, 'finding')}; omnia-beam plan shows them")
    if report.unused_rows:
        context.notify(
            f"{counted(len(report.unused_rows), 'row')} of the mapping file without a series in the source: "
            f"{one_line(report.unused_rows[0])}"
        )


def show_report(report: LossReport, accepted: Any, context: RunContext) -> None:
    """Print the mapping and the findings, for people."""
    context.out.print(series_table(report.series))
    if report.findings:
        context.out.print()
        context.out.print(findings_table(report, accepted))
    for row in report.unused_rows:
        context.out.print(f"the mapping file's row for {row} fits no series of the source", markup=False)
