"""Differences between what should be there and what is: their kinds, and how each is described."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import format_time

KINDS: Final = {
    "not_compared": "windows, series or folders that could not be read for the comparison: nothing is known of them",
    "missing_point": "points of the source that the destination does not hold",
    "extra_point": "points in the destination that the source does not have",
    "changed_value": "points whose value differs, if only in one bit",
    "changed_status": "points whose status differs",
    "changed_text": "points whose text differs",
    "shifted_time": "points that stand at another time",
    "missing_series": "series that were copied, and of which no point is there any more",
    "missing_points": "windows of a series of which no point is there any more",
    "changed_window": "windows of a series whose fingerprint differs; which points differ is not known without the source",
    "missing_file": "files that the ledger names, and that are not there",
    "unreadable_file": "files that cannot be read",
    "stray_file": "files that no receipt names, and that a reader of the destination would take in",
    "linked_file": "links to files and folders of the destination, through which a reader gets their points twice",
    "not_covered": "series and ranges that are wanted and were never copied, or whose replacement was not finished",
    "replaced_in_part": "windows of which a later copy holds a part too",
    "wrong_receipt": "windows whose points are those of the source, and whose receipt says something else",
}
"""Kind of difference -> its description."""

POINT_KINDS: Final = ("missing_point", "extra_point", "changed_value", "changed_status", "changed_text", "shifted_time")


@dataclass(frozen=True, slots=True)
class PointFacts:
    """One point: `bits` are the 64 bits of the value, printed as 16 hex digits, so that nothing is lost."""

    time_ns: int
    value: float
    bits: int
    status: int
    text: str | None = None

    def __str__(self) -> str:
        what = f"value {self.value_text}" if self.text is None else f"text {self.text!r}"
        return f"{what}, status {self.status}"

    @property
    def value_text(self) -> str:
        """The shortest text that reads back as the same number, and the bits."""
        return f"{self.value!r} (0x{self.bits:016x})"

    def to_json(self) -> dict[str, Any]:
        """Return plain data; the value as a text, since JSON has no NaN."""
        return {
            "time": format_time(self.time_ns),
            "time_ns": self.time_ns,
            "value": repr(self.value),
            "bits": f"{self.bits:016x}",
            "status": self.status,
            **({} if self.text is None else {"text": self.text}),
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference.

    Args:
        kind: one of KINDS.
        text: what differs, in one line for people.
        series_id: the source's id; empty where the difference is about a file alone.
        range: where in time; None where that is not known.
        file: relative to the destination; empty where there is none.
        points: how many points it is about, as far as known.
        expected, found: the point on both sides, where the difference is one point.
    """

    kind: str
    text: str
    series_id: str = ""
    range: TimeRange | None = None
    file: str = ""
    points: int = 0
    expected: PointFacts | None = None
    found: PointFacts | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data for a report; members without a value are left out."""
        data: dict[str, Any] = {"kind": self.kind, "text": self.text, "points": self.points}
        if self.series_id:
            data["series_id"] = self.series_id
        if self.range is not None:
            data["start"], data["end"] = format_time(self.range.start_ns), format_time(self.range.end_ns)
            data["start_ns"], data["end_ns"] = self.range.start_ns, self.range.end_ns
        if self.file:
            data["file"] = self.file
        if self.expected is not None:
            data["expected"] = self.expected.to_json()
        if self.found is not None:
            data["found"] = self.found.to_json()
        return data
