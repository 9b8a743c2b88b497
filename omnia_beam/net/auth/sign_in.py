"""Sign in without tokens: what a session does for its requests where a header of a token provider is not enough.

    with contextlib.closing(sign_in.steps("pi.example.com")) as steps:
        header = steps.opening()
        while True:
            reply = send(header)                 # all on one connection
            header = steps.reply(reply)
            if header is None:
                break                            # the reply is final

A Windows domain locks an account after a few wrong passwords, often five or ten, and eight requests at a time are eight tries.
A `Guard` therefore lets one request at a time prove a password that the service has not accepted yet, and none send one that it
has refused.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, NoReturn, Protocol, TypeVar

from omnia_beam.core.errors import UnauthorizedError, UsageError

S = TypeVar("S")

AGAIN_S: Final = 900.0
"""Seconds after which a refused password is tried once more, since a domain controller may have been down. Policies count the
wrong passwords of ten to thirty minutes: one or two among them lock nothing."""


@dataclass(frozen=True)
class Reply:
    """A response as far as a sign-in looks at it.

    Attributes:
        status: of HTTP.
        offers: what the server offers, as `offers_of` returns it.
        certificate: the server's certificate as DER, None in plain http.
    """

    status: int
    offers: Mapping[str, str] = field(default_factory=dict)
    certificate: bytes | None = field(default=None, repr=False)


def offers_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the schemes that `WWW-Authenticate` offers, as HTTP spells them, each with the message behind it (often `""`)."""
    text = _QUOTED.sub('""', headers.get("WWW-Authenticate", ""))  # a realm may hold commas
    return {_SCHEMES[found[1].lower()]: found[2] or "" for found in _OFFER.finditer(text)}


_SCHEMES: Final = {name.lower(): name for name in ("Basic", "Bearer", "Digest", "Negotiate", "NTLM")}
_QUOTED: Final = re.compile(r'"[^"]*"')
_OFFER: Final = re.compile(
    rf"(?:^|,)\s*({'|'.join(_SCHEMES)})(?=[\s,]|$)(?:[ \t]+([\w+/.~-]+=*)(?=\s*(?:,|$)))?", re.IGNORECASE
)


class Steps(Protocol):
    """The sign-in of one request."""

    @property
    def is_bound(self) -> bool:
        """Whether the next message belongs to the connection that carried the last one."""

    def opening(self) -> str | None:
        """Return the `Authorization` header of the first message; None for none.

        Raises:
            CredentialError: there is nothing to sign in with, such as a Kerberos ticket.
            UnauthorizedError: the service has refused this password before.
        """

    def reply(self, reply: Reply) -> str | None:
        """Return the header of the next message, to be sent with the same request; None where the reply is final.

        Raises:
            CredentialError, UnauthorizedError: as `opening`.
        """

    def close(self) -> None:
        """End the sign-in, however it went."""


class SignIn(Protocol):
    """What signs in the requests of a session. Safe to use from many threads; it holds secrets and cannot be pickled."""

    def ready(self, host: str) -> str:
        """Check without a request to the service that there is something to sign in with, and return what it is.

        Raises:
            CredentialError: there is not.
        """

    def steps(self, host: str) -> Steps:
        """Return the sign-in of one request to a host."""


