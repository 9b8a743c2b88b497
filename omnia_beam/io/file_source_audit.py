"""What the reading of a whole file notices beside its points: counted once, when the file is indexed."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

EXACT_INTEGER: Final = 2**53
"""Up to here a double holds every whole number."""

_WHOLE: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)


@dataclass
class Audit:
    """Counters of one file.

    Attributes:
        infinite: by series, texts of numbers too large for a double.
        inexact: by series, whole numbers beyond 2^53 that no double holds.
        rows, times: of wide files: rows, and different times among those of each block.
    """

    infinite: Counter[str] = field(default_factory=Counter)
    inexact: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    times: int = 0

    def count(self, series: str, text: str, value: float) -> None:
        """Count a value whose text says more than the value does.

        Args:
            series: its series.
            text: as it stands in the file, without marks between groups of digits.
            value: what was made of it.
        """
        if math.isinf(value):
            if "inf" not in text.lower():
                self.infinite[series] += 1
        elif abs(value) >= EXACT_INTEGER and _WHOLE.fullmatch(text) and int(text) != int(value):
            self.inexact[series] += 1


def suspicious(values: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Where values are so large that their texts must be looked at."""
    with np.errstate(invalid="ignore"):
        if not len(values) or not (np.fmax.reduce(values) >= EXACT_INTEGER or np.fmin.reduce(values) <= -EXACT_INTEGER):
            return np.empty(0, np.intp)
        return np.flatnonzero(np.abs(values) >= EXACT_INTEGER)
