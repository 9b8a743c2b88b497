"""Chunks into an Omnia service, without Beam: batched across series and chunks, sent from a pool of threads."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, Final

from omnia_beam.core.chunk import Chunk
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.errors import OmniaBeamError, TerminalServiceError, TransientServiceError
from omnia_beam.core.limits import MAX_CHUNK_POINTS, MAX_SERIES_PER_REQUEST
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.timestamps import NS_PER_SECOND
from omnia_beam.io.omnia.delivery import Delivery, Refusal, WriteMemory
from omnia_beam.io.omnia.group import Group, Run, columns, ordered, size, targets
from omnia_beam.io.omnia.pending_chunk import PendingChunk, WrittenChunk, chunk_of, refuse_run
from omnia_beam.io.omnia.policy import MAX_POINT_BYTES, SERIES_BYTES, WriteOptions
from omnia_beam.io.window_reader import MoreAhead
from omnia_beam.ledger.fence import LeaseFence
from omnia_beam.net.api.operations import WRITE_MULTIPLE
from omnia_beam.net.api.write_response import send_until_committed
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.wire import encode_datapoints

_OUTAGE_REQUESTS: Final = 10
"""Requests in a row that failed for good: then the service is down, and going on would take hours to say so."""

_LOOK_S: Final = 0.1
"""How often to look whether more may be under way, or the writing has ended, while there is no room."""

_LINGER_NS: Final = 5 * NS_PER_SECOND
"""How long points wait for others to fill their batch, as far as chunks keep coming: a slow source gets receipts too."""


def send_group(session: ServiceSession, group: Group, fence: LeaseFence | None = None) -> None:
    """Commit points to the service, or raise.

    Args:
        fence: of the run's lease, looked at before each try; None where no lease is held.

    Raises:
        StateError: the lease was lost.
        TerminalServiceError: the service has queued them (202), so that the time when they are stored is unknown.
        TransientServiceError: its responses do not confirm that they are stored.
        ServiceError, CredentialError: as `ServiceSession.send`.
    """
    body = encode_datapoints(columns(group))
    before = (lambda: None) if fence is None else fence.check
    response = send_until_committed(
        lambda: WRITE_MULTIPLE.send(session, params=[("async", "false")], json_body=body, before=before),
        size(group),
        len(targets(group)),
    )
    if response.status == 202:
        raise TerminalServiceError(
            f"{response.method} {response.path}: answered 202 to async=false: the points are queued and may still be lost; no "
            "receipt can be given by this service",
            method=response.method,
            path=response.path,
            status=202,
        )


def more_ahead(session: ServiceSession) -> MoreAhead:
    """Further batches of at most a chunk's points in all, while requests wait for the service."""
    return MoreAhead(session.settings.threads, MAX_CHUNK_POINTS, lambda: session.is_throttled)


