"""An Omnia destination, read back through its API: the target series of the receipts, in the receipts' ranges."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from omnia_beam.core.chunk import Points
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.window import ChunkKey
from omnia_beam.pipelines.verify_destination import Observation
from omnia_beam.pipelines.verify_difference import Difference
from omnia_beam.pipelines.verify_service import ServiceReader


@dataclass(frozen=True)
class OmniaDestination:
    """Target series of one service."""

    reader: ServiceReader

    def observe(self, receipts: Sequence[Receipt]) -> Iterator[Observation]:
        """Raises CredentialError, ServiceError: the service cannot be read."""
        keys = [target_key(receipt) for receipt in receipts]
        read = self.reader.fingerprints([(key, each.count) for key, each in zip(keys, receipts, strict=True)])
        for key in keys:
            yield Observation(dict(read.prints.get(key, {})), failure=read.failures.get(key, ""))

    def points(self, receipt: Receipt, stored_ids: Collection[str]) -> dict[str, Points]:
        """Raises IncompleteReadError, ServiceError: the window cannot be read."""
        return self.reader.points(ChunkKey(tuple(sorted(stored_ids)), receipt.key.range))

    def strays(self, live: Collection[str]) -> tuple[list[Difference], int]:
        """A service has no files; other series of it are none of this job's business."""
        return [], 0


def target_key(receipt: Receipt) -> ChunkKey:
    """The receipt's window in the ids of the target."""
    return ChunkKey(tuple(sorted(each.target_id for each in receipt.series)), receipt.key.range)
