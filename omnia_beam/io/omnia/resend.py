"""Send single points to a service again, with the writer of the sink but none of its memory of refusals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from omnia_beam.core.chunk import Chunk
from omnia_beam.core.limits import TIME_RESOLUTION_NS
from omnia_beam.io.omnia.delivery import WriteMemory
from omnia_beam.io.omnia.pending_chunk import WrittenChunk
from omnia_beam.io.omnia.policy import WriteOptions
from omnia_beam.io.omnia.writer import OmniaWriter, more_ahead, send_group
from omnia_beam.io.resending import SentAgain
from omnia_beam.ledger.job import JobRun
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import reset_shared_sessions, shared_session


@dataclass(frozen=True)
class ServiceResending:
    """Sends single points to one service.

    Args:
        settings, options: which service, and the sink's policies.
        run: holds the lease.
    """

    settings: ServiceSettings
    options: WriteOptions
    run: JobRun

    @property
    def resolution_ns(self) -> int:
        return TIME_RESOLUTION_NS

    def send(self, chunks: Iterable[tuple[Chunk, Any]]) -> Iterator[SentAgain]:
        """Send the points of chunks; see `Resending`."""
        session = shared_session(self.settings)
        pool = ThreadPoolExecutor(self.settings.threads, thread_name_prefix="omnia-replay")
        writer = OmniaWriter(
            partial(send_group, session, fence=self.run.fence),
            pool=pool,
            ahead=2 * self.settings.max_in_flight,
            more_ahead=more_ahead(session),
            # Times finer than the service keeps are never cut here: only a run that reads the whole window knows whether the
            # cut time collides with another point.
            options=replace(self.options, time_resolution="dead_letter"),
            memory=WriteMemory(),  # empty, so that what was refused before is tried again
            sink=self.run.sink,
            give_up_chunks=True,
        )
        try:
            for chunk, ticket in chunks:
                writer.put(chunk, ticket)
                yield from map(_result, writer.taken())
            yield from map(_result, writer.drained())
        except BaseException:
            writer.abandon()
            reset_shared_sessions()  # ends the waits between tries, so that the threads end too
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _result(written: WrittenChunk) -> SentAgain:
    return SentAgain(written.ticket, written.receipt, written.failure, written.dead_letters, written.counts.dropped)
