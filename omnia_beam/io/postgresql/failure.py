"""Say what an error of the database means, and whether the same again may succeed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import tenacity

from omnia_beam.core.errors import (
    CredentialError,
    DestinationError,
    OmniaBeamError,
    TransientServiceError,
    UnreachableError,
    UsageError,
)

T = TypeVar("T")

_TRANSIENT: Final = ("08", "25P03", "40001", "40P01", "53200", "53300", "55P03", "57P")
"""SQLSTATEs, or their beginnings, after which the same may succeed: a connection that was lost or refused, a transaction that was
ended for being idle, a backend that was terminated, a server that starts or stops, a deadlock, a standby that had to cancel a
query, a lock that was not given, too many connections."""

_ACCOUNT: Final = re.compile(r"authentication failed|pg_hba\.conf|role \"|no password supplied|not permitted to log in")
_BUSY: Final = re.compile(
    r"starting up|shutting down|in recovery|too many connections|too many clients|remaining connection slots"
)
_STREAMED: Final = "[libpq]"
"""How the texts of errors begin that pyarrow raises while rows come in: it knows of them by their texts alone."""

_UNFIT: Final = re.compile(r"out of range|overflow|invalid input|cannot be cast|division by zero")
_TOO_LONG: Final = re.compile(r"statement timeout")
_CANCELLED: Final = re.compile(r"due to user request")
_CONFLICT: Final = re.compile(r"conflict with recovery|deadlock detected|could not serialize|lock timeout")
_NO_DATABASE: Final = re.compile(r"database \".*\" does not exist")
_LOST: Final = re.compile(
    r"server closed the connection|connection (was |is |has been )?(lost|closed|reset)|terminating connection|no connection to the "
    r"server|SSL (connection|SYSCALL|error)|could not receive data|could not send data|consuming input failed|Broken pipe",
    re.IGNORECASE,
)

_MEANINGS: Final[Mapping[str, str]] = {
    "53100": "the disk of the server is full: make room there and run again; what was committed stays",
    "42501": "the account lacks a right: docs/postgresql.md lists the grants",
    "25006": "the server takes no writes: it is a standby, or the database is set to read only",
    "22001": "a text is longer than its column",
    "22021": "texts of the database are not in UTF-8 (SQL_ASCII checks nothing): make a view without those rows",
    "22P05": "the encoding of the database lacks a character of an id or a text: it has to be UTF8",
    "57014": "the server's statement_timeout: raise it for this account, or lower sink.commit_points or max_chunk_points",
}
"""What to do, by SQLSTATE."""

_NO_LOCKS: Final = (
    " (its locks are used up: raise max_locks_per_transaction; a table takes one for each partition, or chunk, "
    "and each of their indexes)"
)
_ON_REQUEST: Final = "somebody cancelled the statement at the server: ask who and why, then run again"

RETRY_S: Final = 120.0
_LONGEST_WORDS: Final = 400
_HEAD: Final = 150
_LONGEST_WAIT_S: Final = 2.0


class UniqueViolationError(DestinationError):
    """Rows that were to be new are in the table already."""


class UnfitValueError(DestinationError):
    """The database cannot make of a value what the statement asks for, such as a double of a larger number."""


def database_error(error: BaseException, database: str, doing: str) -> OmniaBeamError | None:
    """Return what an error of a driver means; None for an error of something else.

    Args:
        error: as the driver raised it.
        database: host, port and name.
        doing: what was being done; may be empty.
    """
    is_driver = type(error).__module__.partition(".")[0] in ("psycopg", "adbc_driver_manager", "adbc_driver_postgresql")
    if not is_driver and not str(error).startswith(_STREAMED):
        return None
    state = getattr(error, "sqlstate", None)
    words = _words(error)
    where = f"{database}: {doing}: " if doing else f"{database}: "
    if state is None:
        return _without_state(where, words)
    if state == "23505":
        return UniqueViolationError(f"{where}{words}")
    if state.startswith(_TRANSIENT):
        return TransientServiceError(f"{where}{words}{_NO_LOCKS if 'shared memory' in words else ''}")
    if state.startswith("28"):
        return CredentialError(f"{where}{words}")
    if state in ("3D000", "42P01", "42703", "3F000"):
        return UsageError(f"{where}{words}")
    meaning = _ON_REQUEST if _CANCELLED.search(words) else _MEANINGS.get(state)
    of = UnfitValueError if state.startswith("22") else DestinationError
    return of(f"{where}{words}{f' ({meaning})' if meaning else f' [{state}]'}")


def _without_state(where: str, words: str) -> OmniaBeamError:
    """Return the error of a connection that could not be made or was lost: the drivers give no SQLSTATE there."""
    if _NO_DATABASE.search(words):
        return UsageError(f"{where}{words}")
    if _BUSY.search(words):
        return UnreachableError(f"{where}{words}")
    if _ACCOUNT.search(words):
        return CredentialError(f"{where}{words}")
    if "certificate" in words or "does not support SSL" in words:
        return UnreachableError(f"{where}{words} (sslmode and ca_bundle say what is accepted)")
    if _LOST.search(words) or _CONFLICT.search(words):
        return TransientServiceError(f"{where}{words}")
    if _TOO_LONG.search(words):
        return DestinationError(f"{where}{words} ({_MEANINGS['57014']})")
    if _CANCELLED.search(words):
        return DestinationError(f"{where}{words} ({_ON_REQUEST})")
    if _UNFIT.search(words):
        return UnfitValueError(f"{where}{words}")
    return UnreachableError(f"{where}{words}")


def _words(error: BaseException) -> str:
    """Return the server's message in one line, without the statement, which may hold values."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    if primary:
        detail = getattr(error.diag, "message_detail", None)  # type: ignore[attr-defined]  # psycopg's errors have it
        return _shortened(f"{primary}{f': {detail}' if detail else ''}")
    text = str(error).partition("Query was:")[0].partition("\nLINE ")[0]
    _, mark, after = text.partition("ERROR:")
    text = after if mark else text.partition("failed: ")[2] or text
    return _shortened(" ".join(text.split()).removesuffix(". SQLSTATE:").strip())


def _shortened(words: str) -> str:
    """Return a message without the middle of a long value."""
    return words if len(words) <= _LONGEST_WORDS else f"{words[:_HEAD]} … {words[-_HEAD:]}"


def retried(act: Callable[[], T], *, given_up: Callable[[], bool] = lambda: False, **changes: Any) -> T:
    """Return what a function returns, tried again for two minutes while the database does not respond.

    Waits are random, up to 2 s. `given_up` says whether to end them.

    Raises:
        OmniaBeamError: what the last try raised.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TransientServiceError),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=_LONGEST_WAIT_S),
        stop=lambda state: given_up() or (state.seconds_since_start or 0.0) >= RETRY_S,
        reraise=True,
        **changes,
    )
    return retrying(act)
