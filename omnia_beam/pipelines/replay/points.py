"""Send the points of dead letters again, with the sink's own writer, and account for each point.

    for each file: what was overtaken since? ─ send the rest ─ what is stored leaves the file and enters the receipt; what is
    refused stays, with its new reason

A crash at any step is harmless. A point leaves its file only when the sink has committed it. The file is rewritten first, with
the receipt that its chunk has now; the ledger is updated next; a file without points is deleted last. The next replay finds
whatever was not finished, and finishes it; a point that is sent twice is an upsert of itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any, Final, cast

from omnia_beam.core.chunk import Chunk
from omnia_beam.core.receipt import Receipt
from omnia_beam.io.resending import Resending, SentAgain
from omnia_beam.ledger.dead_letters import DeadLetterFiles, StoredLetters
from omnia_beam.ledger.job import JobRun
from omnia_beam.ledger.record import Scope
from omnia_beam.ledger.writer import LedgerWriter
from omnia_beam.pipelines.replay.letters import (
    LetterRecords,
    SortedLetters,
    chunk_of_letters,
    letter_records,
    receipt_after,
    sort_letters,
    with_history,
)
from omnia_beam.pipelines.replay.tally import Tally

BLOCK_FILES: Final = 5_000
"""Files looked up in the ledger at a time: each lookup is a pass over its receipts."""


@dataclass(frozen=True)
class _Sent:
    """A file that is being sent; `recorded` is the ledger's receipt, where all of it counts and the file is no leftover."""

    name: str
    stored: StoredLetters
    letters: SortedLetters
    recorded: tuple[Receipt, Scope] | None


class PointReplay:
    """One run over files of dead letters.

    Args:
        run: holds the lease.
        files: the dead letters.
        resending: sends them.
        tally: what becomes of them.
    """

    def __init__(self, run: JobRun, files: DeadLetterFiles, resending: Resending, tally: Tally) -> None:
        self._run = run
        self._files = files
        self._resending = resending
        self._tally = tally
        self._ledgers: dict[str, LedgerWriter] = {}
        self._emptied: list[str] = []
        self._open = ExitStack()

    def send(self, names: Sequence[str]) -> None:
        """Send everything, wait for it, and leave files and ledger in step.

        Raises:
            CredentialError, ServiceError, StateError: it cannot continue; what is stored has left its file, all else is kept.
        """
        with self._open:
            results = cast(Any, self._resending.send(self._chunks(names)))
            with closing(results):
                for sent in results:
                    self._settle(sent.ticket, sent)
            self._clear_leftovers()

    def _chunks(self, names: Sequence[str]) -> Iterator[tuple[Chunk, _Sent]]:
        for at in range(0, len(names), BLOCK_FILES):
            block = names[at : at + BLOCK_FILES]
            keys = [self._files.key(name) for name in block]
            records = letter_records(self._run.ledger, self._run.sink, keys)
            for name in block:
                sent = self._sorted(name, records)
                yield chunk_of_letters(sent.stored.key, sent.letters.send), sent

    def _sorted(self, name: str, records: LetterRecords) -> _Sent:
        stored = self._files.read(name)
        self._tally.read += stored.count
        self._tally.targets.update(letter.target_id for letter in stored.letters)
        letters = sort_letters(stored, records, self._resending.resolution_ns)
        self._tally.overtaken += letters.overtaken
        recorded, scope = records.recorded.get(stored.key, (None, None))
        known = None
        if recorded is not None and scope is not None and recorded.is_whole and not letters.is_leftover:
            known = recorded.receipt, scope
        return _Sent(name, stored, letters, known)

    def _settle(self, sent: _Sent, result: SentAgain) -> None:
        """Record in the file and in the ledger what became of a file's letters."""
        key = sent.stored.key
        if result.receipt is None:
            self._tally.failures.append(result.failure.message if result.failure else "")
            self._tally.leave(key, (*sent.letters.send, *sent.letters.kept))
            return
        self._tally.stored += result.receipt.count
        self._tally.dropped += result.dropped
        left = [*with_history(result.dead_letters, sent.letters.send), *sent.letters.kept]
        self._tally.leave(key, left)
        receipt = _receipt_now(sent, result.receipt, sum(letter.count for letter in left))
        news = receipt is not None and sent.recorded is not None and receipt != sent.recorded[0]
        name = sent.name
        if left or news:
            # Written even without letters: until the ledger has the receipt, the file holds it.
            name = self._files.put(key, left, receipt=receipt)
        if name != sent.name:
            self._emptied.append(sent.name)
        if not left:
            self._emptied.append(name)
        if receipt is not None and sent.recorded is not None and news:
            self._ledger(sent.recorded[1]).append(receipt)
        if len(self._emptied) >= BLOCK_FILES:
            self._clear_leftovers()

    def _ledger(self, scope: Scope) -> LedgerWriter:
        if scope.digest not in self._ledgers:
            writer = LedgerWriter(self._run.state_dir, scope, self._run.token)
            self._ledgers[scope.digest] = self._open.enter_context(writer)
        return self._ledgers[scope.digest]

    def _clear_leftovers(self) -> None:
        """Remove files without letters, once the ledger holds their receipts."""
        for writer in self._ledgers.values():
            writer.flush()
        for name in self._emptied:
            self._files.remove(name)
        self._emptied.clear()


def _receipt_now(sent: _Sent, stored: Receipt, dead_letters: int) -> Receipt | None:
    """Return the receipt of what is stored of a file's chunk now; None where that is not known."""
    base = sent.stored.receipt
    if base is None or sent.letters.is_leftover:
        return None
    return receipt_after(base, stored, dead_letters)