class Guard(Generic[S]):
    """A secret that is sent as often as its account can stand.

    Args:
        read: reads the secret, at once and again after a refusal, since it may be replaced while a job runs.
        what: the secret, for messages, such as `password of PI_USER`.
        clock: monotonic seconds.

    Raises:
        UsageError: as `read`.
    """

    def __init__(self, read: Callable[[], S], what: str, clock: Callable[[], float]) -> None:
        self._read = read
        self._what = what
        self._clock = clock
        self._changed = threading.Condition()
        self._secret = read()
        self._is_accepted = False
        self._is_tried = False
        self._refused_at: float | None = None

    def trial(self) -> Trial[S]:
        """Return leave to send the secret, after other threads have found out whether the service accepts it.

        Raises:
            UnauthorizedError: it does not.
        """
        with self._changed:
            while True:
                if self._refused_at is not None and not self._may_try_again(self._refused_at):
                    break
                if self._is_accepted:
                    return Trial(self, self._secret, is_alone=False)
                if not self._is_tried:
                    self._is_tried = True
                    return Trial(self, self._secret, is_alone=True)
                self._changed.wait()
        raise UnauthorizedError(
            f"not sent: the service has refused the {self._what}, and a domain locks an account after a few refusals. It is "
            f"sent again when its variable or file holds another one, or after {AGAIN_S / 60:.0f} minutes",
            status=401,
        )

    def accept(self, secret: S) -> None:
        """Note that the service has accepted a secret."""
        with self._changed:
            if secret == self._secret:
                self._is_accepted, self._refused_at = True, None
                self._changed.notify_all()

    def refuse(self, secret: S) -> bool:
        """Note that the service has refused a secret; return whether there is another one by now."""
        with self._changed:
            if secret != self._secret:
                return self._refused_at is None
            self._is_accepted, self._refused_at = False, self._clock()
            found = self._is_replaced()
            self._changed.notify_all()
            return found

    def leave(self) -> None:
        """Let the next thread try the secret."""
        with self._changed:
            self._is_tried = False
            self._changed.notify_all()

    def _may_try_again(self, refused_at: float) -> bool:
        if self._clock() >= refused_at + AGAIN_S:
            self._refused_at = None
        return self._refused_at is None or self._is_replaced()

    def _is_replaced(self) -> bool:
        try:
            found = self._read()
        except UsageError:
            return False  # the variable or file is being replaced
        if found == self._secret:
            return False
        self._secret, self._is_accepted, self._refused_at = found, False, None
        return True


class Trial(Generic[S]):
    """Leave to send a secret once."""

    def __init__(self, guard: Guard[S], secret: S, *, is_alone: bool) -> None:
        self._guard = guard
        self._is_alone = is_alone
        self.secret = secret

    def accepted(self) -> None:
        """Note that the service has accepted the secret."""
        self._guard.accept(self.secret)

    def refused(self) -> bool:
        """Note that the service has refused the secret; return whether there is another one by now."""
        return self._guard.refuse(self.secret)

    def end(self) -> None:
        """Let other threads go on. To be called once or more, whatever came of it."""
        if self._is_alone:
            self._is_alone = False
            self._guard.leave()


class BasicSignIn:
    """HTTP basic authentication: the password goes along with every request.

    Args:
        read: returns what follows `Basic` in the header.
        what: as of `Guard`.
        clock: monotonic seconds.

    Raises:
        UsageError: as `read`.
    """

    def __init__(self, read: Callable[[], str], what: str, clock: Callable[[], float]) -> None:
        self._guard = Guard(read, what, clock)
        self._what = what

    def ready(self, host: str) -> str:
        """Return what is sent."""
        return f"the {self._what}"

    def steps(self, host: str) -> Steps:
        """Return the sign-in of one request."""
        return _BasicSteps(self._guard)

    def __reduce__(self) -> NoReturn:
        raise TypeError(HOLDS_SECRETS)


class _BasicSteps:
    is_bound = False

    def __init__(self, guard: Guard[str]) -> None:
        self._guard = guard
        self._trial: Trial[str] | None = None
        self._is_renewed = False

    def opening(self) -> str:
        self._trial = self._guard.trial()
        return f"Basic {self._trial.secret}"

    def reply(self, reply: Reply) -> str | None:
        if self._trial is None:
            return None
        if reply.status == 401 and self._trial.refused() and not self._is_renewed:
            self._is_renewed = True
            self.close()
            return self.opening()
        if is_success(reply.status):
            self._trial.accepted()
        return None

    def close(self) -> None:
        if self._trial is not None:
            self._trial.end()


HOLDS_SECRETS: Final = "a sign-in holds a password or ticket and is not pickled: send the credential"


def is_success(status: int) -> bool:
    """Return whether a status shows that the server has let the request in; gateways before it send most others too."""
    return 200 <= status < 300
