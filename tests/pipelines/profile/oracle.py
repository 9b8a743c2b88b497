"""The figures of a series, point by point in plain Python: slow, and without any code of the product."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction

Point = tuple[int, float, int]
"""Time in ns, value, status."""


@dataclass
class Expected:
    """The figures of one series."""

    points: int
    first: int
    last: int
    minimum: float
    mean: float
    maximum: float
    nan: int
    infinite: int
    bad: int
    questionable: int
    same_time: int
    longest: tuple[int, int] | None
    """Start and length of the longest time between neighbours."""
    gaps: list[tuple[int, int]]
    flats: list[tuple[int, int, float]]


def expected_figures(points: list[Point], gap: int) -> Expected:
    """The figures of at least one point; of points with one time the order is kept."""
    points = sorted(points, key=lambda each: each[0])
    numbers = [value for _, value, _ in points if not math.isnan(value)]
    steps = [(one[0], other[0] - one[0]) for one, other in itertools.pairwise(points)]
    return Expected(
        points=len(points),
        first=points[0][0],
        last=points[-1][0],
        minimum=min(numbers, default=math.nan),
        mean=mean(numbers),
        maximum=max(numbers, default=math.nan),
        nan=len(points) - len(numbers),
        infinite=sum(math.isinf(value) for value in numbers),
        bad=sum(status % 256 // 64 != 3 for _, _, status in points),
        questionable=sum(status % 256 // 64 == 1 for _, _, status in points),
        same_time=sum(length == 0 for _, length in steps),
        longest=max(steps, key=lambda step: (step[1], -step[0])) if steps else None,
        gaps=[step for step in steps if step[1] > gap],
        flats=flats(points, gap),
    )


def mean(numbers: list[float]) -> float:
    """The exact mean, rounded once."""
    infinite = {number for number in numbers if math.isinf(number)}
    if infinite or not numbers:
        return infinite.pop() if len(infinite) == 1 else math.nan
    return float(sum(map(Fraction, numbers)) / len(numbers))


def flats(points: list[Point], gap: int) -> list[tuple[int, int, float]]:
    """(start, length, value) of runs of one value without a gap that last longer than a gap."""
    found = []
    run = [points[0]]
    for point in [*points[1:], None]:
        if point is not None and point[1] == run[-1][1] and point[0] - run[-1][0] <= gap:
            run.append(point)
            continue
        if run[-1][0] - run[0][0] > gap:
            found.append((run[0][0], run[-1][0] - run[0][0], run[0][1]))
        run = [point] if point is not None else []
    return found
