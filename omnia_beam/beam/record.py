"""Record receipts in the ledger and failures in the run's report: the last step of a pipeline."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import apache_beam as beam

from omnia_beam.beam import coders
from omnia_beam.beam.progress import RunBoard, board_of
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.receipt import Receipt
from omnia_beam.ledger.failures import failure_file
from omnia_beam.ledger.lease_file import LeaseToken
from omnia_beam.ledger.record import Scope
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter

coders.register_coders()
_log = logging.getLogger(__name__)


class RecordReceipts(beam.PTransform):
    """Append receipts to the job's ledger, on any worker.

    Input: Receipt. Output: the same receipts; each is durable in the ledger one second later, or when its bundle ends.

    Args:
        state_dir: the job's state directory.
        scope: the scope under which they count.
        token: of the run's lease.
        clock: returns their times, ns since the Unix epoch; None for the worker's own clock.
        follow: whether each bundle's receipts are recorded under the run that is active then, for a streaming job, each of
            whose cycles is a run. Otherwise all are recorded under the token's run.

    Raises (on the worker):
        StateError: the ledger cannot be written, or another run has taken over.
    """

    def __init__(
        self,
        state_dir: StateDir,
        scope: Scope,
        token: LeaseToken,
        clock: Callable[[], int] | None = None,
        *,
        follow: bool = False,
    ) -> None:
        super().__init__()
        self._record = partial(RecordFn, state_dir, scope, token, clock, follow)

    def do_fn(self, board: RunBoard) -> RecordFn:
        """Return the DoFn of this transform, which counts on `board`."""
        return self._record(board)

    def expand(self, receipts: Any) -> Any:
        return receipts | beam.ParDo(self.do_fn(board_of(receipts))).with_output_types(Receipt)


class RecordFn(beam.DoFn):
    """The DoFn of `RecordReceipts`, with the same arguments; `board` is of the run."""

    def __init__(
        self,
        state_dir: StateDir,
        scope: Scope,
        token: LeaseToken,
        clock: Callable[[], int] | None,
        follow: bool,
        board: RunBoard,
    ) -> None:
        self._board = board
        self._state_dir = state_dir
        self._scope = scope
        self._token = token
        self._clock = clock
        self._follow = follow

    def setup(self) -> None:
        self._looked = False
        self._open(self._token)

    def start_bundle(self) -> None:
        self._looked = False

    def process(self, receipt: Receipt) -> Iterator[Receipt]:
        with self._board.noting_fatal():
            if self._follow and not self._looked:
                self._continue_under(self._token.current(self._state_dir))
            self._writer.append(receipt)
        _log.debug(
            "recorded %s: %d points in %d files",
            receipt.key,
            receipt.count,
            len(receipt.files),
            extra={"window": receipt.key.name},
        )
        yield receipt

    def finish_bundle(self) -> None:
        with self._board.noting_fatal():
            self._writer.flush()

    def teardown(self) -> None:
        self._writer.close()

    def _continue_under(self, token: LeaseToken) -> None:
        self._looked = True
        if token.run != self._run:
            self._writer.close()  # the process that began the next run may compact what was written under this one
            self._open(token)

    def _open(self, token: LeaseToken) -> None:
        self._run = token.run
        if self._clock is None:
            self._writer = LedgerWriter(self._state_dir, self._scope, token, flush_behind=True)
        else:
            self._writer = LedgerWriter(self._state_dir, self._scope, token, clock=self._clock)


class RecordFailures(beam.PTransform):
    """Write failed windows into the run's report, `runs/<run id>-failure-*.jsonl`, one file for each.

    Input: WindowFailure. Output: the same.
    """

    def __init__(self, state_dir: StateDir, run_id: str) -> None:
        super().__init__()
        self._report = partial(_ReportFailure, state_dir, run_id)

    def expand(self, failures: Any) -> Any:
        return failures | beam.ParDo(self._report(board_of(failures))).with_output_types(WindowFailure)


class _ReportFailure(beam.DoFn):
    def __init__(self, state_dir: StateDir, run_id: str, board: RunBoard) -> None:
        self._state_dir = state_dir
        self._run_id = run_id
        self._board = board

    def process(self, failure: WindowFailure) -> Iterator[WindowFailure]:
        line = json.dumps(failure.to_json()) + "\n"
        _log.debug("failed %s: %s", failure.key, failure.message, extra={"window": failure.key.name})
        with self._board.noting_fatal():
            self._state_dir.write(f"runs/{failure_file(self._run_id)}", line.encode())
        yield failure
