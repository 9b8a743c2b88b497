"""Draw the coverage as inline SVG: series down, time across. There is one path for each state, so that its size is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

import numpy as np
import numpy.typing as npt

from omnia_beam.core.timestamps import format_time
from omnia_beam.pipelines.verify.coverage import COLUMNS, DIFFERENT, DONE, EMPTY, MISSING, NOT_KNOWN, CoverageGrid

_CLASSES: Final = {NOT_KNOWN: "unknown", EMPTY: "empty", DONE: "done", MISSING: "missing", DIFFERENT: "different"}
_LEGEND: Final = (
    (DONE, "done"),
    (EMPTY, "done, and there are no points"),
    (MISSING, "missing: never copied"),
    (DIFFERENT, "different"),
)
_CELL: Final = 8
_LABELS: Final = 40
"""Number of rows up to which each has a label."""
_LABEL_WIDTH: Final = 96
_AXIS: Final = 22


def coverage_svg(grid: CoverageGrid) -> str:
    """Return the picture; rows become thin, and lose their labels, where there are more than 40."""
    cells = grid.worst
    rows = len(cells)
    high = 16 if rows <= _LABELS else 6
    labels = rows <= _LABELS
    left = _LABEL_WIDTH if labels else 0
    width, height = left + COLUMNS * _CELL, rows * high + _AXIS
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
            f'<text x="0" y="{row * high + 12}">{escape(_short(grid.row_name(row)))}'
            f"<title>{escape(grid.row_name(row))}</title></text>"
            for row in range(rows)
        )
    parts.extend(_time_axis(grid, left, rows * high, width))
    parts.append("</svg>")
    return "".join(parts)


def coverage_legend() -> str:
    """Return a legend of the colours."""
    items = (
        f'<span><svg viewBox="0 0 16 12"><rect class="{_CLASSES[state]}" width="16" height="12" rx="2"/></svg>'
        f"{escape(text)}</span>"
        for state, text in _LEGEND
    )
    return f'<div class="legend">{"".join(items)}</div>'


def _runs(flags: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """Yield (row, first column, the column after the last) of neighbouring cells that are set."""
    padded = np.zeros((len(flags), COLUMNS + 2), np.int8)
    padded[:, 1:-1] = flags
    steps = np.diff(padded, axis=1)
    rows, firsts = np.nonzero(steps == 1)
    _, lasts = np.nonzero(steps == -1)
    yield from zip(rows.tolist(), firsts.tolist(), lasts.tolist(), strict=True)


def _short(name: str) -> str:
    return name if len(name) <= 13 else f"{name[:12]}…"


def _time_axis(grid: CoverageGrid, left: int, top: int, width: int) -> Iterator[str]:
    start, end = grid.range.start_ns, grid.range.end_ns
    middle = start + (end - start) // 2
    digits = 10 if end - start >= 3 * 86_400 * 10**9 else 19
    for x, anchor, moment in ((left, "start", start), ((left + width) // 2, "middle", middle), (width, "end", end)):
        text = format_time(moment, 0)[:digits].replace("T", " ")
        yield f'<text x="{x}" y="{top + 15}" text-anchor="{anchor}">{text}</text>'
