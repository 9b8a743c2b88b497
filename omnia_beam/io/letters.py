"""Keep points that the mapping rejects beside the dead letters of the sink, durable before the receipt of their chunk.

They have an origin of their own: the target's codes do not fit them yet, so a replay must not send them. A run with
another mapping reads their windows again and decides again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from omnia_beam.beam.progress import RunBoard
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.window import ChunkKey
from omnia_beam.ledger.dead_letters import WRITING, DeadLetterFiles, file_name
from omnia_beam.ledger.index import DOUBTFUL
from omnia_beam.ledger.job import JobRun
from omnia_beam.ledger.table import RECEIPT

MAPPING: Final = "mapping"
READING: Final = "reading"


class MappingLetters:
    """Keeps what the mapping rejects of a chunk, in place of what it rejected of it before. It pickles.

    Args:
        files: where the letters go.
        board: of the run, which counts what is found; None where nothing is counted.
        origin: `mapping` or `reading`.

    Raises (when it is called):
        StateError: the file cannot be written.
    """

    def __init__(self, files: DeadLetterFiles, board: RunBoard | None = None, *, origin: str = MAPPING) -> None:
        self._board = board
        self._files = files
        self._origin = origin
        self._had: set[str] | None = None

    def __call__(self, key: ChunkKey, letters: Sequence[DeadLetter]) -> None:
        if self._board is None:
            self._put(key, letters)
            return
        for letter in letters:
            finding = "unlisted_status" if letter.reason.startswith("status ") else "infinite_values"
            self._board.note_found(finding, letter.source_id, letter.count)
        with self._board.noting_fatal():
            self._put(key, letters)

    def _put(self, key: ChunkKey, letters: Sequence[DeadLetter]) -> None:
        if self._had is None:
            self._had = set(self._files.names())
        if letters:
            self._files.put(key, letters, origin=self._origin)
        elif self._had and (name := file_name(key, self._origin)) in self._had:
            self._files.remove(name)


def clear_leftover_letters(state: JobRun) -> int:
    """Remove letters of chunks that no receipt names any more. Returns the number of files.

    Their run died before the receipt, or their window was read again since, cut into other chunks. The letters of a window that
    is to be read again stay until it has been: the source might not give it any more. Only the holder of the lease may call this.
    """
    files = DeadLetterFiles.of(state.state_dir, state.fence)
    if not files.names():
        return 0
    ledger = state.reload()
    index = ledger.index
    keys = (each.receipt.key for each in ledger.recorded((index.kind == RECEIPT) & (index.state >= DOUBTFUL)))
    return len(files.keep_only(keys, (WRITING, MAPPING, READING)))
