"""Make a loss report from a resolved mapping and what is known of the points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from omnia_beam.config import JobConfig
from omnia_beam.core.finding import Finding
from omnia_beam.io.facts import FileFacts, SeriesFacts
from omnia_beam.io.files.findings import file_findings, series_findings, time_findings
from omnia_beam.io.files.options import CsvSink
from omnia_beam.io.omnia.options import OmniaSink
from omnia_beam.mapping.loss_report import LossReport, SeriesLine, sorted_findings
from omnia_beam.mapping.resolution import MappedSeries, Resolution
from omnia_beam.transforms.map_status import StatusRule


@dataclass(frozen=True)
class Known:
    """What is known of a source's points before they are read. All of it is empty for a service.

    Args:
        facts: by series.
        about: of files, by path.
        spans: times of the first and last point by series, ns.
        now_ns: the time that future times are measured against.
    """

    facts: Mapping[str, SeriesFacts] = field(default_factory=dict)
    about: Mapping[str, FileFacts] = field(default_factory=dict)
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    now_ns: int = 0


def loss_report(resolution: Resolution, job: JobConfig, known: Known, further: Iterable[Finding] = ()) -> LossReport:
    """Return everything that a migration would lose or leave out, as far as it can be known without reading.

    Args:
        resolution: of the mapping.
        job: its sink's policies.
        known: what is known of the points.
        further: findings from elsewhere to include.
    """
    findings = [*resolution.findings, *further, *file_findings(job, known.about)]
    for each in resolution.mapped:
        series_id, shown = each.source.id, each.source.name or each.source.id
        facts = known.facts.get(series_id)
        findings.extend(_about_points(each, job, facts))
        if facts is not None:
            findings.extend(series_findings(shown, series_id, facts))
        if series_id in known.spans:
            findings.extend(time_findings(shown, series_id, known.spans[series_id], job, known.now_ns))
    lines = [_line(each) for each in resolution.mapped]
    lines += [SeriesLine(each.name or each.id, "", "", "", "left out") for each in resolution.left_out]
    ordered = tuple(sorted(lines, key=lambda each: each.source))
    return LossReport(ordered, sorted_findings(findings), resolution.unused_rows)


def _about_points(series: MappedSeries, job: JobConfig, facts: SeriesFacts | None) -> Iterator[Finding]:
    shown = series.source.name or series.source.id
    if series.status is not None:
        yield from _about_statuses(shown, series.status, facts)
    if isinstance(job.sink, CsvSink) and job.sink.layout == "wide":
        yield Finding("unlisted_status", shown, "wide CSV has no column for statuses: they are left out", False)
    if facts is None or not isinstance(job.sink, OmniaSink):
        return
    if facts.not_finite:
        yield _about_nan(shown, job.sink, facts.not_finite)
    if facts.fine:
        yield _about_time(shown, job.sink, facts.fine)


def _about_statuses(shown: str, rule: StatusRule, facts: SeriesFacts | None) -> Iterator[Finding]:
    if facts is None:
        if rule.unlisted == "reject":
            text = (
                "statuses that the map does not list become dead letters; which ones there are is known after reading"
            )
            yield Finding("unlisted_status", shown, text, False)
        return
    unlisted = {status: points for status, points in facts.statuses.items() if not rule.lists(status)}
    if not unlisted:
        return
    named = ", ".join(f"{status} ({points:,} points)" for status, points in sorted(unlisted.items()))
    points = sum(unlisted.values())
    if rule.unlisted == "reject":
        text = f"the map does not list {named}: they become dead letters; list them, or set mapping.unlisted_status"
        yield Finding("unlisted_status", shown, text, True, points)
    else:
        fate = "carried through" if rule.unlisted == "carry" else f"written as {rule.unlisted}"
        yield Finding("unlisted_status", shown, f"the map does not list {named}: {fate}", False, points)


def _about_nan(shown: str, sink: OmniaSink, points: int) -> Finding:
    held = f"{points:,} values are NaN or infinite, which the service cannot hold"
    if sink.nan == "dead_letter":
        text = f"{held}: they become dead letters; set sink.nan to as_bad_status or drop_counted"
        return Finding("nan_values", shown, text, True, points)
    fate = "dropped and counted" if sink.nan == "drop_counted" else f"written as {sink.bad_value!r}, {sink.bad_status}"
    return Finding("nan_values", shown, f"{held}: {fate}", False, points)


def _about_time(shown: str, sink: OmniaSink, points: int) -> Finding:
    held = f"{points:,} times are finer than the 100 ns that the service keeps"
    if sink.time_resolution == "dead_letter":
        return Finding(
            "time_resolution",
            shown,
            f"{held}: those points become dead letters; set sink.time_resolution: truncate to cut them",
            True,
            points,
        )
    return Finding("time_resolution", shown, f"{held}: cut to it", False, points)


def _line(series: MappedSeries) -> SeriesLine:
    scale, offset = series.conversion.scale, series.conversion.offset
    values = "as they are"
    if (scale, offset) != (1.0, 0.0):
        values = f"· {scale!r}" + (f" + {offset!r}" if offset else "")
    source, target = series.unit
    if source != target and target is not None:
        values = f"{source or 'no unit'} → {target}: {values}"
    statuses = "as they are"
    if series.status is not None:
        unlisted = series.status.unlisted
        others = {"carry": "others carried", "reject": "others rejected"}.get(str(unlisted), f"others as {unlisted}")
        statuses = f"map of {len(series.status.table)}, {others}"
    state = "exists" if series.existing is not None else "to be created"
    return SeriesLine(series.source.name or series.source.id, str(series.target), values, statuses, state)
