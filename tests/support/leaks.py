"""Looking for secrets where none may be: in text, in pickles, in files, in whatever was logged."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

_MARKER = 12  # characters of a long secret that are enough to call it shown


def spellings(secret: str) -> set[bytes]:
    """The secret as text, in a URL or form, in base64, and the first and last characters of a long one."""
    raw = secret.encode()
    whole = {secret, quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]}
    parts = {secret[:_MARKER], secret[-_MARKER:]} if len(secret) >= 3 * _MARKER else set()
    if secret.startswith("eyJ"):  # all tokens begin alike: their signature tells them apart
        parts = {secret.rpartition(".")[2][:_MARKER]}
    return {text.encode() for text in whole | parts} | {base64.b64encode(raw).rstrip(b"=")}


def find_leaks(where: Iterable[tuple[str, str | bytes]], secrets: Iterable[str]) -> list[str]:
    """`place: secret number n` for each secret that shows in one of the (place, text) pairs."""
    wanted = [(number, spellings(secret)) for number, secret in enumerate(secrets) if secret]
    assert wanted, "no secret to look for: the test would pass whatever leaks"
    found = []
    for place, text in where:
        raw = text.encode(errors="surrogateescape") if isinstance(text, str) else text
        found += [f"{place}: secret number {n}" for n, spelt in wanted if any(spelling in raw for spelling in spelt)]
    return found


class _Keeper(logging.Handler):
    """Keeps every record as a handler would print it, and its parts as a structured one would send them."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {record.args!r} {record.exc_info!r}")
        if record.exc_info and record.exc_info[1]:
            self.lines.append(repr(vars(record.exc_info[1])))


@contextmanager
def all_logs() -> Iterator[list[str]]:
    """Every record of every logger, at DEBUG, while it lasts."""
    root, keeper = logging.getLogger(), _Keeper()
    former = {logger: logger.level for logger in [root, *_loggers()]}
    for logger in former:
        logger.setLevel(logging.DEBUG)
    root.addHandler(keeper)
    try:
        yield keeper.lines
    finally:
        root.removeHandler(keeper)
        for logger, level in former.items():
            logger.setLevel(level)


def _loggers() -> list[logging.Logger]:
    return [each for each in logging.Logger.manager.loggerDict.values() if isinstance(each, logging.Logger)]
