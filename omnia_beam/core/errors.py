"""Every error that omnia-beam raises on purpose.

    OmniaBeamError
    ├── UsageError                 bad configuration or arguments: exit 2
    │   ├── SelectionError         the selection names no series, or one that does not exist
    │   └── UnsafeRunnerError      a runner mode that is known to lose data
    ├── WireFormatError            bytes that are not what the schema says (also a ValueError)
    ├── CredentialError            no token, or one that the service refuses: exit 3
    ├── ServiceError               an answer, or no answer, from the service
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
    │       └── NotTheServiceError an answer that no Omnia service gives (HTML, another content type)
    ├── IncompleteReadError        a window whose points do not add up to the service's own count
    └── DestinationError           the sink's place cannot be written or read: exit 3
        └── StateError             the ledger, lease or plan under `state:` cannot be used

Members are plain attributes and survive pickling (Beam sends exceptions between processes). No member and no message
ever holds a token, a secret or a request body: messages and texts of members pass through `redact` when an error is made.
"""

from __future__ import annotations

from typing import Any

from omnia_beam.core.redaction import redact


class OmniaBeamError(Exception):
    """The root: catch it to catch everything that is ours.

    Keyword members of a subclass are kept as attributes, and pickling keeps them.
    """

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


class UsageError(OmniaBeamError):
    """What the user gave cannot be run: a configuration key, an argument, a file. Exit code 2."""


class SelectionError(UsageError):
    """The selection resolves to no series, or names one that the service does not know. Exit code 2."""


class UnsafeRunnerError(UsageError):
    """A runner mode that is known to lose data. Exit code 2."""


class WireFormatError(OmniaBeamError, ValueError):
    """Bytes that do not follow the schema: truncated, corrupt, or of the wrong kind.

    `offset` is the byte offset in the page at which the reading failed, None where there is none (JSON).
    """

    def __init__(self, message: str, offset: int | None = None) -> None:
        text = message if offset is None else f"{message} (byte offset {offset})"
        super().__init__(text, offset=offset)
        self.offset = offset


class CredentialError(OmniaBeamError):
    """No token could be had, or the service refuses the one we hold. Exit code 3."""


class ServiceError(OmniaBeamError):
    """What the service answered, or that it did not.

    `method` and `path` name the request (never its query's tokens or its body); `status` is the HTTP status or None
    when no answer came; `trace_id` is the service's own; `attempts` counts the tries made; `retry_after_s` is what the
    service asked for, in seconds.
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
    """The same request may succeed later."""


class ThrottledError(TransientServiceError):
    """429: over the service's rate. `retry_after_s` where the service said so."""


class UnreachableError(TransientServiceError):
    """No connection: refused, unknown host, TLS failure, proxy failure. Exit code 3 when it ends a run."""


class TerminalServiceError(ServiceError):
    """The same request would fail again."""


class BadRequestError(TerminalServiceError):
    """400."""


class UnauthorizedError(TerminalServiceError):
    """401, also with a fresh token."""


class ForbiddenError(TerminalServiceError):
    """403."""


class NotFoundError(TerminalServiceError):
    """404."""


class ConflictError(TerminalServiceError):
    """409."""


class PayloadTooLargeError(TerminalServiceError):
    """413: the body is over the service's size cap."""


class NotTheServiceError(TerminalServiceError):
    """An answer that no Omnia service gives, such as an HTML page of a proxy. Exit code 3 when it ends a run."""


class IncompleteReadError(OmniaBeamError):
    """A window whose points do not add up to what the service says that it holds: read it again.

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
