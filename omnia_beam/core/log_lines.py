"""Log lines on stderr, for people or as one JSON object each."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, Final, Literal

from omnia_beam.core.redaction import RedactingFilter
from omnia_beam.core.text import load_json, printable

LogFormat = Literal["text", "json"]

LOG_FACTS: Final[dict[str, str]] = {}
"""What every line of a JSON log of this process names besides its message: `job` and `run`, once they are known."""


_ERROR_LINES: Final = ("omnia-beam ", "omnia-beam: ")
"""How the lines begin in which a command reports why it ended."""


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


class JsonLines:
    """A text stream that passes JSON log lines on and puts every other line into such an object, as a message of level INFO.

    What is printed for people (a cycle's line, a notice, an error at the end) is read by a machine here, as are the warnings and
    tracebacks that Python prints.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                level = "ERROR" if line.startswith(_ERROR_LINES) else "INFO"
                self._stream.write((line if _is_log_object(line) else json_line(level, line, time.time())) + "\n")
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def close_line(self) -> None:
        """Write what was printed without the end of its line."""
        if self._rest:
            self.write("\n")

    def isatty(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _is_log_object(line: str) -> bool:
    if not line.startswith('{"time": '):
        return False
    try:
        return isinstance(load_json(line), dict)
    except ValueError:
        return False


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
    """Log omnia-beam's lines from this level on to stderr, and errors of Beam and the libraries, without secrets.

    With `json` whatever else this process prints there becomes an object, too. Only what native code writes past Python does not.
    """
    if form == "json" and not isinstance(sys.stderr, JsonLines):
        sys.stderr = JsonLines(sys.stderr)
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
