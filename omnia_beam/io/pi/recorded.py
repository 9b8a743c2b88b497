"""Recorded values of one stream, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Recorded:
    """Recorded values of one stream, as columns of one length in the order of the response.

    Args:
        times: int64 ns.
        numbers: float64: numbers, and the codes of digital and of system states; NaN where the value is a text.
        good, questionable, substituted: bool, the flags.
        system: bool, whether the value is a system state.
        texts: pa.string, a text or the name of a state; null for numbers.
        words: bool, whether the value came as a text.
    """

    times: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.float64]
    good: npt.NDArray[np.bool_]
    questionable: npt.NDArray[np.bool_]
    substituted: npt.NDArray[np.bool_]
    system: npt.NDArray[np.bool_]
    texts: Any
    words: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.times)

    def take(self, which: slice) -> Recorded:
        """Return a slice, without a copy."""
        stop = max(0, which.stop - which.start)
        return Recorded(
            self.times[which],
            self.numbers[which],
            self.good[which],
            self.questionable[which],
            self.substituted[which],
            self.system[which],
            self.texts.slice(which.start, stop),
            self.words[which],
        )

    @staticmethod
    def joined(parts: Sequence[Recorded]) -> Recorded:
        """Return the parts one after the other."""
        if len(parts) == 1:
            return parts[0]
        columns = {
            name: np.concatenate([getattr(each, name) for each in (NO_VALUES, *parts)])
            for name in ("times", "numbers", "good", "questionable", "substituted", "system", "words")
        }
        return Recorded(**columns, texts=pa.concat_arrays([NO_VALUES.texts, *(each.texts for each in parts)]))


_NO_FLAGS: Final = np.empty(0, bool)
NO_VALUES: Final = Recorded(
    np.empty(0, np.int64),
    np.empty(0, np.float64),
    _NO_FLAGS,
    _NO_FLAGS,
    _NO_FLAGS,
    _NO_FLAGS,
    pa.array([], pa.string()),
    _NO_FLAGS,
)
