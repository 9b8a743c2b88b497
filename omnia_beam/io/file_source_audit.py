"""What the reading of a whole file notices beside its points: counted once, when the file is indexed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


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
