"""Every error that omnia-beam raises on purpose.

    OmniaBeamError
    ├── UsageError                 bad configuration or arguments: exit 2
    │   ├── SelectionError         the selection names no series, or one that does not exist
    │   └── UnsafeRunnerError      a runner mode that is known to lose data
    ├── WireFormatError            bytes that do not follow the schema (also a ValueError)
    ├── CredentialError            no token, or one that the service refuses: exit 3
    ├── ServiceError               an error response, or no response, from the service
    │   ├── TransientServiceError  worth another try: 408, 425, 429, 5xx, connection lost, body cut short
    │   │   ├── ThrottledError     429
    │   │   └── UnreachableError   no connection at all: exit 3 when it ends a run
    │   └── TerminalServiceError   the same request would fail again
    │       ├── BadRequestError    400
    │       ├── UnauthorizedError  401
    │       ├── ForbiddenError     403
    │       ├── NotFoundError      404
    │       ├── ConflictError      409
    │       ├── PayloadTooLargeError 413
    │       └── NotTheServiceError a response that no Omnia service gives (HTML, another content type)
    ├── IncompleteReadError        points that do not add up to the service's own count, or belong to another query
    └── DestinationError           the sink's place cannot be written or read: exit 3
        └── StateError             the ledger, lease or plan under `state:` cannot be used
    Interrupted                    a stop signal (a KeyboardInterrupt, no OmniaBeamError): exit 130

Members are plain attributes and survive pickling (Beam sends exceptions between processes). No member and no message
ever holds a token, a secret or a request body: messages and texts of members pass through `redact` when an error is made.
"""

from __future__ import annotations

from typing import Any

from omnia_beam.core.redaction import redact
from omnia_beam.core.summary import ProgressFacts, Summary


class OmniaBeamError(Exception):
    """The root of all errors of omnia-beam: catch it to catch all of them.

    Keyword members of a subclass become attributes, and pickling keeps them.

    Attributes:
        summary: what the command that the error ended had reached; None where no command had begun to count.
        progress: how far the pipeline that the error ended was; None where none ran.
    """

    summary: Summary | None = None
    progress: ProgressFacts | None = None

    def __init__(self, message: str, **members: Any) -> None:
        self.message = redact(message)
        super().__init__(self.message)
        for name, value in members.items():
            setattr(self, name, redact(value) if isinstance(value, str) else value)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, dict(self.__dict__)))

    def __str__(self) -> str:
        return self.message


def _rebuild(kind: type[OmniaBeamError], message: str, members: dict[str, Any]) -> OmniaBeamError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(members)
    return error


class Interrupted(KeyboardInterrupt):
    """A stop signal ended a command or its pipeline.

    Attributes:
        summary: what the command had reached; None where it had not begun to count.
        progress: how far the pipeline was; None where none ran.
    """

    def __init__(self, progress: ProgressFacts | None = None) -> None:
        super().__init__()
        self.progress = progress
        self.summary: Summary | None = None


class UsageError(OmniaBeamError):
    """A configuration key, an argument or a file of the user cannot be used. Exit code 2."""


class SelectionError(UsageError):
    """The selection resolves to no series, or names one that the service does not know. Exit code 2."""


class UnsafeRunnerError(UsageError):
    """The runner mode is known to lose data. Exit code 2."""


class WireFormatError(OmniaBeamError, ValueError):
    """Bytes do not follow the schema: they are truncated, corrupt, or of the wrong kind.

    `offset` is the byte offset in the page at which reading failed, None where there is none (JSON).
    """

    def __init__(self, message: str, offset: int | None = None) -> None:
        text = message if offset is None else f"{message} (byte offset {offset})"
        super().__init__(text, offset=offset)
        self.offset = offset


class CredentialError(OmniaBeamError):
    """No token could be obtained, or the service refuses the current one. Exit code 3."""


class ServiceError(OmniaBeamError):
    """The service responded with an error, or did not respond.

    `method` and `path` name the request (never the tokens in its query, nor its body); `status` is the HTTP status, None
    where no response came; `trace_id` is the service's own; `attempts` counts the attempts made; `retry_after_s` is the
    wait that the service requests, in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        path: str = "",
        status: int | None = None,
        trace_id: str | None = None,
        attempts: int = 1,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.method = method
        self.path = path
        self.status = status
        self.trace_id = redact(trace_id) if trace_id else trace_id
        self.attempts = attempts
        self.retry_after_s = retry_after_s


class TransientServiceError(ServiceError):
    """The request failed, but the same request may succeed later."""


class ThrottledError(TransientServiceError):
    """The service responded with 429: the rate is too high. `retry_after_s` is the wait it requests, None where it names none."""


class UnreachableError(TransientServiceError):
    """No connection was made: refused, unknown host, TLS failure, proxy failure. Exit code 3 when it ends a run."""


class TerminalServiceError(ServiceError):
    """The request failed, and the same request would fail again."""


class BadRequestError(TerminalServiceError):
    """The service responded with 400: it cannot process the request."""


class UnauthorizedError(TerminalServiceError):
    """The service responded with 401, also to a fresh token."""


class ForbiddenError(TerminalServiceError):
    """The service responded with 403: the identity lacks the permission."""


class NotFoundError(TerminalServiceError):
    """The service responded with 404: it does not know the path or the id."""


class ConflictError(TerminalServiceError):
    """The service responded with 409: the request conflicts with what exists."""


class PayloadTooLargeError(TerminalServiceError):
    """The service responded with 413: the body exceeds its size limit."""


class NotTheServiceError(TerminalServiceError):
    """The response is one that no Omnia service gives, such as an HTML page of a proxy. Exit code 3 when it ends a run."""


class IncompleteReadError(OmniaBeamError):
    """The points of a query or window do not add up to the service's own count, or belong to another query: read again.

    `expected` and `received` count points.
    """

    def __init__(self, message: str, *, expected: int | None = None, received: int | None = None) -> None:
        super().__init__(message)
        self.expected = expected
        self.received = received


class DestinationError(OmniaBeamError):
    """The destination cannot be written or read: permission, space, connection. Exit code 3."""


class StateError(DestinationError):
    """The state directory cannot be used: unwritable, of an unknown version, or leased to another run. Exit code 3."""
