"""How a command ends: its exit code, the line on stderr, and the summary of what it reached."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from dataclasses import dataclass, field
from typing import Any, Final

from omnia_beam.cli.streams import GuardedStream
from omnia_beam.core.errors import (
    CredentialError,
    IncompleteReadError,
    Interrupted,
    OmniaBeamError,
    ServiceError,
    UsageError,
)
from omnia_beam.core.redaction import redact
from omnia_beam.core.summary import Summary
from omnia_beam.core.text import printable
from omnia_beam.pipelines.result import CommandResult

EXIT_COMPLETE: Final = 0
EXIT_INCOMPLETE: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_NO_OUTPUT: Final = 74
"""The value of EX_IOERR in sysexits(3)."""
EXIT_INTERRUPTED: Final = 130

_NOT_ASKED: Final = (CredentialError, ServiceError, IncompleteReadError)
_TRACEBACK_ENV: Final = "OMNIA_BEAM_TRACEBACK"


def exit_code_of(error: OmniaBeamError) -> int:
    """Return the exit code of a command that this error has ended.

    What could not be asked any more after the first window leaves a run incomplete, as a window that failed does.
    """
    if isinstance(error, UsageError):
        return EXIT_USAGE
    began = error.summary is not None and error.summary.windows_done > 0
    return EXIT_INCOMPLETE if began and isinstance(error, _NOT_ASKED) else EXIT_UNREACHABLE


@dataclass
class CommandEnd:
    """Reports the end of one command, whatever ends it.

    Args:
        command: its name.
        as_json: whether the last line of stdout is a summary.
        only_shows: whether a reader may close the pipe early (see `Command`).
        began_s: when it began, monotonic seconds.
    """

    command: str
    as_json: bool
    only_shows: bool = False
    began_s: float = field(default_factory=time.monotonic)

    def finished(self, result: CommandResult, *, as_json: bool) -> int:
        """Print what a command has reached, and return its exit code."""
        if result.is_listing or not as_json:
            result.render()
        if as_json:
            print(json.dumps(result.summary.to_json()), flush=True)
        return result.summary.exit_code if result.error is None else exit_code_of(result.error)

    def failed(self, error: OmniaBeamError) -> int:
        """Report one of omnia-beam's own errors in one line, and return its exit code."""
        self._print(str(error))
        code = exit_code_of(error)
        status = "incomplete" if code == EXIT_INCOMPLETE else "failed"
        self._sum_up(error.summary, status=status, details={"error": type(error).__name__, "message": str(error)})
        return code

    def failed_unexpectedly(self, error: Exception) -> int:
        """Report any other error in one line, with how to see more of it, and return the exit code."""
        if os.environ.get(_TRACEBACK_ENV):
            print(redact("".join(traceback.format_exception(error))), file=sys.stderr)
        what = " ".join(f"{type(error).__name__}: {error}".split())
        cure = f"This is a fault of omnia-beam: set {_TRACEBACK_ENV}=1 to see where it is, and report it"
        self.failed(OmniaBeamError(f"failed unexpectedly: {what}. What is recorded stays recorded. {cure}"))
        return EXIT_INCOMPLETE

    def interrupted(self, interrupt: KeyboardInterrupt) -> int:
        """Report that a signal ended the command, and return the exit code."""
        self._print("interrupted; what is done is recorded, run the same command to continue")
        reached = interrupt.summary if isinstance(interrupt, Interrupted) else None
        details = {} if reached is None else reached.details
        self._sum_up(reached, status="incomplete", details={**details, "interrupted": True})
        return EXIT_INTERRUPTED

    def written(self, code: int, output: GuardedStream) -> int:
        """Return the exit code, once standard output was flushed. A run that is not complete keeps the code that says why."""
        if output.error is None:
            return code
        if isinstance(output.error, BrokenPipeError) and self.only_shows:
            return code  # the reader closed the pipe early (`| head`), which is no failure
        why = getattr(output.error, "strerror", None) or output.error
        ended = "it is complete" if code == EXIT_COMPLETE else f"without that the exit code is {code}"
        self._print(f"standard output could not be written: {why}; the summary is lost, not the work: {ended}")
        return EXIT_NO_OUTPUT if code == EXIT_COMPLETE else code

    def _print(self, text: str) -> None:
        print(printable(f"omnia-beam {self.command}: {text}"), file=sys.stderr)

    def _sum_up(self, reached: Summary | None, **changes: Any) -> None:
        if self.as_json:
            print(json.dumps((reached or self._so_far()).having(**changes).to_json()), flush=True)

    def _so_far(self) -> Summary:
        """Return the requests and the time of a command that ended before it made a summary."""
        summary = Summary(self.command, elapsed_s=time.monotonic() - self.began_s)
        shared = sys.modules.get("omnia_beam.net.http.shared")  # not imported here: without requests it is not loaded
        if shared is None:
            return summary
        traffic = shared.shared_traffic()
        names = ("requests", "retries", "throttled_s", "bytes_read")
        return summary.having(**{name: getattr(traffic, name) for name in names})
