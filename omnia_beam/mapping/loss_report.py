"""The report of what a migration would lose or leave out, made before any point moves.

A finding blocks where the run could not end complete: what it names would not arrive as it should. `accept` in the
configuration lets it pass by name. Other findings are for information.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from omnia_beam.config.accept import Acceptance
from omnia_beam.core.errors import UsageError
from omnia_beam.core.finding import Finding
from omnia_beam.core.series import Timeseries
from omnia_beam.core.text import counted, one_line
from omnia_beam.mapping.resolution import MappedSeries

_SHOWN: Final = 20
_LISTED: Final = 10


@dataclass(frozen=True, slots=True)
class SeriesLine:
    """The result for one series, as a row of the report's table.

    Args:
        source: its name or id.
        target: name or id in the target; empty where it is left out.
        values: such as `bar → kPa: · 100.0`; `as they are`.
        statuses: such as `map of 6, others carried`; `as they are`.
        state: `exists`, `to be created`, `left out`.
    """

    source: str
    target: str
    values: str
    statuses: str
    state: str


@dataclass(frozen=True)
class LossReport:
    """All findings, and the result for each series.

    Args:
        findings: those that block first.
        mapped: the series that will be copied.
        left_out: those that will not.
        unused_rows: sources of rows of the mapping file that match no series.
    """

    findings: tuple[Finding, ...]
    mapped: tuple[MappedSeries, ...] = ()
    left_out: tuple[Timeseries, ...] = ()
    unused_rows: tuple[str, ...] = ()

    @cached_property
    def series(self) -> tuple[SeriesLine, ...]:
        """The result for each series, in the order of the source's names; made when it is shown."""
        lines = [_line(each) for each in self.mapped]
        lines += [SeriesLine(each.name or each.id, "", "", "", "left out") for each in self.left_out]
        return tuple(sorted(lines, key=lambda each: each.source))

    def blocking(self, accepted: Sequence[Acceptance]) -> tuple[Finding, ...]:
        """Return the findings that stop the run: those that block and are not accepted, and those beyond what `at_most` accepts."""
        exceeded = [each for each in accepted if each.at_most is not None and self._points(each) > each.at_most]
        allowed = [each for each in accepted if each not in exceeded]

        def stops(finding: Finding) -> bool:
            if finding.blocking:
                return not any(_covers(each, finding) for each in allowed)
            return any(_covers(each, finding) for each in exceeded)

        return tuple(each for each in self.findings if stops(each))

    def _points(self, acceptance: Acceptance) -> int:
        return sum(each.points or 0 for each in self.findings if _covers(acceptance, each))

    def check(self, accepted: Sequence[Acceptance]) -> None:
        """Refuse to run where a finding blocks.

        Raises:
            UsageError: lists the findings, and how to accept them.
        """
        blocking = self.blocking(accepted)
        if not blocking:
            return
        lines = [one_line(f"{each.name}: {each.series}: {each.message}") for each in blocking[:_SHOWN]]
        if len(blocking) > _SHOWN:
            lines.append(f"… and {len(blocking) - _SHOWN} more: omnia-beam plan lists them all")
        names = ", ".join(dict.fromkeys(each.name for each in blocking))
        raise UsageError(
            "\n".join(
                [
                    f"{counted(len(blocking), 'finding')} in the way of this migration; nothing was moved:",
                    *lines,
                    *(
                        f"accept: {each}: at most {counted(each.at_most, 'point')}, and there are {self._points(each):,}"
                        for each in accepted
                        if each.at_most is not None and self._points(each) > each.at_most
                    ),
                    f"fix them, or accept them by name: accept: [{names}]",
                ]
            ),
            findings=[each.to_json() for each in self.findings],
        )

    def counts(self) -> dict[str, int]:
        """Return the number of findings by name."""
        return dict(Counter(each.name for each in self.findings))

    def to_json(self, accepted: Sequence[Acceptance] = ()) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return {
            "findings": [each.to_json() for each in self.findings],
            "blocking": len(self.blocking(accepted)),
            "unused_mapping_rows": list(self.unused_rows),
            "mapping": [
                {"source": s.source, "target": s.target, "values": s.values, "statuses": s.statuses, "state": s.state}
                for s in self.series
            ],
        }


def _covers(acceptance: Acceptance, finding: Finding) -> bool:
    return acceptance.covers(finding.name, finding.series, finding.series_id)


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


def sorted_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings, blocking ones first, then by name and series."""
    return tuple(sorted(findings, key=lambda each: (not each.blocking, each.name, each.series)))


def series_table(series: Sequence[SeriesLine]) -> Table:
    """Return a table of the results for the first 10 series."""
    table = Table("source", "target", "values", "statuses", "state", box=None, pad_edge=False)
    for each in series[:_LISTED]:
        cells = (each.source, each.target, each.values, each.statuses, each.state)
        table.add_row(*map(one_line, cells))
    if len(series) > _LISTED:
        table.add_row(f"… {len(series) - _LISTED:,} more", "", "", "", "")
    return table


def findings_table(report: LossReport, accepted: Sequence[Acceptance]) -> Table:
    """Return a table of the first 20 findings."""
    table = Table("finding", "series", "what", "", box=None, pad_edge=False)
    blocking = set(report.blocking(accepted))
    for each in report.findings[:_SHOWN]:
        mark = Text("stops the run", "red") if each in blocking else "accepted" if each.blocking else ""
        table.add_row(each.name, one_line(each.series), one_line(each.message), mark)
    if len(report.findings) > _SHOWN:
        table.add_row(f"… {len(report.findings) - _SHOWN:,} more", "", "--json lists them all", "")
    return table
