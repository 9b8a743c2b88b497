"""What recorded values are in Omnia's terms: a value and a status for each, and one of several at one time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from omnia_beam.core.chunk import Points
from omnia_beam.core.limits import GOOD
from omnia_beam.io.pi.options import SameTime
from omnia_beam.io.pi.recorded import Recorded

_UNCERTAIN: Final = 64
_SUBSTITUTED: Final = 24
_BAD: Final = 0
_SINGLE: Final = ("float32", "float16")
_NOT_IN_JSON: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_TEXT_TYPES: Final = ("string", "timestamp", "blob")


@dataclass(frozen=True, slots=True)
class PiPoint:
    """A point of the data server as reading needs it.

    Args:
        series_id: under which its values are known here.
        web_id: of today.
        point_type: such as `Float32`, as the server spells it.
    """

    series_id: str
    web_id: str
    point_type: str

    @property
    def is_text(self) -> bool:
        """Whether its values are texts."""
        return self.point_type.casefold() in _TEXT_TYPES

    @property
    def is_single(self) -> bool:
        """Whether its values are of single precision, of which JSON shows decimals that a double reads as another number."""
        return self.point_type.casefold() in _SINGLE


@dataclass(frozen=True, slots=True)
class ValueRules:
    """How values are understood.

    Args:
        states: status of system states by case-folded name; 0 for others.
        same_time: what becomes of several values at one time.
        texts: whether texts, and the names of system states, are kept beside the values.
    """

    states: Mapping[str, int] = field(default_factory=dict, hash=False)
    same_time: SameTime = "last"
    texts: bool = False


@dataclass(frozen=True, eq=False)
class PiValues:
    """Values of one point in Omnia's terms, ascending in time, several at one time among them.

    Args:
        points: the columns.
        is_text: bool, whether the value is a text, which the value NaN does not show.
        counted: number of values that the server counts: system states are not.
    """

    points: Points
    is_text: npt.NDArray[np.bool_]
    counted: int


def understood(recorded: Recorded, point: PiPoint | None, rules: ValueRules) -> PiValues:
    """Return recorded values in Omnia's terms; of a point that is None there are no values.

    Good is 192, good and questionable 64, good and substituted 24; not good is 0 with the number that came. A system state
    is NaN with its status, never its code; a digital state is its code.
    """
    statuses = np.full(len(recorded), GOOD, np.uint32)
    statuses[recorded.substituted] = _SUBSTITUTED
    statuses[recorded.questionable] = _UNCERTAIN
    statuses[~recorded.good] = _BAD
    numbers, words = recorded.numbers, recorded.words
    if words.any() and not (point is not None and point.is_text):
        numbers, words = _numbers_of_words(recorded)
    # A text that is not good is the name of a state, in points of every type. [aveva]
    named = recorded.system | (words & ~recorded.good)
    if named.any():
        numbers = np.where(named, np.nan, numbers)
        statuses[named] = _state_statuses(recorded.texts, rules.states)[named]
    if point is not None and point.is_single:
        with np.errstate(over="ignore"):
            numbers = numbers.astype(np.float32).astype(np.float64)
    is_text = words & recorded.good
    texts: npt.NDArray[np.object_] | None = None
    keeps = named | is_text
    if rules.texts and keeps.any():
        texts = np.full(len(recorded), None, object)
        texts[keeps] = recorded.texts.to_numpy(zero_copy_only=False)[keeps]
    return PiValues(Points(recorded.times, numbers, statuses, texts), is_text, int((~named).sum()))


@dataclass(frozen=True, eq=False)
class Resolved:
    """Values of one point with each time once.

    Args:
        kept: indices of the values that are kept, ascending.
        others: indices of the values that are not.
    """

    kept: npt.NDArray[np.intp] | None
    others: npt.NDArray[np.intp]


def resolve_same_time(times: npt.NDArray[np.int64], same_time: SameTime) -> Resolved:
    """Return which of ascending values are kept; `kept` is None for all.

    `last` and `first` keep one of those at one time; with `dead_letter` none of them is kept, since none is the value.
    """
    repeats = times[1:] == times[:-1]
    if not repeats.any():
        return Resolved(None, np.empty(0, np.intp))
    before = np.concatenate([[False], repeats])  # shares its time with the value before
    behind = np.concatenate([repeats, [False]])
    dropped = {"last": behind, "first": before, "dead_letter": before | behind}[same_time]
    return Resolved(np.flatnonzero(~dropped), np.flatnonzero(dropped))


def _numbers_of_words(recorded: Recorded) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return texts of a point of numbers as numbers where they are any: NaN and infinities, which JSON has no form for.

    A text that is not good may be the name of a state, and is a number only if it is one of those three.
    """
    numbers, words = recorded.numbers.copy(), recorded.words.copy()
    for row in np.flatnonzero(words).tolist():
        text = recorded.texts[row].as_py()
        if not recorded.good[row] and text not in _NOT_IN_JSON:
            continue
        try:
            numbers[row] = float(text)
        except ValueError:
            continue
        words[row] = False
    return numbers, words


def _state_statuses(names: Any, states: Mapping[str, int]) -> npt.NDArray[np.uint32]:
    encoded = names.dictionary_encode()
    table = [states.get((name or "").strip().casefold(), _BAD) for name in encoded.dictionary.to_pylist()]
    table.append(_BAD)  # a state without a name
    codes = encoded.indices.fill_null(len(table) - 1).to_numpy(zero_copy_only=False)
    statuses: npt.NDArray[np.uint32] = np.array(table, np.uint32)[codes]
    return statuses
