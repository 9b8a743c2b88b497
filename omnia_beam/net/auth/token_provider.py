"""Provide one token for all requests of a process: kept, refreshed before it expires, renewed when the service refuses it.

    provider = TokenProvider.of(CredentialSpec("client_secret"), resource_id)
    headers = {"Authorization": f"Bearer {provider.token()}"}

At most one thread asks the authority at a time. While the current token is valid no thread waits for that, and a failure
is only logged. Once the token has expired, all threads wait for the one response and share it, also a failure.
"""

from __future__ import annotations

import inspect
import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, Protocol

import tenacity
from azure.core.credentials import AccessToken, TokenCredential

from omnia_beam.core.errors import CredentialError, UsageError
from omnia_beam.core.redaction import guard_logs, remember_token
from omnia_beam.net.auth.failure import read_failure
from omnia_beam.net.auth.options import CredentialOptions

_LOG = logging.getLogger(__name__)

REFRESH_AHEAD_S: Final = 300.0
"""Seconds before a token's expiry at which a new one is requested. msal returns the token that it holds until exactly then:
an earlier request would return the same one. [msal/application.py: `expires_in < 5*60`]"""

_PAUSE_S: Final = 30.0
"""Seconds between two refreshes ahead of expiry, and between two renewals, so that not every request of the job burdens an
authority that fails or a service that refuses every token. [azure-identity's own refresh pauses as long]"""

_ATTEMPTS: Final = 5
_FIRST_WAIT_S: Final = 6.0
_LONGEST_WAIT_S: Final = 30.0
"""A transient failure is tried again after 6, 12, 24 and 30 s, each up to a second longer. Shorter waits, or a shorter total,
would be useless: after a 5xx msal repeats the response without asking the authority, for 5 s for an application, for 60 s
for a person, and for as long as a Retry-After says. [msal/throttled_http_client.py, msal/application.py:
`default_throttle_time`]"""

_FRESH: Final = json.dumps({"access_token": {"nbf": {"essential": True, "value": "1"}}})
"""Claims that make msal bypass the tokens that it holds: any claims do, and nothing else does, because `get_token` has no
"force refresh" (https://github.com/Azure/azure-sdk-for-python/issues/17825). These have the form of Entra ID's own
claims challenges and request a token that is valid from some time after 1970, as every token is. They were never tried
against the real Entra ID."""


@dataclass(frozen=True)
class _Held:
    """A token, when to request the next one, and when it expires; seconds since the epoch."""

    token: str = field(repr=False)
    refresh_at: float
    expires_at: float


@dataclass(frozen=True)
class _Flight:
    """A request to the authority under way. `purpose` is `refresh` (one attempt), or `fetch` or `renew` (several attempts)."""

    purpose: str
    landing: Future[_Held] = field(default_factory=Future)

    def outcome(self) -> _Held:
        """Wait for the request to end and return its token.

        Raises:
            CredentialError: the request failed.
        """
        error = self.landing.exception()
        if error is None:
            return self.landing.result()
        # Each thread raises its own exception: raising one object in many threads would mix up their tracebacks.
        raise CredentialError(str(error))


class TokenSource(Protocol):
    """A source of tokens: a `TokenProvider`, or any other object with its methods. Many threads may call both at once."""

    def token(self) -> str | None:
        """Return a valid token; None where the service needs none."""

    def renew(self, rejected: str) -> str | None:
        """Return a token newer than the one that the service refused."""


