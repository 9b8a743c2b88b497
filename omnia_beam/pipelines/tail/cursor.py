"""Describe how far a streaming tail is: the restriction of its source, the restriction's encoding, and its tracker.

The source polls. Each round claims one `Round`: the windows that it emits, and the cursor from which the next round
continues. What a runner takes away (a checkpoint, `defer_remainder`) is that next cursor, or the present one where nothing
has been claimed, so that every round is emitted exactly once.

    TailCursor("poll", …) ── claim(Round) ──► primary  TailCursor("give", …): the round's windows, to be emitted again where a
                                                       runner repeats the primary by itself
                                              residual the round's next cursor
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import apache_beam as beam
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker

from omnia_beam.beam.coders import WindowShardCoder
from omnia_beam.core.text import load_json
from omnia_beam.core.window import Window
from omnia_beam.plan.plan import WindowShard

_VERSION: Final = 1

Mode = Literal["poll", "give", "over"]


@dataclass(frozen=True, slots=True)
class TailCursor:
    """The remaining work of a streaming tail.

    Args:
        mode: `poll`: continue without end. `give`: emit `in_flight` once more, and nothing else. `over`: nothing is left.
        cycle: the cycle whose windows were emitted last; 0 before the first.
        run: the run under which that cycle's windows are recorded. Where the lease names a later run, the cycle has ended.
        read_to_ns: instant up to which everything that was missing has been emitted; ns since the Unix epoch.
        complete_to_ns: the watermark, ns since the Unix epoch: nothing before it was unread when the cycle was planned. It
            never decreases.
        flying: windows that the cycle emitted, and whose result is not known yet.
    """

    mode: Mode
    cycle: int
    run: int
    read_to_ns: int
    complete_to_ns: int
    in_flight: tuple[Window, ...] = ()

    @classmethod
    def at(cls, start_ns: int) -> TailCursor:
        """Return the cursor before the first cycle of a tail that starts at this instant."""
        return cls("poll", 0, 0, start_ns, start_ns)


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of the source claims.

    Args:
        given: windows to emit; none where the round only polled.
        then: the cursor from which the next round continues; of mode `over` where there is none.
    """

    given: tuple[Window, ...]
    then: TailCursor


OVER: Final = TailCursor("over", 0, 0, 0, 0)


class TailCursorCoder(beam.coders.Coder):
    """Coder of cursors: one JSON line, followed by the windows, deflated, since ids repeat and every checkpoint has a cursor.

    `v` is the version of the format: a job that is updated continues where it was, or reports why it cannot.
    """

    def encode(self, value: TailCursor) -> bytes:
        numbers = [value.cycle, value.run, value.read_to_ns, value.complete_to_ns]
        header = {"v": _VERSION, "mode": value.mode, "at": numbers}
        line = json.dumps(header, separators=(",", ":")).encode() + b"\n"
        if not value.in_flight:
            return line
        return line + zlib.compress(WindowShardCoder().encode(WindowShard(value.in_flight)), 6)

    def decode(self, encoded: bytes) -> TailCursor:
        line, _, rest = encoded.partition(b"\n")
        header = load_json(line)
        if header.get("v") != _VERSION:
            raise ValueError(
                f"a tail's cursor of version {header.get('v')}, this is version {_VERSION}: cancel the job and start the tail "
                "again without a savepoint. Nothing is lost: what is stored is in the ledger"
            )
        in_flight = WindowShardCoder().decode(zlib.decompress(rest)).windows if rest else ()
        cycle, run, read_to, complete_to = header["at"]
        return TailCursor(header["mode"], cycle, run, read_to, complete_to, in_flight)

    def is_deterministic(self) -> bool:
        return True


class TailTracker(RestrictionTracker):
    """Tracker that claims one round for each invocation; every split checkpoints there, and a round is never divided."""

    def __init__(self, cursor: TailCursor) -> None:
        self._cursor = cursor
        self._claimed: Round | None = None
        self._stopped = False

    def current_restriction(self) -> TailCursor:
        return self._cursor

    def try_claim(self, position: Round) -> bool:
        """Claim a round; return False where a runner has taken the cursor away already, or where nothing is left.

        Raises:
            ValueError: the round does not continue from this cursor: time would be left out, or the watermark would decrease.
        """
        if self._stopped or self._cursor.mode == "over":
            return False
        self._check(position)
        self._stopped = True
        self._claimed = position
        return True

    def try_split(self, fraction_of_remainder: float) -> tuple[TailCursor, TailCursor] | None:
        """Return the claimed round as primary and the next cursor as residual; None where nothing is left to take away."""
        if self._claimed is None:
            if self._cursor.mode == "over":
                return None
            residual, self._cursor = self._cursor, OVER
        else:
            if self._claimed.then.mode == "over":
                return None
            residual = self._claimed.then
            given = self._claimed.given
            self._cursor = replace(residual, mode="give", in_flight=given) if given else OVER
            self._claimed = Round(given, OVER)
        self._stopped = True
        return self._cursor, residual

    def check_done(self) -> bool:
        """Return True where the cursor was claimed or taken away completely.

        Raises:
            ValueError: it was not, so that its time would be lost.
        """
        if self._claimed is None and self._cursor.mode != "over":
            raise ValueError(f"the tail's cursor was neither claimed nor handed on: {self._cursor}")
        if self._claimed is not None and self._claimed.then.mode != "over":
            raise ValueError(f"what follows the tail's cycle {self._claimed.then.cycle} was not handed on")
        return True

    def current_progress(self) -> Any:
        done = 1.0 if self._stopped or self._cursor.mode == "over" else 0.0
        return RestrictionProgress(completed=done, remaining=1.0 - done)

    def is_bounded(self) -> bool:
        return self._cursor.mode != "poll"

    def _check(self, position: Round) -> None:
        now, then = self._cursor, position.then
        if now.mode == "give":
            if position.given != now.in_flight or then.mode != "over":
                raise ValueError(f"cycle {now.cycle} gives out again what it gave out, and nothing else")
            return
        if then.mode == "over":
            return
        on = then.cycle - now.cycle
        follows = (on == 0 and not position.given) or (on == 1 and position.given == then.in_flight)
        if not follows or then.read_to_ns < now.read_to_ns or then.complete_to_ns < now.complete_to_ns:
            raise ValueError(f"the tail cannot go on from {now} to {then}")