class OmniaWriter:
    """Takes chunks, gives them back as `WrittenChunk`, in the order in which they come to their end.

    Memory is bounded: `put` waits while `ahead` batches are under way. Made, fed and emptied by one thread; not used again
    after an error.

    Args:
        send: commits a group or raises; called on the pool's threads.
        pool: where batches are sent from.
        ahead: batches that are under way at most.
        more_ahead: when there may be more.
        options: see `WriteOptions`.
        memory: of the service, shared by the process.
        sink: how receipts name this sink.
        give_up_chunks: a transient failure that outlasts its retries fails the chunks concerned (`WindowFailure`) and the
            rest goes on. Otherwise it ends everything.
        keep: called with a written chunk's receipt and dead letters before the chunk is given back, on a pool's thread: makes
            the letters durable.
        clock_ns: wall clock, ns since the Unix epoch.

    Raises (by `put`, `taken` and `drained`):
        CredentialError, ServiceError: see `Delivery`.
        TransientServiceError: the service is down.
    """

    def __init__(
        self,
        send: Callable[[Group], None],
        *,
        pool: Executor,
        ahead: int,
        options: WriteOptions,
        memory: WriteMemory,
        sink: str,
        more_ahead: MoreAhead | None = None,
        give_up_chunks: bool = False,
        keep: Callable[[Receipt, Sequence[DeadLetter]], None] | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._send = send
        self._pool = pool
        self._options = options
        self._memory = memory
        self._sink = sink
        self._give_up_chunks = give_up_chunks
        self._keep = keep
        self._clock_ns = clock_ns
        self._request_points = options.request_points
        self._lock = threading.Lock()
        self._ahead = ahead
        self._more_ahead = more_ahead
        self._under_way = 0
        self._points_under_way = 0
        self._room_changed = threading.Condition()
        self._done: queue.SimpleQueue[WrittenChunk | None] = queue.SimpleQueue()
        self._open: list[Run] = []
        self._open_points = 0
        self._open_targets: set[str] = set()
        self._open_heads = 0
        self._open_since_ns = 0
        self._outstanding = 0
        self._failures_in_a_row = 0
        self._error: BaseException | None = None
        self._abandoned = threading.Event()

    def put(self, chunk: Chunk, ticket: Any = None) -> None:
        """Hand in a chunk; its points are copied nowhere, and must not change."""
        self._check()
        pending = PendingChunk(chunk, ticket, self._options)
        self._outstanding += 1
        if pending.is_settled:
            self._finish(pending)
            return
        now_ns = self._clock_ns()
        if now_ns - self._open_since_ns > _LINGER_NS:
            self._flush()
        for run in pending.runs():
            if not self._open:
                self._open_since_ns = now_ns
            self._add(run)

    def taken(self) -> Iterator[WrittenChunk]:
        """What has come to its end since; does not wait."""
        self._check()
        while True:
            try:
                done = self._done.get_nowait()
            except queue.Empty:
                return
            yield self._given(done)

    def drained(self) -> Iterator[WrittenChunk]:
        """Send what is left, and give everything back as it comes to its end."""
        self._flush()
        while self._outstanding:
            self._check()
            yield self._given(self._done.get())

    def abandon(self) -> None:
        """Send nothing more; what is under way ends by itself."""
        self._abandoned.set()

    def _given(self, done: WrittenChunk | None) -> WrittenChunk:
        self._check()
        if done is None:
            raise AssertionError("woken for an error that is not there")
        self._outstanding -= 1
        return done

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _add(self, run: Run) -> None:
        """Into the open batch, cut where that is full."""
        while True:
            if self._room(run.target_id) < 1 and self._open:
                self._flush()
            part = run._replace(stop=min(run.stop, run.start + max(1, self._room(run.target_id))))
            self._open.append(part)
            if run.target_id not in self._open_targets:
                self._open_targets.add(run.target_id)
                self._open_heads += SERIES_BYTES + len(run.target_id)
            self._open_points += part.stop - part.start
            if part.stop == run.stop:
                break
            run = run._replace(start=part.stop)
        if self._open_points >= self._request_points:
            self._flush()

    def _room(self, target_id: str) -> int:
        """Points of a series that the open batch still takes."""
        heads = self._open_heads
        if target_id not in self._open_targets:
            if len(self._open_targets) >= MAX_SERIES_PER_REQUEST:
                return 0
            heads += SERIES_BYTES + len(target_id)
        by_bytes = (self._options.batch_bytes - heads) // MAX_POINT_BYTES
        return min(self._request_points, by_bytes) - self._open_points

    def _flush(self) -> None:
        if not self._open:
            return
        batch = ordered(self._open)
        self._open, self._open_points, self._open_targets, self._open_heads = [], 0, set(), 0
        with self._room_changed:
            while not self._has_room(size(batch)):
                self._room_changed.wait(_LOOK_S)
                self._check()
            self._under_way += 1
            self._points_under_way += size(batch)
        self._check()
        self._pool.submit(self._deliver, batch)

    def _has_room(self, points: int) -> bool:
        if self._under_way < self._ahead:
            return True
        more = self._more_ahead
        if more is None or self._under_way >= more.most or self._points_under_way + points > more.points:
            return False
        return more.is_wanted()

    def _deliver(self, batch: Group) -> None:
        delivery = Delivery(
            self._send_unless_abandoned,
            self,
            self._memory,
            request_points=self._request_points,
            isolation_requests=self._options.isolation_requests,
            clock_ns=self._clock_ns,
        )
        try:
            delivery.run(batch)
        except BaseException as error:  # it crosses threads here, whatever it is
            self._stop(error)
        finally:
            with self._room_changed:
                self._under_way -= 1
                self._points_under_way -= size(batch)
                self._room_changed.notify()

    def _send_unless_abandoned(self, group: Group) -> None:
        if self._abandoned.is_set():
            raise _Abandoned
        self._send(group)

    def _stop(self, error: BaseException) -> None:
        with self._lock:
            if self._error is None and not isinstance(error, _Abandoned):
                self._error = error
        self._abandoned.set()
        self._done.put(None)

    def wants(self, run: Run) -> bool:
        """Whether a run is still worth sending; for `Delivery`, as the next four."""
        return chunk_of(run).failure is None

    def given_up(self, group: Group) -> None:
        """These points were not sent: their chunks have failed."""
        self._settle(group)

    def stored(self, group: Group) -> None:
        """These points are committed."""
        with self._lock:
            self._failures_in_a_row = 0
        self._settle(group)

    def refused(self, group: Group, refusal: Refusal, note: str) -> None:
        """These points are dead."""
        with self._lock:
            self._failures_in_a_row = 0
            for run in group:
                refuse_run(run, refusal, note)
        self._settle(group)

    def failed(self, group: Group, error: TransientServiceError) -> None:
        """The chunks of these points are given up."""
        with self._lock:
            self._failures_in_a_row += 1
            if not self._give_up_chunks or self._failures_in_a_row >= _OUTAGE_REQUESTS:
                raise error
            for run in group:
                chunk_of(run).fail(error)
        self._settle(group)

    def _settle(self, group: Group) -> None:
        finished: list[PendingChunk] = []
        with self._lock:
            for run in group:
                if chunk_of(run).settle(run.stop - run.start):
                    finished.append(chunk_of(run))
        for pending in finished:
            self._finish(pending)

    def _finish(self, pending: PendingChunk) -> None:
        written = pending.written(self._sink)
        if self._keep is not None and written.receipt is not None:
            self._keep(written.receipt, written.dead_letters)
        self._done.put(written)


class _Abandoned(OmniaBeamError):
    """No caller waits for this batch any more."""

    def __init__(self) -> None:
        super().__init__("abandoned: the bundle has ended")
