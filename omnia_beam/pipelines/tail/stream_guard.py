"""The removal guard of a streaming tail: the source notes for each cycle what is recorded of its windows, and workers look it up.

    source: plan a cycle ─ note `runs/RUN-guard-NUMBER.json` ─ give windows out ─ read the reports ─ decide ─ the next cycle
    worker: read the note of the run that the lease has reached ─ guard the chunk ─ a report, and a failure where it is withheld

A withheld window counts as failed, so that the source gives it out again; by then it is in the note whether it may lose points.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from omnia_beam.core.chunk import Chunk
from omnia_beam.core.errors import StateError
from omnia_beam.core.text import load_json
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.destination import Removal, StoredPoints
from omnia_beam.ledger.facts import PriorRecord, prior_records
from omnia_beam.ledger.job import JobRun, RunState
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.removal_guard import GuardRules, RemovalGuard

_NOTE = "-guard-"


@dataclass(frozen=True)
class StreamGuard:
    """The check of the chunks of every cycle; see `RemovalGuard`. It pickles, and remembers the note of one cycle.

    Args:
        rules: without what differs from cycle to cycle.
        run: the job's state, with the token of the driver's lease.
    """

    rules: GuardRules
    run: RunState
    _known: dict[int, RemovalGuard | None] = field(default_factory=dict, compare=False, repr=False)

    def passed(self, chunk: Chunk) -> Chunk | None:
        """Return a chunk as it is to be written, None where it is withheld.

        Raises:
            StateError: the lease was lost, the note cannot be read, or a report cannot be written.
            DestinationError: a stored file may not be read.
        """
        number = self.run.token.current(self.run.state_dir).run
        if number not in self._known:
            self._known.clear()
            self._known[number] = read_note(self.rules, self.run, number)
        guard = self._known[number]
        return chunk if guard is None else guard.passed(chunk)

    def reading(self, stored: StoredPoints | None) -> StreamGuard:
        """Return a guard that reads stored points so, such as with a worker's part of a budget."""
        return StreamGuard(replace(self.rules, stored=stored), self.run)


def write_note(
    run: JobRun,
    number: int,
    keys: Collection[ChunkKey],
    vanished: Mapping[str, tuple[TimeRange, ...]],
    allowed: Collection[Removal],
) -> None:
    """Note what workers need to guard the windows of a cycle, and delete the notes of cycles before.

    Args:
        run: with the ledger from which the cycle was planned.
        number: of the run under which the cycle's receipts are recorded.
        keys: windows that are read again.
        vanished: see `GuardRules`.
        allowed: windows that may lose points in this cycle.

    Raises:
        StateError: the state cannot be written.
    """
    name = _name(run.run_id, number)
    forget_notes(run.state_dir, run.run_id, but=name)
    prior = prior_records(run.ledger, run.sink, keys)
    if not prior:
        return
    note = {
        "prior": [[_key(key), [[each.line.decode(), each.scope] for each in found]] for key, found in prior.items()],
        "vanished": {name: [[each.start_ns, each.end_ns] for each in parts] for name, parts in vanished.items()},
        "allowed": [[_key(each.key), each.removed] for each in allowed],
    }
    run.state_dir.write(name, json.dumps(note).encode())


def forget_notes(state_dir: StateDir, run_id: str, *, but: str = "") -> None:
    """Delete the notes of a run, except one.

    Raises:
        StateError: the state cannot be listed or written.
    """
    for each in state_dir.list("runs"):
        if each.name.startswith(f"{run_id}{_NOTE}") and f"runs/{each.name}" != but:
            state_dir.delete(f"runs/{each.name}")


def read_note(rules: GuardRules, run: RunState, number: int) -> RemovalGuard | None:
    """Return the guard of a cycle; None where nothing is recorded that it could remove.

    Raises:
        StateError: the note cannot be read.
    """
    name = _name(run.run_id, number)
    data = run.state_dir.read(name)
    if data is None:
        return None
    try:
        note: dict[str, Any] = load_json(data)
        prior = {
            _key_of(key): tuple(PriorRecord(line.encode(), scope) for line, scope in found)
            for key, found in note["prior"]
        }
        vanished = {name: tuple(TimeRange(*part) for part in parts) for name, parts in note["vanished"].items()}
        allowed = {_key_of(key): removed for key, removed in note["allowed"]}
    except (ValueError, KeyError, TypeError) as error:
        path = run.state_dir.path(name)
        raise StateError(f"{path}: is no note of a tail's cycle: {error}", path=path) from error
    return RemovalGuard(replace(rules, vanished=vanished, allowed=allowed), prior, run.state_dir, run.run_id)


def _name(run_id: str, number: int) -> str:
    return f"runs/{run_id}{_NOTE}{number}.json"


def _key(key: ChunkKey) -> list[Any]:
    return [list(key.series_ids), key.range.start_ns, key.range.end_ns]


def _key_of(data: Any) -> ChunkKey:
    ids, start, end = data
    return ChunkKey(tuple(ids), TimeRange(start, end))
