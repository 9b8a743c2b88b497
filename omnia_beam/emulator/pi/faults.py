"""The faults that damage what the service reports and what it stores.

| kind | what happens |
|---|---|
| value_errors | values carry `Errors` instead of a value; rate= is their share of all, a fixed set of times |
| web_exception | the values break off half way, in a 200 with `WebException` at the top |
| empty | a 200 without the values that are there |
| short | half of the values, without a word |
| outside | a value from before the range comes first |
| reorder | values at the same time come in the reverse order |
| left_out | the last stream of a response of several is missing |
| reject_points | a fixed set of values is refused in a 207; rate= is their share of all |
| not_stored | a write is acknowledged and not carried out |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from omnia_beam.emulator.common.serving.faults import GENERAL, FaultKind

KINDS: Final[Mapping[str, FaultKind]] = {
    **GENERAL,
    "value_errors": FaultKind(per_point=True),
    "web_exception": FaultKind(),
    "empty": FaultKind(),
    "short": FaultKind(),
    "outside": FaultKind(),
    "reorder": FaultKind(),
    "left_out": FaultKind(),
    "reject_points": FaultKind(per_point=True),
    "not_stored": FaultKind(),
}
