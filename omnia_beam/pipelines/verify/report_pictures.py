"""Draw the pictures of a verification report as inline SVG: the coverage, and curves around the points that differ.

The size of each is bounded: the coverage has one path for each state, a plot at most 400 points of a curve and 60 marks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np
import numpy.typing as npt

from omnia_beam.core.chunk import Points
from omnia_beam.core.text import one_line
from omnia_beam.core.timestamps import NS_PER_SECOND, format_time
from omnia_beam.pipelines.verify.comparison import DifferingCurve
from omnia_beam.pipelines.verify.coverage import COLUMNS, DIFFERENT, DONE, EMPTY, MISSING, NOT_KNOWN, CoverageGrid
from omnia_beam.pipelines.verify.points import differences_at, point_counts

_CLASSES: Final = {NOT_KNOWN: "unknown", EMPTY: "empty", DONE: "done", MISSING: "missing", DIFFERENT: "different"}
_CELL: Final = 8
_ROW_LABELS: Final = 40
"""Number of rows up to which each has a label."""
_LABEL_WIDTH: Final = 170
_LABEL_CHARS: Final = 24
_TIME_AXIS: Final = 22

_WIDTH: Final = 480
_HEIGHT: Final = 210
_LEFT: Final = 76
_RIGHT: Final = 12
_TOP: Final = 14
_BOTTOM: Final = 30
_AROUND: Final = 12
"""Points shown on either side of those that differ."""
_MOST: Final = 400
"""Points of a curve that are drawn."""
_MOST_MARKS: Final = 60
_BREAK: Final = 4
"""Points further apart than this many times the median are not joined."""
_LARGEST: Final = float(np.finfo(np.float64).max)


def coverage_svg(grid: CoverageGrid, names: Mapping[str, str] = {}) -> str:
    """Return the picture; rows become thin, and lose their labels, where there are more than 40.

    Args:
        grid: what is covered.
        names: of series, by id; ids stand for those that have none.
    """
    rows = len(grid.worst)
    names_of_rows = [one_line(_label(grid, row, names)) for row in range(rows)]
    # Rows of several series stand in the order of their ids, by which they are named.
    order = (
        sorted(range(rows), key=lambda row: names_of_rows[row].casefold()) if grid.series_per_row == 1 else range(rows)
    )
    cells = grid.worst[list(order)]
    high = 16 if rows <= _ROW_LABELS else 6
    labels = rows <= _ROW_LABELS
    left = _LABEL_WIDTH if labels else 0
    width, height = left + COLUMNS * _CELL, rows * high + _TIME_AXIS
    parts = [
        f'<svg id="coverage" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="coverage of {len(grid.series_ids)} series">'
    ]
    gap = 1 if high > 6 else 0
    for state, name in _CLASSES.items():
        path = "".join(
            f"M{left + first * _CELL} {row * high}h{(last - first) * _CELL}v{high - gap}h-{(last - first) * _CELL}z"
            for row, first, last in _runs(cells == state)
        )
        if path:
            parts.append(f'<path class="{name}" d="{path}"/>')
    if labels:
        parts.extend(
            f'<text x="0" y="{at * high + 12}">{escape(_short(names_of_rows[row]))}'
            f"<title>{escape(one_line(grid.row_name(row)))}</title></text>"
            for at, row in enumerate(order)
        )
    parts.extend(_time_axis(grid, left, rows * high, width))
    parts.append("</svg>")
    return "".join(parts)


def _runs(flags: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """Yield (row, first column, the column after the last) of neighbouring cells that are set."""
    padded = np.zeros((len(flags), COLUMNS + 2), np.int8)
    padded[:, 1:-1] = flags
    steps = np.diff(padded, axis=1)
    rows, firsts = np.nonzero(steps == 1)
    _, lasts = np.nonzero(steps == -1)
    yield from zip(rows.tolist(), firsts.tolist(), lasts.tolist(), strict=True)


def _label(grid: CoverageGrid, row: int, names: Mapping[str, str]) -> str:
    """Return the name of a row's only series, or the ids of the first and the last of several."""
    name = grid.row_name(row)
    return names.get(name) or name


def _short(name: str) -> str:
    return name if len(name) <= _LABEL_CHARS else f"{name[: _LABEL_CHARS - 1]}…"


