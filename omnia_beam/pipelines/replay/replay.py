"""Replay: send a job's dead letters again, and account for each point.

    take the lease, load the ledger ─ for each file: what was overtaken since? ─ send the rest
    ─ what is stored leaves the file and enters the receipt; what is refused stays, with its new reason

A crash at any step is harmless. A point leaves its file only when the service has committed it. The file is rewritten
first, with the receipt that its chunk has now; the ledger is updated next; a file without points is deleted last. The next
replay finds whatever was not finished, and finishes it; a point that is sent twice is an upsert of itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.errors import Interrupted, OmniaBeamError, UsageError
from omnia_beam.core.printable import counted
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.summary import Summary
from omnia_beam.io.destination import Asked, Look
from omnia_beam.io.omnia.delivery import WriteMemory
from omnia_beam.io.omnia.options import OmniaSink
from omnia_beam.io.omnia.pending_chunk import WrittenChunk
from omnia_beam.io.omnia.settings import service_settings, write_options
from omnia_beam.io.omnia.writer import OmniaWriter, more_ahead, send_group
from omnia_beam.ledger.dead_letters import WRITING, DeadLetterFiles, StoredLetters
from omnia_beam.ledger.job import JobRun
from omnia_beam.ledger.record import Scope
from omnia_beam.ledger.writer import LedgerWriter
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import reset_shared_sessions, shared_session
from omnia_beam.pipelines.cluster_guard import check_job
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.job_state import opened_state
from omnia_beam.pipelines.letters_look import look_at_letters
from omnia_beam.pipelines.replay.letters import (
    SortedLetters,
    Standing,
    chunk_of_letters,
    receipt_after,
    sort_letters,
    standing_of,
    with_history,
)

_BLOCK_FILES: Final = 5_000
"""Files looked up in the ledger at a time: each lookup is a pass over its receipts."""


@dataclass
class _Tally:
    """Counts of what became of the points so far."""

    read: int = 0
    stored: int = 0
    overtaken: int = 0
    dropped: int = 0
    left: Counter[str] = field(default_factory=Counter)
    files: int = 0
    files_settled: int = 0
    files_left: int = 0
    targets: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)

    @property
    def unsettled(self) -> int:
        """Points that were read from their files and whose result is not known yet."""
        return self.read - self.stored - self.dropped - self.overtaken - self.left.total()


@dataclass(frozen=True)
class _Sent:
    """A file that is being sent; `recorded` is the ledger's receipt, where all of it counts and the file is no leftover."""

    name: str
    stored: StoredLetters
    letters: SortedLetters
    recorded: tuple[Receipt, Scope] | None


def run_replay(job: JobConfig, context: RunContext, path: str | None = None) -> Summary:
    """Send dead letters again.

    Args:
        job: its sink is an Omnia service.
        context: the terminal; no Beam pipeline is run, but options that a run of the job refuses are refused here too.
        path: a folder of dead letters, or one file of it, instead of those in the job's state.

    Returns:
        `complete` where no dead letter is left. `points_read` counts the points in the files, `points_written` those
        that are stored now, `dead_letters` those that are left.

    Raises:
        UsageError: the sink is no Omnia service, or there is nothing under `path`.
        CredentialError, ServiceError, StateError: it cannot continue; what is stored has left its file, all else is kept.
    """
    began = context.clock()
    sink = job.sink
    if not isinstance(sink, OmniaSink):
        raise UsageError(
            f"replay sends dead letters to a sink of kind omnia; this job's is {sink.kind}, which refuses no points"
        )
    check_job(Job.of(job), context)
    service = service_settings(sink)
    session = shared_session(service)
    tally = _Tally()
    try:
        with opened_state(job, context) as state:
            fence = state.fence
            files = DeadLetterFiles.of(state.state_dir, fence) if path is None else DeadLetterFiles.at(path, fence)
            names = files.names()
            if path is not None and not names:
                raise UsageError(f"--dead-letters {path}: there are no files of dead letters (*.parquet)")
            tally.files = len(names)
            context.notify(f"sending the dead letters of {counted(len(names), 'window')} again: {files}")
            asked = Asked(state.scope.digest, state.sink)
            lost = Look() if path else look_at_letters(state.ledger, state.state_dir, asked)
            _Replay(state, files, service, session, sink, tally).run(names)
    except (OmniaBeamError, Interrupted) as error:
        reached = _summary(tally, session, context.clock() - began)
        error.summary = reached.having(dead_letters=reached.dead_letters + tally.unsettled)
        raise
    summary = _summary(tally, session, context.clock() - began)
    details = _details(tally, files)
    if lost.lost:
        summary = summary.having(status="incomplete")
        details["lost"] = f"{'; '.join(lost.texts)}: run migrate, which reads their windows again"
    return summary.having(details=details).with_warnings(*lost.warnings)