class TokenProvider:
    """A thread-safe provider of the current token. It holds a token, so it is not picklable and its repr does not show it.

    Args:
        credential: any `TokenCredential`; None for a service that needs no token.
        scope: the scope to request, such as `<resource id>/.default`; None only with no credential.
        clock: seconds since the epoch.
        sleep: waits so many seconds, between the attempts after a transient failure.
        refresh_ahead_s: seconds before expiry at which a new token is requested; a token that lives for less than twice
            that is replaced after half its life.
        rng: a number in [0, 1), for the jitter of those waits.
        rebuild: makes the credential again, reading its secrets again. With it `renew` needs no claims to get past the
            credential's cache, and a secret that is replaced while the job runs is found.
    """

    def __init__(
        self,
        credential: TokenCredential | None,
        scope: str | None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        refresh_ahead_s: float = REFRESH_AHEAD_S,
        *,
        rng: Callable[[], float] = random.random,
        rebuild: Callable[[], TokenCredential | None] | None = None,
    ) -> None:
        if credential is not None and not scope:
            raise UsageError("a credential needs the scope of its tokens, such as <resource id>/.default")
        self._credential = credential
        self._scope = scope or ""
        self._clock = clock
        self._sleep = sleep
        self._refresh_ahead_s = refresh_ahead_s
        self._rng = rng
        self._rebuild = rebuild
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._flight: _Flight | None = None
        self._not_before = {"refresh": 0.0, "fetch": 0.0, "renew": 0.0}

    @classmethod
    def of(
        cls,
        spec: CredentialOptions,
        resource_id: str | None,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> TokenProvider:
        """Return the provider for a configured credential and the API `resource_id`. No token is requested yet.

        Raises:
            UsageError: a variable or file is missing (`CredentialSpec.build`), or the resource id is.
        """
        # Other kinds must not be rebuilt for one refused token: a person would be prompted again, and the assertion of
        # a user lives only for an hour, while the refresh token that it gave stays valid.
        own_secret = spec.kind in ("client_secret", "client_certificate")
        rebuild = (lambda: spec.build(environ)) if own_secret else None
        return cls(spec.build(environ), spec.scope(resource_id), clock, sleep, rebuild=rebuild)

    def token(self) -> str | None:
        """Return the token to send now; None where the service needs none.

        The call waits only when there is no valid token: for the authority, at most about 80 s beyond its own time-outs.

        Raises:
            CredentialError: there is no valid token, and none can be obtained.
        """
        while self._credential is not None:
            now = self._clock()
            with self._lock:
                held = self._held
                valid = held is not None and now < held.expires_at
                if held is not None and valid and not self._is_refresh_due(held, now):
                    return held.token
                flight, is_mine = self._join("refresh" if valid else "fetch", now)
            if is_mine:
                return self._refresh(flight, held) if held is not None and valid else self._fetch(flight)
            try:
                return flight.outcome().token
            except CredentialError:
                if flight.purpose != "refresh":
                    raise
                # It was the single attempt of a refresh; the token has expired since, so a fetch with retries follows.
        return None

    def renew(self, rejected: str | None) -> str | None:
        """Return another token than the one that the service refused with 401; all refused threads share one request.

        The credential's caches are bypassed. Where that is impossible (Azure's identity endpoints keep their own), or
        where the last renewal is less than 30 s ago, it may return the refused token again.

        Raises:
            CredentialError: none can be obtained.
        """
        while self._credential is not None:
            now = self._clock()
            with self._lock:
                held = self._held
                if (
                    held is not None
                    and now < held.expires_at
                    and (held.token != rejected or self._is_renewal_early(now))
                ):
                    return held.token
                flight, is_mine = self._join("renew", now)
            if is_mine:
                return self._renew(flight, rejected)
            if flight.purpose == "renew":
                return flight.outcome().token
            flight.landing.exception()  # a refresh may return the refused token again: wait for it, then look again
        return None

    def _is_refresh_due(self, held: _Held, now: float) -> bool:
        return now >= held.refresh_at and self._flight is None and now >= self._not_before["refresh"]

    def _is_renewal_early(self, now: float) -> bool:
        return self._flight is None and now < self._not_before["renew"]

    def _join(self, purpose: str, now: float) -> tuple[_Flight, bool]:
        """Return the flight under way, or a new one, and whether the caller has to carry it out. The caller holds the lock."""
        if self._flight is not None:
            return self._flight, False
        self._flight = _Flight(purpose)
        self._not_before[purpose] = now + _PAUSE_S
        return self._flight, True

    def _refresh(self, flight: _Flight, held: _Held) -> str:
        try:
            return self._fly(flight, self._ask).token
        except CredentialError as error:
            left_s = held.expires_at - self._clock()
            _LOG.warning("the token could not be refreshed, but is valid for %.0f s more. %s", left_s, error)
            return held.token

    def _fetch(self, flight: _Flight) -> str:
        return self._fly(flight, lambda: self._with_retries(self._ask)).token

    def _renew(self, flight: _Flight, rejected: str | None) -> str:
        token = self._fly(flight, lambda: self._with_retries(self._request_new)).token
        if token == rejected:
            _LOG.warning("the service refuses the token, and %s has no other one", self._name())
        return token

    def _fly(self, flight: _Flight, ask: Callable[[], _Held]) -> _Held:
        try:
            held = ask()
        except BaseException as error:  # includes interrupts: other threads must not wait for ever
            with self._lock:
                self._flight = None
                self._not_before["renew"] = 0.0  # the next refused thread has to see this failure, not a second 401
            shared = error if isinstance(error, CredentialError) else CredentialError("the request for a token was cut")
            flight.landing.set_exception(shared)
            raise
        with self._lock:
            self._held, self._flight = held, None
        flight.landing.set_result(held)
        return held

    def _with_retries(self, ask: Callable[[], _Held]) -> _Held:
        """Call `ask`, and again after a transient failure; return its token."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_transient),
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            wait=lambda state: min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (state.attempt_number - 1)) + self._rng(),
            sleep=self._sleep,
            before_sleep=_log_retry,
            reraise=True,
        )
        return retrying(ask)

    def _ask(self) -> _Held:
        """Send one request to the credential, which may respond from its cache."""
        try:
            return self._get(self._credential)
        except CredentialError as error:
            if _is_transient(error) or self._rebuild is None or self._held is None:
                raise
        return self._ask_rebuilt(self._rebuild)  # it has worked before, so the secret may have been replaced

    def _request_new(self) -> _Held:
        """Send one request that bypasses the credential's caches, as far as that is possible."""
        if self._rebuild is not None:
            return self._ask_rebuilt(self._rebuild)
        if not _takes_claims(self._credential):
            return self._get(self._credential)
        try:
            return self._get(self._credential, claims=_FRESH)
        except CredentialError as error:
            if _is_transient(error):
                raise
            _LOG.info("%s takes no claims (%s): requesting a token without", self._name(), error)
        return self._get(self._credential)

    def _ask_rebuilt(self, rebuild: Callable[[], TokenCredential | None]) -> _Held:
        try:
            credential = rebuild()
        except UsageError as error:
            message = str(error)
        else:
            held = self._get(credential)
            former, self._credential = self._credential, credential
            getattr(former, "close", lambda: None)()
            return held
        raise CredentialError(f"no further token for {self._scope}: {message}")

    def _get(self, credential: TokenCredential | None, **claims: Any) -> _Held:
        """Call `get_token` once and return the token.

        Raises:
            CredentialError: it failed. The error has a member `transient`, and no reference to the credential's own
                exception, because that one holds the request, including the secret.
        """
        guard_logs()
        now = self._clock()
        try:
            token: AccessToken = credential.get_token(self._scope, **claims)  # type: ignore[union-attr]  # callers never pass None
        except Exception as error:
            failure = read_failure(error)
        else:
            remember_token(token.token)
            ahead_s = min(self._refresh_ahead_s, max(0.0, token.expires_on - now) / 2)
            return _Held(token.token, token.expires_on - ahead_s, token.expires_on)
        message = f"no token for {self._scope} from {self._name()}: {failure.reason}"
        raise CredentialError(f"{message} {failure.cure}".strip(), transient=failure.transient)

    def _name(self) -> str:
        return getattr(self._credential, "name", None) or type(self._credential).__name__

    def __repr__(self) -> str:
        held = self._held
        state = f"holds a token until {held.expires_at:.0f}" if held else "holds no token"
        return f"<TokenProvider {self._name()} {self._scope} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a TokenProvider holds a token and is not pickled: send the CredentialSpec, and build the provider from it "
            "where it is used (in a DoFn's setup)"
        )


def _is_transient(error: BaseException) -> bool:
    return getattr(error, "transient", False)


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait_s = state.next_action.sleep if state.next_action else 0.0
    _LOG.warning("%s; trying again in %.0f s", error, wait_s)


def _takes_claims(credential: TokenCredential | None) -> bool:
    """Return whether `get_token` accepts claims: azure-core's protocol has the parameter, a custom credential may not."""
    parameters = inspect.signature(credential.get_token).parameters.values() if credential else ()
    return any(one.name == "claims" or one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
