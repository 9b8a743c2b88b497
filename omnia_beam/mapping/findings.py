"""Make a loss report from a resolved mapping and what is known of the points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from omnia_beam.core.finding import Finding
from omnia_beam.core.limits import TIME_RESOLUTION_NS
from omnia_beam.core.text import counted
from omnia_beam.io.base import Accepts
from omnia_beam.io.facts import SeriesFacts
from omnia_beam.mapping.loss_report import LossReport, sorted_findings
from omnia_beam.mapping.resolution import MappedSeries, Resolution
from omnia_beam.transforms.map_status import StatusRule


def loss_report(
    resolution: Resolution, accepts: Accepts, facts: Mapping[str, SeriesFacts], further: Iterable[Finding] = ()
) -> LossReport:
    """Return everything that a copy would lose or leave out, as far as it can be known without reading.

    Args:
        resolution: of the mapping.
        accepts: what the sink can hold.
        facts: by series, what is known of its points.
        further: findings of the source; those of series that are not copied are left out.
    """
    copied = {each.source.id for each in resolution.mapped}
    findings = [*resolution.findings, *(each for each in further if not each.series_id or each.series_id in copied)]
    for each in resolution.mapped:
        findings.extend(_about_points(each, accepts, facts.get(each.source.id)))
    return LossReport(sorted_findings(findings), resolution.mapped, resolution.left_out, resolution.unused_rows)


def _about_points(series: MappedSeries, accepts: Accepts, facts: SeriesFacts | None) -> Iterator[Finding]:
    shown = series.source.name or series.source.id
    if series.status is not None:
        yield from _about_statuses(shown, series.status, facts)
    noted = facts is not None and "text_values" in facts.noted
    if series.source.value_type == "string" and not accepts.texts and not noted:
        text = "its values are texts, which the sink does not keep: their value is NaN; sinks of files and tables take text: true"
        yield Finding("text_values", shown, text, series_id=series.source.id)
    if accepts.statuses:
        yield Finding("unlisted_status", shown, accepts.statuses, False)
    if facts is None:
        return
    for name, points, loss in (
        ("nan_values", facts.not_finite, accepts.not_finite),
        ("time_resolution", facts.fine, accepts.fine_times),
    ):
        if points and loss is not None:
            # Indexes count what is finer than 100 ns: of a coarser grid that is the least.
            least = "at least " if name == "time_resolution" and accepts.grid_ns > TIME_RESOLUTION_NS else ""
            yield Finding(name, shown, f"{least}{points:,} {loss.text}", loss.blocking, points)


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
    named = ", ".join(f"{status} ({counted(points, 'point')})" for status, points in sorted(unlisted.items()))
    points = sum(unlisted.values())
    if rule.unlisted == "reject":
        text = f"the map does not list {named}: they become dead letters; list them, or set mapping.unlisted_status"
        yield Finding("unlisted_status", shown, text, True, points)
    else:
        fate = "carried through" if rule.unlisted == "carry" else f"written as {rule.unlisted}"
        yield Finding("unlisted_status", shown, f"the map does not list {named}: {fate}", False, points)
