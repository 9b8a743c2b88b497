"""Log lines on stderr, for people or as one JSON object each."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, Final, Literal

from omnia_beam.core.redaction import RedactingFilter
from omnia_beam.core.text import printable

LogFormat = Literal["text", "json"]

LOG_FACTS: Final[dict[str, str]] = {}
"""What every line of a JSON log of this process names besides its message: `job` and `run`, once they are known."""


class StderrHandler(logging.StreamHandler[Any]):
    """A handler that writes to the current sys.stderr, so that lines go above a progress bar and not into it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class JsonFormatter(logging.Formatter):
    """A formatter that gives one JSON object a line: time, level, message, and job, run and window where they are known."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        window = getattr(record, "window", None)
        return json_line(
            record.levelname, message, record.created, **({} if window is None else {"window": str(window)})
        )


def json_line(level: str, message: str, at_s: float, **facts: str) -> str:
    """Return one object of a JSON log, without the end of the line.

    Args:
        level: such as `INFO`.
        message: any text; line ends are escaped.
        at_s: Unix time.
        facts: further members, besides `LOG_FACTS`.
    """
    moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at_s))}.{int(at_s % 1 * 1000):03}Z"
    return json.dumps({"time": moment, "level": level, "message": message, **LOG_FACTS, **facts})


def log_to_stderr(level: int, form: LogFormat = "text") -> None:
    """Log omnia-beam's lines from this level on to stderr, and errors of Beam and the libraries, without secrets."""
    handler = StderrHandler()
    handler.addFilter(RedactingFilter())
    plain = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")
    handler.setFormatter(JsonFormatter() if form == "json" else plain)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.ERROR)
    logging.getLogger("omnia_beam").setLevel(level)


def log_format() -> LogFormat:
    """Return the form in which this process logs, for processes that it starts."""
    formatters = (handler.formatter for handler in logging.getLogger().handlers)
    return "json" if any(isinstance(each, JsonFormatter) for each in formatters) else "text"
