"""Map statuses of one historian to statuses of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt


class MappedStatuses(NamedTuple):
    """A mapped column of statuses, and the points to reject.

    `statuses` is uint32, shape (n,). `rejected` is bool, shape (n,), and marks the points whose status has no image; it is None
    where there are no such points.
    """

    statuses: npt.NDArray[np.uint32]
    rejected: npt.NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class StatusRule:
    """The mapping of statuses.

    Args:
        table: status of the source -> status of the target, both of 32 bits.
        unlisted: the treatment of other statuses: `carry` keeps them, `reject` rejects the point, a status replaces them all.
    """

    table: Mapping[int, int]
    unlisted: Literal["carry", "reject"] | int = "carry"

    def apply(self, statuses: npt.NDArray[np.uint32]) -> MappedStatuses:
        """Map a column and return its images.

        Args:
            statuses: uint32, shape (n,).
        """
        first = statuses[:1]
        if len(first) and bool((statuses == first).all()):  # one status throughout is the common case
            return self._map(first, len(statuses))
        keys = np.array(sorted(self.table), np.uint32)
        images = np.array([self.table[key] for key in sorted(self.table)], np.uint32)
        if not len(keys):
            return self._unlisted(statuses.copy(), np.ones(len(statuses), bool))
        at = np.minimum(np.searchsorted(keys, statuses), len(keys) - 1)
        listed = keys[at] == statuses
        mapped = np.where(listed, images[at], statuses).astype(np.uint32)
        return self._unlisted(mapped, ~listed)

    def lists(self, status: int) -> bool:
        """Return whether the table has an image for a status."""
        return status in self.table

    def _map(self, first: npt.NDArray[np.uint32], count: int) -> MappedStatuses:
        status = int(first[0])
        image = self.table.get(status, status)
        return self._unlisted(np.full(count, image, np.uint32), np.full(count, status not in self.table))

    def _unlisted(self, mapped: npt.NDArray[np.uint32], unlisted: npt.NDArray[np.bool_]) -> MappedStatuses:
        if self.unlisted == "carry" or not unlisted.any():
            return MappedStatuses(mapped, None)
        if self.unlisted == "reject":
            return MappedStatuses(mapped, unlisted)
        mapped[unlisted] = self.unlisted
        return MappedStatuses(mapped, None)
