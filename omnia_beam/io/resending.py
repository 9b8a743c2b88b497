"""The interface of a sink that can be sent single points again, with its own writer: for `replay`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from omnia_beam.core.chunk import Chunk
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.receipt import Receipt


@dataclass(frozen=True, slots=True)
class SentAgain:
    """The result of sending the points of one chunk again.

    Args:
        ticket: the object that the points were submitted with.
        receipt: of what is stored of them; None where the sending failed.
        failure: None where it did not fail.
        dead_letters: points that were refused again, or that the sink cannot hold.
        dropped: number of points that a policy left out.
    """

    ticket: Any
    receipt: Receipt | None
    failure: WindowFailure | None
    dead_letters: tuple[DeadLetter, ...] = ()
    dropped: int = 0


class Resending(Protocol):
    """Sends single points, which are in no order and are no whole window, beside those that are stored."""

    @property
    def resolution_ns(self) -> int:
        """The grid of the sink's times, ns: finer points are not sent, since only a whole window shows what they meet there."""

    def send(self, chunks: Iterable[tuple[Chunk, Any]]) -> Iterator[SentAgain]:
        """Send points under the ids of their targets, each chunk with a ticket, and yield the results as they come.

        Chunks are taken as there is room, and results may come in another order. Whoever stops early closes the iterator.

        Raises:
            CredentialError, ServiceError, StateError: it cannot continue; what was yielded is stored.
        """
