"""Plot what differs as inline SVG: both curves around the first differing points, which are marked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

from omnia_beam.core.chunk import Points
from omnia_beam.core.timestamps import format_time
from omnia_beam.pipelines.verify.findings import DifferingCurve

_WIDTH: Final = 720
_HEIGHT: Final = 220
_LEFT: Final = 64
_RIGHT: Final = 12
_TOP: Final = 14
_BOTTOM: Final = 30
_AROUND: Final = 12
"""Points shown on either side of those that differ."""
_MOST: Final = 400
"""Points of a curve that are drawn."""
_MOST_MARKS: Final = 60
_LARGEST: Final = float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class _Frame:
    """A mapping from times (ns) and values to pixels."""

    start: int
    end: int
    low: float
    high: float

    def x(self, time: int) -> float:
        return _LEFT + (time - self.start) / max(1, self.end - self.start) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        if not np.isfinite(value):
            return _HEIGHT - _BOTTOM  # NaN and infinities are drawn at the bottom
        # Halved, since a range from the lowest to the highest double overflows.
        share = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def difference_plot(curve: DifferingCurve) -> str:
    """Return one figure with the series' name, both curves and the marks."""
    marks = _marks(curve)
    shown = _near(curve, marks)
    frame = _frame(shown, marks)
    drawn = "".join(
        f'<path class="curve {name}" d="{_path(points, frame)}"/>{_dots(points, frame, name)}'
        for name, points in zip(("expected", "found"), shown, strict=True)
    )
    circles = "".join(
        f'<circle class="mark" cx="{frame.x(t):.1f}" cy="{frame.y(v):.1f}" r="7"><title>{format_time(t)}: {v!r}</title></circle>'
        for t, v in marks
    )
    return (
        f'<figure class="plot"><h3>{escape(curve.series_id)}</h3>'
        f'<div class="wide"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" style="min-width:30rem" '
        f'aria-label="expected and found points">{"".join(_axes(frame))}{drawn}{circles}</svg></div>'
        f"<figcaption>{_caption(curve, len(marks))}</figcaption></figure>"
    )


def plot_legend() -> str:
    """Return a legend of lines and circles."""
    line = '<svg viewBox="0 0 18 12"><path class="curve {0}" d="M0 6H18"/></svg>'
    circle = '<svg viewBox="0 0 18 12"><circle class="mark" cx="9" cy="6" r="5"/></svg>'
    texts = (
        (line.format("expected"), "expected"),
        (line.format("found"), "found in the destination"),
        (circle, "a point that differs"),
    )
    return f'<div class="legend">{"".join(f"<span>{icon}{text}</span>" for icon, text in texts)}</div>'


def _marks(curve: DifferingCurve) -> list[tuple[int, float]]:
    """Return (time, value) of the first 60 differing points of either side."""
    comparison = curve.comparison
    sides = (comparison.missing, comparison.extra, *comparison.changed, *comparison.shifted)
    every = [(int(t), float(v)) for side in sides for t, v in zip(side.times[:_MOST_MARKS], side.values, strict=False)]
    return sorted(every)[:_MOST_MARKS]


def _near(curve: DifferingCurve, marks: list[tuple[int, float]]) -> list[Points]:
    """Return both curves around the marks, thinned to what can be seen; the marked times always stay."""
    curves = [points.take(np.argsort(points.times, kind="stable")) for points in (curve.expected, curve.found)]
    bounds: list[int] = []
    for points in curves:
        first, last = np.searchsorted(points.times, [marks[0][0], marks[-1][0]])
        bounds.extend(points.times[max(0, int(first) - _AROUND) : int(last) + _AROUND + 1].tolist())
    if not bounds:
        return curves
    shown = [_between(points, min(bounds), max(bounds)) for points in curves]
    longer = max(shown, key=lambda points: len(points.times)).times
    # Both curves keep the same instants: otherwise equal copies would be drawn as if they differed.
    kept = longer[np.linspace(0, len(longer) - 1, _MOST).astype(np.intp)]
    return [_thinned(points, np.union1d(kept, [t for t, _ in marks])) for points in shown]


def _between(points: Points, first: int, last: int) -> Points:
    start, end = np.searchsorted(points.times, first), np.searchsorted(points.times, last, side="right")
    return points.take(slice(int(start), int(end)))


def _thinned(points: Points, kept: NDArray[np.int64]) -> Points:
    """Return the points at these times, or the next ones after them."""
    if len(points.times) <= _MOST:
        return points
    return points.take(np.unique(np.searchsorted(points.times, kept).clip(0, len(points.times) - 1)))


def _frame(shown: list[Points], marks: list[tuple[int, float]]) -> _Frame:
    times = np.concatenate([*(each.times for each in shown), np.array([t for t, _ in marks], np.int64)])
    values = np.concatenate([*(each.values for each in shown), np.array([v for _, v in marks], np.float64)])
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if not high / 2 - low / 2:  # a range of zero, or too small to halve, gets room on either side
        room = max(abs(low) * 0.5, 1e-300 if low else 1.0)
        low, high = max(low - room, -_LARGEST), min(high + room, _LARGEST)
    return _Frame(int(times.min()), int(times.max()), low, high)


def _path(points: Points, frame: _Frame) -> str:
    """Return lines between neighbours; a value that is not finite breaks the line."""
    parts: list[str] = []
    broken = True
    for time, value in zip(points.times.tolist(), points.values.tolist(), strict=True):
        if np.isfinite(value):
            parts.append(f"{'M' if broken else 'L'}{frame.x(time):.1f} {frame.y(value):.1f}")
        broken = not np.isfinite(value)
    return "".join(parts)


def _dots(points: Points, frame: _Frame, name: str) -> str:
    if len(points.times) > 80:
        return ""
    return "".join(
        f'<circle class="dot {name}" cx="{frame.x(t):.1f}" cy="{frame.y(v):.1f}" r="2.5"/>'
        for t, v in zip(points.times.tolist(), points.values.tolist(), strict=True)
    )


def _axes(frame: _Frame) -> Iterator[str]:
    floor = _HEIGHT - _BOTTOM
    yield f'<path class="axis" d="M{_LEFT} {_TOP}V{floor}H{_WIDTH - _RIGHT}"/>'
    for value in (frame.low, frame.high):
        yield f'<text x="{_LEFT - 6}" y="{frame.y(value) + 4:.1f}" text-anchor="end">{value:.4g}</text>'
    for time, anchor in ((frame.start, "start"), (frame.end, "end")):
        text = format_time(time).replace("T", " ")
        yield f'<text x="{frame.x(time):.1f}" y="{floor + 18}" text-anchor="{anchor}">{text}</text>'


def _caption(curve: DifferingCurve, marks: int) -> str:
    differing = curve.comparison.count
    more = f"; the first {marks} marks are drawn" if marks >= _MOST_MARKS else ""
    what = "point differs" if differing == 1 else "points differ"
    return f"window {escape(str(curve.range))}: {differing:,} {what}{more}"
