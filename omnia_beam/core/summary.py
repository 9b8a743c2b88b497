"""What a run reached: the summary of a command, and how far a pipeline is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Status = Literal["complete", "incomplete", "failed"]


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a run.

    Args:
        command: the command's name.
        status: `complete`; `incomplete` where windows failed or points went to the dead letters; `failed` where the run ended
            early.
        series: how many the selection resolves to.
        windows_planned: windows of the whole job: those done now, those skipped and those that failed.
        windows_done: moved by this run.
        windows_skipped: recorded by earlier runs, not fetched again.
        windows_failed: tried and not moved; the next run tries again.
        points_read, points_written, dead_letters: points.
        duplicates: points of the source that shared series and time with another one and were not written.
        points_removed: points of the destination that the run removed without replacing them.
        points_kept: points of the destination that the source no longer shows and that were kept.
        requests, retries: HTTP requests, and how many more tries they took.
        throttled_s: seconds in which at least one request waited because the service asked for it.
        bytes_read: as they crossed the wire.
        elapsed_s: seconds from the command's start.
        warnings: what the person who runs the job has to know although it does not make the run incomplete, a text each.
        details: further facts by name, such as where the dead letters are.
    """

    command: str
    status: Status = "failed"
    series: int = 0
    windows_planned: int = 0
    windows_done: int = 0
    windows_skipped: int = 0
    windows_failed: int = 0
    points_read: int = 0
    points_written: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    points_removed: int = 0
    points_kept: int = 0
    requests: int = 0
    retries: int = 0
    throttled_s: float = 0.0
    bytes_read: int = 0
    elapsed_s: float = 0.0
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """The exit code: 0 complete, 1 incomplete. Failures are exceptions, whose kind gives the code."""
        return 0 if self.status == "complete" else 1

    @property
    def points_per_s(self) -> float:
        return self.points_written / self.elapsed_s if self.elapsed_s else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return one flat object, with `details` merged in."""
        data = asdict(self)
        details = data.pop("details")
        data["throttled_s"] = round(self.throttled_s, 3)
        data["elapsed_s"] = round(self.elapsed_s, 3)
        data["warnings"] = list(self.warnings)
        return {**data, **details}

    def having(self, **changes: Any) -> Summary:
        return replace(self, **changes)

    def with_warnings(self, *texts: str) -> Summary:
        """Return the summary with further warnings, each text once."""
        return replace(self, warnings=tuple(dict.fromkeys((*self.warnings, *texts))))


@dataclass(frozen=True, slots=True)
class ProgressFacts:
    """How far a run is: windows and points done out of those planned, with retries, throttling, failures and dead letters.

    `points` counts the points written, `points_read` those read: None where the pipeline ended before it counted them. `bytes`
    crossed the wire. `source_s`, `decode_s` and `sink_s` are the seconds that the copying threads spent on, or waited for, each.
    """

    windows: int
    windows_total: int
    points: int
    points_expected: int
    retries: int = 0
    throttled_s: float = 0.0
    failed: int = 0
    points_read: int | None = None
    dead_letters: int = 0
    bytes: int = 0
    source_s: float = 0.0
    decode_s: float = 0.0
    sink_s: float = 0.0

    @property
    def read(self) -> int:
        """Points read; where they were not counted, those written are used."""
        return self.points if self.points_read is None else self.points_read

    @property
    def share(self) -> float:
        """Share of the expected points that is done, 0 to 1, or of the windows where no points are expected."""
        if self.points_expected:
            return min(1.0, self.points / self.points_expected)
        return min(1.0, self.windows / self.windows_total) if self.windows_total else 1.0

    @property
    def bottleneck(self) -> tuple[str, float] | None:
        """`source`, `decode` or `sink`, whichever the copying waits for most, and its share of the time, 0 to 1; None before
        anything was measured.
        """
        spent = {"source": self.source_s, "decode": self.decode_s, "sink": self.sink_s}
        total = sum(spent.values())
        if total <= 0:
            return None
        name = max(spent, key=spent.__getitem__)
        return name, spent[name] / total
