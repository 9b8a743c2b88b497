"""Sparklines as SVG paths: a band from the least to the greatest value of each step, and where there is a gap."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from omnia_beam.pipelines.profile.figures import SeriesFigures, Sparkline

HEIGHT: Final = 40
"""Height of a drawing in units of its own; a step is two units wide."""
_EDGE: Final = 3
_ABSURD: Final = 1e300
"""Beyond it differences of two values may not be finite, and values are drawn at a smaller scale."""


@dataclass(frozen=True)
class Drawing:
    """What is drawn of a series.

    Args:
        band: path of the values.
        holes: x and width of what is empty between them.
    """

    band: str
    holes: tuple[tuple[int, int], ...]


def used_steps(series: Sequence[SeriesFigures]) -> int:
    """Return the number of steps up to the last point of all series; 1 where there are none."""
    ends = ((each.last_ns - each.sparkline.start_ns) // each.sparkline.step_ns + 1 for each in series)
    return max(ends, default=1)


def drawing_of(figures: SeriesFigures, gap_ns: int, steps: int) -> Drawing:
    """Return the drawing of a series, in units of two for each step and HEIGHT from top to bottom.

    Args:
        gap_ns: values with an empty time of this length or more between them are not joined.
        steps: number of steps to draw.
    """
    low, high = figures.sparkline.low.tolist(), figures.sparkline.high.tolist()
    runs = list(_runs(figures.sparkline, gap_ns, steps))
    scale = _Scale([value for run in runs for at in run for value in (low[at], high[at])])
    band = "".join(_band(run, [scale(low[at]) for at in run], [scale(high[at]) for at in run]) for run in runs)
    holes = ((2 * (one[-1] + 1), 2 * (other[0] - one[-1] - 1)) for one, other in itertools.pairwise(runs))
    return Drawing(band, tuple(holes))


def _runs(line: Sparkline, gap_ns: int, steps: int) -> Iterator[list[int]]:
    """Yield the steps with values that are joined with each other."""
    run: list[int] = []
    for at in range(min(steps, len(line.low))):
        if math.isnan(line.low[at]):
            continue
        if run and (at - run[-1] - 1) * line.step_ns >= gap_ns:
            yield run
            run = []
        run.append(at)
    if run:
        yield run


class _Scale:
    """Heights of values: the greatest at the top, the least at the bottom, a single one in the middle."""

    def __init__(self, values: list[float]) -> None:
        self._factor = 2.0**-10 if any(abs(value) > _ABSURD for value in values) else 1.0
        self._least = min(values, default=0.0) * self._factor
        self._reach = max(values, default=0.0) * self._factor - self._least

    def __call__(self, value: float) -> int:
        if not self._reach:
            return HEIGHT // 2
        share = (value * self._factor - self._least) / self._reach
        return round(HEIGHT - _EDGE - share * (HEIGHT - 2 * _EDGE))


def _band(run: list[int], low: list[int], high: list[int]) -> str:
    """Return a closed path: along the greatest values and back along the least. Ends reach to the edges of their steps."""
    xs = [2 * run[0], *(2 * at + 1 for at in run), 2 * run[-1] + 2]
    there = zip(xs, [high[0], *high, high[-1]], strict=True)
    back = zip(reversed(xs), [low[-1], *reversed(low), low[0]], strict=True)
    return "M" + "L".join(f"{x} {y}" for x, y in (*there, *back)) + "Z"
