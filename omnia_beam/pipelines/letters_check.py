"""Compare the dead letters with the ledger at the end of a run."""

from __future__ import annotations

from omnia_beam.core.text import counted
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.destination import DestinationCheck, RunReach
from omnia_beam.io.letters import MAPPING
from omnia_beam.ledger.dead_letters import WRITING, DeadLetterFiles, file_name
from omnia_beam.ledger.facts import receipts_with_letters
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.state_dir import StateDir


def check_letters(ledger: Ledger, state_dir: StateDir, run_reach: RunReach) -> DestinationCheck:
    """Compare the files of dead letters with the receipts that name them.

    Raises:
        StateError: the state cannot be read.
    """
    files = DeadLetterFiles.of(state_dir)
    names = set(files.names())
    lost: dict[ChunkKey, int] = {}
    points, windows = 0, 0
    for each in receipts_with_letters(ledger, run_reach.sink):
        receipt = each.receipt
        expected = {WRITING: receipt.dead_letters, MAPPING: receipt.rejected}
        gone = sum(n for origin, n in expected.items() if n and file_name(receipt.key, origin) not in names)
        if gone:
            points += gone
            windows += 1
            if run_reach.concerns(each):
                lost[receipt.key] = receipt.count
    if not windows:
        return DestinationCheck()
    text = f"{files}: the dead letters of {counted(points, 'point')} in {counted(windows, 'window')} are missing"
    if lost:
        return DestinationCheck(lost, (text,))
    return DestinationCheck(warnings=(f"{text}; they are of series, times or settings that this run does not cover",))