def _time_axis(grid: CoverageGrid, left: int, top: int, width: int) -> Iterator[str]:
    start, end = grid.range.start_ns, grid.range.end_ns
    middle = start + (end - start) // 2
    digits = 10 if end - start >= 3 * 86_400 * 10**9 else 19
    for x, anchor, moment in ((left, "start", start), ((left + width) // 2, "middle", middle), (width, "end", end)):
        text = format_time(moment, 0)[:digits].replace("T", " ")
        yield f'<text x="{x}" y="{top + 15}" text-anchor="{anchor}">{text}</text>'


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


@dataclass(frozen=True)
class DifferencePictures:
    """The source and the copy of one series around the points that differ, with the same axes.

    Args:
        expected, found: SVG; differing points of either side are circles, and their times are lines in both.
        caption: plain text.
    """

    expected: str
    found: str
    caption: str


def difference_svg(curve: DifferingCurve) -> DifferencePictures:
    """Return the pictures of both curves, and their caption."""
    comparison = curve.comparison
    sides = (
        (comparison.missing, comparison.changed[0], comparison.shifted[0]),
        (comparison.extra, comparison.changed[1], comparison.shifted[1]),
    )
    expected, found = (_marks(side) for side in sides)
    marks = sorted(expected + found)[:_MOST_MARKS]
    shown = _near(curve, marks)
    frame = _frame(shown, marks)
    none = comparison.missing.times[:0]
    return DifferencePictures(
        _panel("expected", shown[0], frame, [each for each in expected if each in marks], marks, none),
        _panel("found", shown[1], frame, [each for each in found if each in marks], marks, comparison.missing.times),
        _caption(curve, len(marks)),
    )


def _panel(
    name: str,
    points: Points,
    frame: _Frame,
    own: list[tuple[int, float]],
    marks: list[tuple[int, float]],
    absent: npt.NDArray[np.int64],
) -> str:
    """Return one side as SVG, with lines at the times of all marks."""
    guides = "".join(f"M{frame.x(t):.1f} {_TOP}V{_HEIGHT - _BOTTOM}" for t in sorted({t for t, _ in marks}))
    circles = "".join(
        f'<circle class="mark" cx="{frame.x(t):.1f}" cy="{frame.y(v):.1f}" r="7"><title>{format_time(t)}: {v!r}</title></circle>'
        for t, v in own
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name} points">{"".join(_axes(frame))}'
        f'<path class="guide" d="{guides}"/><path class="curve {name}" d="{_path(points, frame, absent)}"/>'
        f"{_dots(points, frame, name)}{circles}</svg>"
    )


def _marks(side: Iterable[Points]) -> list[tuple[int, float]]:
    """Return (time, value) of the first 60 differing points of one side."""
    every = [
        (int(t), float(v)) for points in side for t, v in zip(points.times[:_MOST_MARKS], points.values, strict=False)
    ]
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


def _thinned(points: Points, kept: npt.NDArray[np.int64]) -> Points:
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


def _path(points: Points, frame: _Frame, missing: npt.NDArray[np.int64]) -> str:
    """Return lines between neighbours; what is not finite, a missing point and a long time without points break the line."""
    times = points.times
    steps = np.diff(times)
    longest = _BREAK * float(np.median(steps)) if len(steps) else 0.0
    apart = (steps > longest) | (np.diff(np.searchsorted(missing, times)) > 0)
    breaks = np.concatenate([[True], apart]) if len(times) else np.zeros(0, bool)
    parts: list[str] = []
    broken = True
    for time, value, begins in zip(times.tolist(), points.values.tolist(), breaks.tolist(), strict=True):
        if np.isfinite(value):
            parts.append(f"{'M' if broken or begins else 'L'}{frame.x(time):.1f} {frame.y(value):.1f}")
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
    digits = 0 if frame.end - frame.start >= 60 * NS_PER_SECOND else None
    for time, anchor in ((frame.start, "start"), (frame.end, "end")):
        text = format_time(time, digits).replace("T", " ")
        yield f'<text x="{frame.x(time):.1f}" y="{floor + 18}" text-anchor="{anchor}">{text}</text>'


def _caption(curve: DifferingCurve, marks: int) -> str:
    """Return what differs, by kind with the first example: equal curves may differ by a status, a text or some bits."""
    comparison = curve.comparison
    kinds = "; ".join(
        f"{count:,} {kind}{', the first' if count > 1 else ''}: {first.text}"
        for kind, count in point_counts(comparison).items()
        for first in differences_at(curve.series_id, comparison, kind, slice(1))
    )
    every = comparison.count + len(comparison.changed[0].times) + len(comparison.shifted[0].times)
    drawn = f". The first {marks} marks are drawn" if every > marks else ""
    return f"{one_line(kinds)}{drawn}."
