"""The faults that damage the service's pages and refuse its writes.

| kind | what happens |
|---|---|
| duplicate_page | the previous page again, whose token leads on as before; a request with a token only |
| repeat_page | the right page, with a token that leads to the very same page, as long as the rule fires |
| bad_token | the continuation token is refused with 400; a request with a token only |
| reorder | the points of the page in another order |
| wrong_total=N | totalCount off by N (default 1) |
| reject_points | a write with any of a fixed set of points gets a 400 that names none; rate= is their share of all |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from omnia_beam.emulator.common.serving.faults import GENERAL, FaultKind, Injection

WITH_TOKEN: Final = ("duplicate_page", "bad_token")
"""The kinds that concern a request with a continuation token only."""

KINDS: Final[Mapping[str, FaultKind]] = {
    **GENERAL,
    "duplicate_page": FaultKind(),
    "repeat_page": FaultKind(),
    "bad_token": FaultKind(),
    "reorder": FaultKind(),
    "wrong_total": FaultKind(int, 1),
    "reject_points": FaultKind(per_point=True),
}


@dataclass(frozen=True, slots=True)
class PageFaults:
    """The faults that the fault rules apply to the page of this response."""

    duplicate: bool = False
    repeat: bool = False
    reorder: bool = False
    refuse_token: bool = False
    total_off: int = 0
    reject_rate: float = 0.0


def page_faults(injection: Injection) -> PageFaults:
    """Return the faults that concern the content of a page or of a write."""
    total, reject = injection.of("wrong_total"), injection.of("reject_points")
    return PageFaults(
        duplicate=injection.of("duplicate_page") is not None,
        repeat=injection.of("repeat_page") is not None,
        reorder=injection.of("reorder") is not None,
        refuse_token=injection.of("bad_token") is not None,
        total_off=total.value if total else 0,
        reject_rate=reject.rate if reject else 0.0,
    )
