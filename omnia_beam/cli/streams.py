"""Guard standard output and error of a command, and set up its logging: a full disk ends no run, foreign text moves no cursor."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from omnia_beam.core.log_lines import LOG_FACTS, JsonLines, LogFormat, log_to_stderr


class GuardedStream:
    """A text stream whose failures end no run: the first is kept, and everything after it is dropped.

    Attributes:
        error: what the first write that failed raised; None while none has failed.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: Exception | None = None if stream is not None else OSError("it is closed")

    def write(self, text: str) -> int:
        if self.error is None:
            try:
                self._stream.write(text)
            except UnicodeEncodeError as error:
                self.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
            except (OSError, ValueError) as error:  # ValueError: the stream is closed
                self._failed(error)
        return len(text)

    def flush(self) -> None:
        if self.error is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._failed(error)

    def isatty(self) -> bool:
        return self._stream is not None and not self._stream.closed and bool(self._stream.isatty())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _failed(self, error: Exception) -> None:
        self.error = error
        with suppress(OSError, ValueError):
            # What is still buffered is discarded: the interpreter would fail to flush it at exit.
            _to_nowhere(self._stream.fileno())


@contextmanager
def guarded_streams() -> Iterator[GuardedStream]:
    """Guard standard output and standard error while the block runs; yields standard output."""
    _hold_closed_places()
    before = sys.stdout, sys.stderr
    out = GuardedStream(sys.stdout)
    sys.stdout, sys.stderr = out, GuardedStream(sys.stderr)  # what print, rich and logging use
    try:
        yield out
    finally:
        if isinstance(sys.stderr, JsonLines):
            sys.stderr.close_line()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def set_up_logging(level: int, form: LogFormat = "text") -> None:
    """Log omnia-beam's lines from this level on to stderr, and errors of Beam and the libraries.

    With `json` every line of stderr becomes an object, also what is printed there; `guarded_streams` restores it.
    """
    LOG_FACTS.clear()
    log_to_stderr(level, form)


def _hold_closed_places() -> None:
    """Open the null device in place of closed standard streams; otherwise the next file opened would be used as one of them."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        if stream is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            _to_nowhere(number)


def _to_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
