"""A destination as verification sees it: fingerprints of what it holds for some receipts, and the points where they differ."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from omnia_beam.core.chunk import Points
from omnia_beam.core.receipt import Receipt
from omnia_beam.pipelines.verify_difference import Difference
from omnia_beam.pipelines.verify_fingerprint import Fingerprint


@dataclass(frozen=True)
class Observation:
    """What a destination holds of one receipt.

    Args:
        prints: by stored id; an id without an entry has no points. Ids that the receipt does not name may be among them.
        problems: files that are missing or cannot be read; then the fingerprints are of the rest.
        failure: why nothing could be read, empty where it could.
    """

    prints: dict[str, Fingerprint] = field(default_factory=dict)
    problems: tuple[Difference, ...] = ()
    failure: str = ""

    @property
    def count(self) -> int:
        """Points found."""
        return sum(each.count for each in self.prints.values())


class Destination(Protocol):
    """Anything whose content can be read back."""

    def observe(self, receipts: Sequence[Receipt]) -> Iterator[Observation]:
        """For each receipt, in order, what is there. Raises DestinationError or ServiceError: nothing can be read."""

    def points(self, receipt: Receipt, stored_ids: Collection[str]) -> dict[str, Points]:
        """What is there of some series of a receipt, in any order of time."""

    def strays(self, live: Collection[str]) -> tuple[list[Difference], int]:
        """What lies there besides the files that receipts name, and how many files belong to other jobs."""
