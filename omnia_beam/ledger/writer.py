"""Write the ledger: one segment for each writer, so that any number of workers write at once without knowing of each other."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

from omnia_beam.core.errors import StateError
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.timestamps import format_time
from omnia_beam.core.window import ChunkKey
from omnia_beam.ledger.lease_file import LeaseToken
from omnia_beam.ledger.record import Scope, SegmentHeader, encode_intent, encode_receipt
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.store import Appender

_log = logging.getLogger(__name__)
FLUSH_RECORDS: Final = 64
FLUSH_AGE_S: Final = 1.0


class LedgerWriter:
    """A writer that appends to a segment of its own.

    It is created where it is used, such as in a DoFn's `setup`, and never pickled.

    A record counts from the flush on, and never before: until then a crash may lose it, and its window is read again. Records
    are flushed with the `flush_records`-th that waits, or with the first that is appended `flush_age_s` or more after the
    flush before, so that slow writers flush every record. Where nothing more is appended, `flush_behind` flushes what waits.
    Where the store cannot append, each flush makes one object.

    Times are strictly increasing within a writer, also when the clock jumps back; across runs the run's number decides.

    Args:
        state_dir: the job's state directory.
        scope: the scope of all its receipts.
        token: of the run's lease. Each flush checks before and after that the lease is still the run's.
        flush_records: most records that wait.
        flush_age_s: most seconds between flushes while records are appended.
        clock: wall clock, ns since the Unix epoch.
        monotonic: clock in seconds that never decreases.
        writer_id: unique in the run, lower-case letters and digits; None for a random one.
        flush_behind: whether a thread flushes what has waited for `flush_age_s`, since the next window may take minutes,
            and a kill meanwhile must not lose those before. A failure is raised by the next call; `close` ends the thread.
    """

    def __init__(
        self,
        state_dir: StateDir,
        scope: Scope,
        token: LeaseToken,
        *,
        flush_records: int = FLUSH_RECORDS,
        flush_age_s: float = FLUSH_AGE_S,
        clock: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        writer_id: str | None = None,
        flush_behind: bool = False,
    ) -> None:
        self._state_dir = state_dir
        self._scope = scope
        self._token = token
        self._flush_records = flush_records
        self._flush_age_s = flush_age_s
        self._clock = clock
        self._monotonic = monotonic
        self._writer_id = writer_id or secrets.token_hex(8)
        self._part = 0
        self._file: Appender | None = None
        self._waiting: list[bytes] = []
        self._flushed_s = monotonic() - flush_age_s
        self._last_ns = 0
        self._guard = threading.RLock()
        self._flush_behind = flush_behind
        self._timer: threading.Timer | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """Number of records that are not flushed yet."""
        return len(self._waiting)

    def append(self, receipt: Receipt) -> None:
        """Record a receipt, and flush when that is due.

        Raises:
            ValueError: it is of another sink than the scope, or of an empty range.
            StateError: the flush failed. This receipt and those before still wait: flush again, or end the run.
        """
        if receipt.sink != self._scope.sink:
            raise ValueError(f"a receipt of {receipt.sink!r} in a scope of the sink {self._scope.sink!r}")
        if not receipt.key.range:
            raise ValueError(f"a receipt of no time at all: {receipt.key}")
        with self._guard:
            self._waiting.append(encode_receipt(receipt, self._next_ns()))
            late = self._monotonic() - self._flushed_s >= self._flush_age_s
            if late or len(self._waiting) >= self._flush_records:
                self.flush()
            elif self._flush_behind and self._timer is None:
                self._timer = threading.Timer(self._flush_age_s, self._flush_late)
                self._timer.daemon = True
                self._timer.start()

    def intend(self, *keys: ChunkKey) -> None:
        """Record that what is stored of these series in these ranges is about to be replaced, and flush once.

        From then on it counts as missing, until a receipt of it is recorded, so that a crash between the two is noticed.

        Raises:
            StateError: the flush failed; the caller must not replace anything.
        """
        with self._guard:
            self._waiting += [encode_intent(key, self._scope.sink, self._next_ns()) for key in keys]
            self.flush()

    def flush(self) -> None:
        """Make all waiting records durable; a record is never lost once this has returned.

        Raises:
            StateError: the lease is lost, or the records cannot be written; they still wait.
        """
        with self._guard:
            if not self._waiting:
                return
            self._token.check(self._state_dir)
            try:
                if self._state_dir.can_append:
                    self._append(b"".join(self._waiting))
                else:
                    self._put(b"".join(self._waiting))
            except Exception:
                self._give_part_up()
                raise
            # A run that took over since the first check may have compacted this segment without the records added here.
            self._token.check(self._state_dir)
            self._waiting.clear()
            self._forget_timer()
            self._flushed_s = self._monotonic()

    def close(self) -> None:
        """Flush, and close the segment.

        Raises:
            StateError: as `flush`; the segment is closed in any case.
        """
        with self._guard:
            self._closed = True
            timer = self._timer
            self._forget_timer()
        if timer is not None:
            timer.join()  # outside of the guard, which the timer may be waiting for
        with self._guard:
            try:
                self.flush()
            finally:
                self._give_part_up()

    def __enter__(self) -> LedgerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()  # what is stored has to be recorded, whatever failed since
        except StateError as also:
            _log.error("%s", also)  # the error that is being raised says more

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush_late(self) -> None:
        with self._guard:
            self._timer = None
            if self._closed:
                return
            try:
                self.flush()
            except StateError as error:
                _log.warning("%s", error)  # the records still wait, and the next call raises the error

    def _append(self, data: bytes) -> None:
        if self._file is None:
            header = self._header()
            self._file = self._state_dir.append(f"ledger/{header.file_name}")
            data = header.to_line() + data
        with self._state_dir.naming("written", f"ledger/{self._header().file_name}"):
            self._file.append(data)

    def _put(self, data: bytes) -> None:
        header = self._header()
        self._state_dir.write(f"ledger/{header.file_name}", header.to_line() + data)
        self._part += 1

    def _give_part_up(self) -> None:
        """Continue in a new segment, because after a failed write it is unknown how this one ends."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()
        self._part += 1

    def _header(self) -> SegmentHeader:
        created = format_time(self._last_ns, 0)
        return SegmentHeader(
            self._state_dir.job_name, self._token.run, self._writer_id, self._part, self._scope, created
        )

    def _next_ns(self) -> int:
        self._last_ns = max(self._clock(), self._last_ns + 1)
        return self._last_ns
