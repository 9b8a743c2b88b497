"""Write in two steps: stage chunks, then commit what is staged, many windows at a time where the sink is transactional.

    stage(chunk) ─ Staged ─ commit([Staged, …]) ─ dead letters durable ─ receipts ─ ledger
                      └─ one committer: a note in the state, `runs/staged-….bin`, which the driver commits

A commit replaces what is stored of the chunk's series in the chunk's range. So it may be repeated, and a kill between any two
steps loses nothing: what is staged and not noted is read again; what is noted is committed by this run or the next; what is
committed and not recorded is committed again, with the same result. Nothing here imports Beam.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.errors import StateError
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.text import load_json
from omnia_beam.ledger.dead_letters import DeadLetterFiles, letters_of_table, letters_to_table
from omnia_beam.ledger.job import JobRun, RunState

COMMIT_POINTS: Final = 2_000_000
COMMIT_BYTES: Final = 64 * 2**20
"""Points and bytes of one commit, at most, where the sink sets nothing else: this bounds the memory of a committer."""

COMMIT_EVERY_S: Final = 30.0
"""Seconds between two commits of the driver while workers stage."""

_MARK: Final = "staged-"
_VERSION: Final = 1

Placing = Callable[[], AbstractContextManager[None]]
"""A function that returns a context in which the lease is held and cannot go to another run: enter it for the instant in which
staged points become visible."""


@dataclass(frozen=True, slots=True, eq=False)
class Staged:
    """A chunk that is staged.

    Args:
        receipt: what is stored once it is committed.
        data: what the committer needs: names of staged files or tables, or the points themselves.
        letters: points that the sink cannot hold; they are made durable between the commit and the receipt.
    """

    receipt: Receipt
    data: bytes = b""
    letters: tuple[DeadLetter, ...] = ()

    @classmethod
    def of(cls, chunk: Chunk, sink: str, data: bytes = b"", letters: Sequence[DeadLetter] = ()) -> Staged:
        """Return a staged chunk whose points, after `parted`, are all stored."""
        receipt = Receipt.of(chunk, sink, dead_letters=sum(each.count for each in letters))
        return cls(receipt, data, tuple(letters))


class TwoSteps(Protocol):
    """A place that is written in two steps. It is pickled to the workers and holds no secret."""

    def stage(self, chunk: Chunk, sink: str) -> Staged:
        """Prepare a chunk; nothing that readers see changes, and staging it again is harmless.

        Args:
            chunk: what to store.
            sink: how receipts name this sink.

        Raises:
            TransientServiceError: this chunk cannot be staged now; its window fails.
            OmniaBeamError: nothing can be staged; the run ends.
        """

    def commit(self, staged: Sequence[Staged], placing: Placing) -> Sequence[Receipt]:
        """Make staged chunks visible, all or none of them, and return their receipts.

        Each replaces what is stored of its series in its range, the later one where two overlap; a second commit of the same
        chunks changes nothing.

        Args:
            staged: in the order in which they were staged.
            placing: entered for the step that makes them visible, such as `COMMIT` or a rename.

        Raises:
            TransientServiceError, OmniaBeamError: as `stage`; nothing was committed.
        """


@dataclass(frozen=True)
class StageAndCommit:
    """How a sink is written in two steps: in commits of which size, and by whom. It is pickled to the workers.

    Args:
        steps: the sink's two steps.
        run: holds the lease; receipts and dead letters are recorded under it.
        points: of one commit, at most; a chunk that has more is committed alone. 1 commits one by one.
        nbytes: of staged data of one commit, at most.
        one_committer: whether workers only stage and leave a note in the state, since two that commit at a time would be in each
            other's way; the driver commits then, see `commit_noted`.
    """

    steps: TwoSteps
    run: RunState
    points: int = COMMIT_POINTS
    nbytes: int = COMMIT_BYTES
    one_committer: bool = False


def parted(
    chunk: Chunk, refused: Callable[[Points], npt.NDArray[np.bool_]], reason: str
) -> tuple[Chunk, tuple[DeadLetter, ...]]:
    """Divide a chunk into what a sink can hold and the dead letters of the rest.

    Args:
        chunk: after the mapping.
        refused: returns the mask of the points that cannot be held.
        reason: why they cannot; see `DeadLetter`.
    """
    held: dict[str, Points] = {}
    letters = []
    for source_id, target_id, points in chunk.by_series():
        out = refused(points)
        held[source_id] = points.take(~out) if out.any() else points
        if out.any():
            letters.append(DeadLetter(chunk.key, source_id, target_id, points.take(out), reason))
    if not letters:
        return chunk, ()
    kept = Chunk.from_points(chunk.key, held, chunk.series_ids)
    return replace(kept, rejected=chunk.rejected, kept=chunk.kept), tuple(letters)


class Batch:
    """Staged chunks that wait for their commit.

    Args:
        points, nbytes: see `StageAndCommit`.
        monotonic: a clock in seconds that never decreases.
    """

    def __init__(self, points: int, nbytes: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limits = (points, nbytes)
        self._monotonic = monotonic
        self._began_s = 0.0
        self._size = (0, 0)
        self._staged: list[Staged] = []

    def is_full_with(self, more: Staged) -> bool:
        """Return whether what waits has to be committed before another chunk joins it."""
        return bool(self._staged) and any(a > b for a, b in zip(self._plus(more), self._limits, strict=True))

    def is_due(self) -> bool:
        """Return whether what waits has to be committed now: it is full, or 30 seconds old."""
        full = any(a >= b for a, b in zip(self._size, self._limits, strict=True))
        return full or (bool(self._staged) and self._monotonic() - self._began_s >= COMMIT_EVERY_S)

    def add(self, staged: Staged) -> None:
        """Let a chunk wait."""
        if not self._staged:
            self._began_s = self._monotonic()
        self._size = self._plus(staged)
        self._staged.append(staged)

    def taken(self) -> list[Staged]:
        """Return what waits, and wait for nothing any more."""
        staged, self._staged, self._size = self._staged, [], (0, 0)
        return staged

    def _plus(self, more: Staged) -> tuple[int, int]:
        points, nbytes = self._size
        return points + more.receipt.count + more.receipt.dead_letters, nbytes + len(more.data)


def committed(steps: TwoSteps, run: RunState | JobRun, staged: Sequence[Staged]) -> list[Receipt]:
    """Commit chunks, make their dead letters durable, and return the receipts.

    Raises:
        StateError: the lease was lost, or a dead letter cannot be stored.
        OmniaBeamError: as `TwoSteps.commit`.
    """
    staged = list({each.receipt.key: each for each in staged}.values())  # the last, where a runner has repeated a chunk
    receipts = list(steps.commit(staged, run.fence.placing))
    if sorted(each.key.name for each in receipts) != sorted(each.receipt.key.name for each in staged):
        raise AssertionError("a commit returns a receipt for each chunk that it was given, and no other")
    letters = {each.receipt.key: each.letters for each in staged}
    keep = DeadLetterFiles.of(run.state_dir, run.fence).keeper()
    for receipt in receipts:
        keep(receipt, letters[receipt.key])
    return receipts


def note_staged(run: RunState, staged: Staged) -> None:
    """Note durably, for the driver, that a chunk is staged.

    Raises:
        StateError: it cannot be written, or the lease was lost.
    """
    name = f"runs/{_MARK}{time.time_ns():020d}-{run.token.nonce}-{secrets.token_hex(6)}.bin"
    with (
        run.state_dir.naming("written", name),
        run.state_dir.store.create(run.state_dir.path(name), run.fence.placing) as out,
    ):
        out.write(_encoded(staged, run.scope.digest))


def commit_noted(writing: StageAndCommit, run: JobRun, *, leftovers: bool = False) -> list[Receipt]:
    """Commit what workers have noted, batch by batch, and record it; return the receipts.

    A note is deleted once its receipt is in the ledger. Those of another scope are deleted only: their windows are read again.

    Args:
        run: the driver's.
        leftovers: whether notes under earlier leases are committed too, which only the first step of a run may do: later they
            might replace newer points, so they are deleted then and their windows read again.

    Raises:
        StateError: a note cannot be read, the ledger not be written, or the lease was lost.
        OmniaBeamError: as `TwoSteps.commit`; what is noted stays.
    """
    receipts: list[Receipt] = []
    batch = Batch(writing.points, writing.nbytes)
    names: list[str] = []

    def finish() -> None:
        if staged := batch.taken():
            new = committed(writing.steps, run, staged)
            with run.writer() as ledger:
                for receipt in new:
                    ledger.append(receipt)
            receipts.extend(new)
        for name in names:
            run.state_dir.delete(name)
        names.clear()

    for name in noted(run):
        if not leftovers and name.split("-")[2] != run.token.nonce:
            run.state_dir.delete(name)
            continue
        scope, staged = _decoded(run.state_dir.read(name) or b"", run.state_dir.path(name))
        if scope == run.scope.digest and staged.receipt.sink == run.sink:
            if batch.is_full_with(staged):
                finish()
            batch.add(staged)
        names.append(name)
    finish()
    return receipts


def noted(run: RunState | JobRun) -> list[str]:
    """Return the names of all notes, relative to the state, in the order in which they were made."""
    return [
        f"runs/{name}" for name in sorted(each.name for each in run.state_dir.list("runs")) if name.startswith(_MARK)
    ]


def _encoded(staged: Staged, scope: str) -> bytes:
    letters = b""
    if staged.letters:
        table = letters_to_table(staged.receipt.key, staged.letters)
        out = pa.BufferOutputStream()
        with pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table)
        letters = out.getvalue().to_pybytes()
    key = staged.receipt.key
    facts = {"v": _VERSION, "scope": scope, "ids": list(key.series_ids), "receipt": staged.receipt.to_json()}
    sizes = {"data": len(staged.data), "letters": len(letters)}
    return b"".join([json.dumps({**facts, **sizes}).encode(), b"\n", staged.data, letters])


def _decoded(content: bytes, path: str) -> tuple[str, Staged]:
    try:
        end = content.index(b"\n") + 1
        head = load_json(content[:end])
        body, size = content[end:], head["data"]
        if head["v"] != _VERSION or len(body) != size + head["letters"]:
            raise ValueError("another version, or cut")
        letters: tuple[DeadLetter, ...] = ()
        if head["letters"]:
            with pa.ipc.open_stream(pa.py_buffer(body[size:])) as reader:
                letters = tuple(letters_of_table(reader.read_all())[1])
        return str(head["scope"]), Staged(Receipt.from_json(head["receipt"]), body[:size], letters)
    except (ValueError, KeyError, TypeError) as error:  # Arrow's errors are ValueErrors
        raise StateError(
            f"{path}: cannot be understood: {error}; delete the file: its window is read again then", path=path
        ) from error
