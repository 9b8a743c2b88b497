"""The content of a verification report, and its JSON form.

`report.json`, version 1:

    omnia_beam_report   1: the version of this form
    job, created        the job's name; when, RFC 3339
    equal               whether nothing differs (after the repair, if there was one)
    reference           "source" or "receipts": what the destination was compared with
    configuration       the parts of the configuration that change the points that arrive, such as source, sink, statuses
    start, end          the wanted time, [start, end), RFC 3339; start_ns, end_ns the same in ns
    series              how many the job selects
    not_compared        what could not be compared, in words, after the repair if there was one; empty where everything was
    before              what was found: not_compared in words, windows_not_compared; limits: what is not compared by the nature
                        of the destination; windows, points, files, source_points, foreign_files, files_without_checksums;
                        differences in all, by_kind the same by kind, named the single ones (at most 500 a kind), notes
    repair              null, or windows announced, windows_unreadable (not announced), windows_copied, points_written;
                        set_aside, deleted and left: files; trouble: why the copying ended early; status
    after               null, or as `before`, of what was compared again after the repair
    kinds               what each kind of difference is
    coverage            rows of cells: `.` not known, e empty, d done, m missing, x different; see start_ns, end_ns
    fingerprints        by series, of all that the destination holds of the verified windows: count, first_ns, last_ns,
                        statuses, content_hash; docs/verify.md shows how to recompute them
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from omnia_beam.core.fingerprint import Fingerprint
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.difference import KINDS
from omnia_beam.ledger.record import Scope
from omnia_beam.pipelines.verify.comparison import Comparison
from omnia_beam.pipelines.verify.repair import Repair

FORMAT: Final = 1


@dataclass(frozen=True)
class VerifyReport:
    """The content that both forms of the report show.

    Args:
        job: name.
        created: RFC 3339.
        configuration: the scope's parts.
        wanted: the time that was verified.
        series: the number of series.
        against_source: whether the reference was the source.
        before, after: what was found, and what was found after the repair.
        repair: the result of the repair.
    """

    job: str
    created: str
    configuration: Mapping[str, str]
    wanted: TimeRange
    series: int
    against_source: bool
    before: Comparison
    repair: Repair | None = None
    after: Comparison | None = None

    @classmethod
    def of(
        cls,
        job: str,
        scope: Scope,
        wanted: TimeRange,
        series: int,
        against_source: bool,
        before: Comparison,
        repair: Repair | None = None,
        after: Comparison | None = None,
    ) -> VerifyReport:
        """Return a report that is created at the current time."""
        created = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return cls(job, created, dict(scope.parts), wanted, series, against_source, before, repair, after)

    @property
    def last(self) -> Comparison:
        """The latest findings: those after the repair, if there was one."""
        return self.before if self.after is None else self.after

    @property
    def fingerprints(self) -> dict[str, Fingerprint]:
        """The latest fingerprints by series; after a repair only of what was compared again."""
        return self.last.series_prints()

    def to_json(self) -> dict[str, Any]:
        """Return plain data in the form that the module describes."""
        return {
            "omnia_beam_report": FORMAT,
            "not_compared": self.last.not_compared,
            "job": self.job,
            "created": self.created,
            "equal": not self.last.total,
            "reference": "source" if self.against_source else "receipts",
            "configuration": dict(self.configuration),
            "start": format_time(self.wanted.start_ns),
            "end": format_time(self.wanted.end_ns),
            "start_ns": self.wanted.start_ns,
            "end_ns": self.wanted.end_ns,
            "series": self.series,
            "before": self.before.to_json(),
            "repair": None if self.repair is None else self.repair.to_json(),
            "after": None if self.after is None else self.after.to_json(),
            "kinds": dict(KINDS),
            "coverage": self.before.grid.to_json(),
            "fingerprints": {series_id: each.to_json() for series_id, each in self.fingerprints.items()},
        }
