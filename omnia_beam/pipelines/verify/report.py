"""The content of a verification report, and its JSON form.

`report.json`, version 1:

    omnia_beam_report   1: the version of this form
    digest              of this file; `omnia-beam report check FILE` verifies it, see report_digest.py
    differences_csv     digest and name of the file beside it that holds every difference; null where there is none
    job, created        the job's name; when, RFC 3339
    made                by whom and with what: scope_digest, user, host, system, versions
    equal               whether nothing differs (after the repair, if there was one)
    reference           "source" or "receipts": what the destination was compared with
    configuration       the parts of the configuration that change the points that arrive, such as source, sink, statuses
    start, end          the wanted time, [start, end), RFC 3339; start_ns, end_ns the same in ns
    series              how many the job selects
    names               by series id: name, unit, facility; only of series that have a name
    not_compared        what could not be compared, in words, after the repair if there was one; empty where everything was
    unseen              what was not looked at besides, and what is not in the copy: a text each
    before              what was found: not_compared in words, windows_not_compared; limits: what is not compared by the nature
                        of the destination; windows, points, files, source_points, foreign_files, files_without_checksums;
                        differences in all, by_kind the same by kind, named the single ones (at most 500 a kind), notes
    repair              null, or windows announced, windows_unreadable (not announced), windows_copied, points_written;
                        set_aside, deleted and left: files; trouble: why the copying ended early; status
    after               null, or as `before`, of what was compared again after the repair
    kinds               what each kind of difference is
    ranges              the differences that count now, as ranges: kind, series_id, start, end, count, points, parts (how many
                        stretches a range joins), examples
    data_gaps           the longest times without a point in the copy, the longest first: series_id, start, end, length, cause
                        (`data`, or the kind of difference that lies there); null where the copy was not read for that
    coverage            rows of cells: `.` not known, e empty, d done, m missing, x different; see start_ns, end_ns
    fingerprints        by series, of all that the destination holds of the verified windows: count, first_ns, last_ns,
                        statuses, content_hash; docs/verify.md shows how to recompute them
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from omnia_beam.core.fingerprint import Fingerprint
from omnia_beam.core.series import Timeseries
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.difference import KINDS
from omnia_beam.io.observer import ReadableFiles
from omnia_beam.ledger.record import Scope
from omnia_beam.pipelines.profile.figures import Profile, Stretch
from omnia_beam.pipelines.verify.comparison import Comparison
from omnia_beam.pipelines.verify.origin import Origin
from omnia_beam.pipelines.verify.repair import Repair
from omnia_beam.pipelines.verify.report_digest import CSV_MARK, CSV_NAME, MARK, NO_DIGEST

FORMAT: Final = 1

HOLES: Final = ("not_covered", "missing_series", "missing_points", "missing_file", "unreadable_file", "missing_point")
"""Kinds of difference that leave a hole in the copy."""


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
        origin: who made it.
        known: metadata of series, by id.
        profile: figures of the copy; None where it was not read for that.
        unseen: what was not looked at, besides what the findings name, and what is not in the copy: a text each.
        copy: how others read the copy's files as they are; None where they cannot.
        differences: number of rows of the file of all differences, and its SHA-256; None where there is no such file.
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
    origin: Origin = Origin()  # noqa: RUF009  # it is frozen
    known: Mapping[str, Timeseries] = field(default_factory=dict)
    profile: Profile | None = None
    unseen: tuple[str, ...] = ()
    copy: ReadableFiles | None = None
    differences: tuple[int, str] | None = None

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
        **more: Any,
    ) -> VerifyReport:
        """Return a report that is created at the current time, by this process; `more` are further fields."""
        created = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return cls(
            job,
            created,
            dict(scope.parts),
            wanted,
            series,
            against_source,
            before,
            repair,
            after,
            Origin.here(scope.digest),
            **more,
        )

    @property
    def last(self) -> Comparison:
        """The latest findings: those after the repair, if there was one."""
        return self.before if self.after is None else self.after

    @property
    def fingerprints(self) -> dict[str, Fingerprint]:
        """The latest fingerprints by series; after a repair only of what was compared again."""
        return self.last.series_prints()

    def name_of(self, series_id: str) -> str:
        """Return the name of a series; empty where it has none."""
        found = self.known.get(series_id)
        return "" if found is None or found.name == series_id else found.name

    def title_of(self, series_id: str) -> str:
        """Return the name of a series, or its id where it has none."""
        return self.name_of(series_id) or series_id

    def data_gaps(self) -> Iterator[tuple[Stretch, str, str]]:
        """Yield the longest times without a point, each with its series' id at the source and what lies there.

        The last is `data` where nothing of the copy is known to be missing there, otherwise the kind of a difference.
        """
        if self.profile is None:
            return
        sources = {target: source for source, target in self.last.targets.items()}
        ranges = self.last.ranges.of_series()
        for gap in self.profile.gaps:
            series_id = sources.get(gap.series_id, gap.series_id)
            span = TimeRange(gap.start_ns, gap.end_ns)
            kinds = (
                each.kind
                for each in ranges.get(series_id, ())
                if each.kind in HOLES and (each.span is None or each.span.overlaps(span))
            )
            yield gap, series_id, next(kinds, "data")

    def to_json(self) -> dict[str, Any]:
        """Return plain data in the form that the module describes."""
        csv = None if self.differences is None else f"{CSV_MARK}{self.differences[1]}:{CSV_NAME}"
        return {
            "omnia_beam_report": FORMAT,
            "digest": f"{MARK}{NO_DIGEST}",
            "differences_csv": csv,
            "not_compared": self.last.not_compared,
            "unseen": list(self.unseen),
            "job": self.job,
            "created": self.created,
            "made": self.origin.to_json(),
            "equal": not self.last.total,
            "reference": "source" if self.against_source else "receipts",
            "configuration": dict(self.configuration),
            "start": format_time(self.wanted.start_ns),
            "end": format_time(self.wanted.end_ns),
            "start_ns": self.wanted.start_ns,
            "end_ns": self.wanted.end_ns,
            "series": self.series,
            "names": {
                each: {
                    "name": self.known[each].name,
                    "unit": self.known[each].unit,
                    "facility": self.known[each].facility,
                }
                for each in sorted(self.known)
                if self.name_of(each)
            },
            "before": self.before.to_json(),
            "repair": None if self.repair is None else self.repair.to_json(),
            "after": None if self.after is None else self.after.to_json(),
            "kinds": dict(KINDS),
            "ranges": [each.to_json() for each in self.last.ranges.ranges()],
            "data_gaps": None
            if self.profile is None
            else [
                {**gap.to_json(), "series_id": series_id, "cause": cause} for gap, series_id, cause in self.data_gaps()
            ],
            "coverage": self.before.grid.to_json(),
            "fingerprints": {series_id: each.to_json() for series_id, each in self.fingerprints.items()},
        }