class _Replay:
    """One run over the files of dead letters."""

    def __init__(
        self,
        state: JobRun,
        files: DeadLetterFiles,
        service: ServiceSettings,
        session: ServiceSession,
        sink: OmniaSink,
        tally: _Tally,
    ) -> None:
        self._state = state
        self._files = files
        self._service = service
        self._session = session
        # Times finer than the service keeps are never cut here: only a run that reads the whole window knows whether the
        # cut time collides with another point.
        self._options = replace(write_options(sink), time_resolution="dead_letter")
        self._tally = tally
        self._ledgers: dict[str, LedgerWriter] = {}
        self._emptied: list[str] = []
        self._open = ExitStack()

    def run(self, names: list[str]) -> None:
        """Send everything, wait for it, and leave files and ledger in step."""
        pool = ThreadPoolExecutor(self._service.threads, thread_name_prefix="omnia-replay")
        writer = OmniaWriter(
            partial(send_group, self._session, fence=self._state.fence),
            pool=pool,
            ahead=2 * self._service.max_in_flight,
            more_ahead=more_ahead(self._session),
            options=self._options,
            memory=WriteMemory(),  # empty, so that what was refused before is tried again
            sink=self._state.sink,
            give_up_chunks=True,
        )
        try:
            with self._open:
                for written in self._written(writer, names):
                    self._settle(written.ticket, written)
                self._tidy()
        except BaseException:
            writer.abandon()
            reset_shared_sessions()  # ends the waits between tries, so that the threads end too
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _written(self, writer: OmniaWriter, names: list[str]) -> Iterator[WrittenChunk]:
        for at in range(0, len(names), _BLOCK_FILES):
            block = names[at : at + _BLOCK_FILES]
            standing = standing_of(self._state.ledger, self._state.sink, [self._files.key(name) for name in block])
            for name in block:
                self._put(writer, name, standing)
                yield from writer.taken()
        yield from writer.drained()

    def _put(self, writer: OmniaWriter, name: str, standing: Standing) -> None:
        stored = self._files.read(name)
        self._tally.read += stored.count
        self._tally.targets.update(letter.target_id for letter in stored.letters)
        if stored.origin != WRITING:
            # These letters were rejected before they were mapped for the target: only the job itself can read them again.
            self._leave(stored.letters)
            return
        letters = sort_letters(stored, standing)
        self._tally.overtaken += letters.overtaken
        recorded, scope = standing.recorded.get(stored.key, (None, None))
        known = None
        if recorded is not None and scope is not None and recorded.is_whole and not letters.is_leftover:
            known = recorded.receipt, scope
        writer.put(chunk_of_letters(stored.key, letters.send), _Sent(name, stored, letters, known))

    def _settle(self, sent: _Sent, written: WrittenChunk) -> None:
        """Record in the file and in the ledger what became of a file's letters."""
        if written.receipt is None:
            self._tally.failures.append(written.failure.message if written.failure else "")
            self._leave((*sent.letters.send, *sent.letters.kept))
            return
        self._tally.stored += written.receipt.count
        self._tally.dropped += written.counts.dropped
        left = [*with_history(written.dead_letters, sent.letters.send), *sent.letters.kept]
        self._leave(left)
        receipt = _receipt_now(sent, written, sum(letter.count for letter in left))
        news = receipt is not None and sent.recorded is not None and receipt != sent.recorded[0]
        name = sent.name
        if left or news:
            # Written even without letters: until the ledger has the receipt, the file holds it.
            name = self._files.put(sent.stored.key, left, receipt=receipt)
        if name != sent.name:
            self._emptied.append(sent.name)
        if not left:
            self._emptied.append(name)
        if receipt is not None and sent.recorded is not None and news:
            self._ledger(sent.recorded[1]).append(receipt)
        if len(self._emptied) >= _BLOCK_FILES:
            self._tidy()

    def _leave(self, letters: Sequence[DeadLetter]) -> None:
        """Count the letters that stay of one file: none, where all of it is stored."""
        self._tally.files_settled += 1
        for letter in letters:
            self._tally.left[letter.reason] += letter.count
        self._tally.files_left += bool(letters)

    def _ledger(self, scope: Scope) -> LedgerWriter:
        if scope.digest not in self._ledgers:
            writer = LedgerWriter(self._state.state_dir, scope, self._state.token)
            self._ledgers[scope.digest] = self._open.enter_context(writer)
        return self._ledgers[scope.digest]

    def _tidy(self) -> None:
        """Remove files without letters, once the ledger holds their receipts."""
        for writer in self._ledgers.values():
            writer.flush()
        for name in self._emptied:
            self._files.remove(name)
        self._emptied.clear()


def _receipt_now(sent: _Sent, written: WrittenChunk, dead_letters: int) -> Receipt | None:
    """Return the receipt of what is stored of a file's chunk now; None where that is not known."""
    base = sent.stored.receipt
    if base is None or written.receipt is None or sent.letters.is_leftover:
        return None
    return receipt_after(base, written.receipt, dead_letters)


def _summary(tally: _Tally, session: ServiceSession, elapsed_s: float) -> Summary:
    stats = session.stats.snapshot()
    left = sum(tally.left.values())
    return Summary(
        "replay",
        status="incomplete" if left or tally.failures else "complete",
        series=len(tally.targets),
        windows_planned=tally.files,
        windows_done=tally.files_settled - tally.files_left,
        windows_failed=len(tally.failures),
        points_read=tally.read,
        points_written=tally.stored,
        dead_letters=left,
        requests=stats.requests,
        retries=stats.retries,
        throttled_s=stats.throttled_s,
        bytes_read=stats.bytes_read,
        elapsed_s=elapsed_s,
    )


def _details(tally: _Tally, files: DeadLetterFiles) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if tally.left:
        details["dead letters in"] = str(files)
        details["reasons"] = dict(tally.left.most_common())
        reason, points = tally.left.most_common(1)[0]
        details["most frequent reason"] = f"{reason} ({counted(points, 'point')})"
    if tally.overtaken:
        details["overtaken"] = f"{counted(tally.overtaken, 'point')} that a run has read again since"
    if tally.dropped:
        details["dropped"] = f"{counted(tally.dropped, 'point')}, by nan: drop_counted"
    if tally.failures:
        details["first failure"] = tally.failures[0]
    return details
