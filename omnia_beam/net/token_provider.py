"""One token for all requests of a process: kept, refreshed ahead of its end, renewed when the service refuses it.

    provider = TokenProvider.of(CredentialSpec("client_secret"), resource_id)
    headers = {"Authorization": f"Bearer {provider.token()}"}

At most one thread asks the authority at a time. While the token at hand is valid nobody waits for that, and its failure
is a line in the log; once the token has ended, everybody waits for the one answer and shares it, a failure too.
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
from typing import Any, Final, NoReturn

import tenacity
from azure.core.credentials import AccessToken, TokenCredential

from omnia_beam.core.errors import CredentialError, UsageError
from omnia_beam.core.redaction import guard_logs, remember_token
from omnia_beam.net.credential_failure import read_failure
from omnia_beam.net.credentials import CredentialSpec

_LOG = logging.getLogger(__name__)

REFRESH_AHEAD_S: Final = 300.0
"""Seconds before a token's end at which a new one is asked for. msal hands out the token that it holds until just then:
asking any earlier would bring the same one. [msal/application.py: `expires_in < 5*60`]"""

_PAUSE_S: Final = 30.0
"""Seconds between two refreshes ahead, and between two renewals: an authority that fails, or a service that refuses
every token, is not stormed by every request of the job. [azure-identity's own refresh pauses as long]"""

_ATTEMPTS: Final = 5
_FIRST_WAIT_S: Final = 6.0
_LONGEST_WAIT_S: Final = 30.0
"""A transient failure is tried again after 6, 12, 24 and 30 s, each up to a second more. Neither sooner nor in less all
told: after a 5xx msal repeats the answer without asking the authority, for an application 5 s, for a person 60 s, and
for as long as a Retry-After says. [msal/throttled_http_client.py, msal/application.py: `default_throttle_time`]"""

_FRESH: Final = json.dumps({"access_token": {"nbf": {"essential": True, "value": "1"}}})
"""Claims that make msal pass over the tokens that it holds: any claims do, and nothing else does, for `get_token` has no
"force refresh" (https://github.com/Azure/azure-sdk-for-python/issues/17825). These have the form of Entra ID's own
claims challenges and ask for a token that is valid from some time after 1970: every token is. Never tried against the
real Entra ID."""


@dataclass(frozen=True)
class _Held:
    """A token, when to ask for the next one, and when it ends; seconds since the epoch."""

    token: str = field(repr=False)
    refresh_at: float
    expires_at: float


@dataclass(frozen=True)
class _Flight:
    """A request of the authority under way. `purpose`: `refresh` (one attempt), `fetch` or `renew` (patient)."""

    purpose: str
    landing: Future[_Held] = field(default_factory=Future)

    def outcome(self) -> _Held:
        """Wait for it, and share its end. Raises CredentialError."""
        error = self.landing.exception()
        if error is None:
            return self.landing.result()
        # An exception of one's own: the same one, raised in many threads, would mix up their tracebacks.
        raise CredentialError(str(error))


class TokenProvider:
    """Hands out the current token; thread-safe. It holds a token, so it neither shows it nor lets itself be pickled.

    Args:
        credential: any `TokenCredential`; None for a service that wants no token.
        scope: what to ask for, such as `<resource id>/.default`; None only with no credential.
        clock: seconds since the epoch.
        sleep: waits so many seconds, between the attempts after a transient failure.
        refresh_ahead_s: seconds before the end at which a new token is asked for; a token that lives for less than twice
            that is replaced after half its life.
        rng: a number in [0, 1), for the jitter of those waits.
        rebuild: makes the credential anew, reading its secrets again. With it `renew` needs no claims to get past the
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
            raise UsageError("a credential needs the scope to ask it for, such as <resource id>/.default")
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
        spec: CredentialSpec,
        resource_id: str | None,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> TokenProvider:
        """The provider for a configured credential and the API `resource_id`. Asks nobody for a token yet.

        Raises:
            UsageError: a variable or file is missing (`CredentialSpec.build`), or the resource id is.
        """
        # The others must not be made anew for one refused token: a person would be asked again, and the assertion of
        # a user lives for an hour only, while the refresh token that it brought goes on.
        own_secret = spec.kind in ("client_secret", "client_certificate")
        rebuild = (lambda: spec.build(environ)) if own_secret else None
        return cls(spec.build(environ), spec.scope(resource_id), clock, sleep, rebuild=rebuild)

    def token(self) -> str | None:
        """The token to send now; None where the service wants none.

        Waits only when there is no valid token: for the authority, at most about 80 s beyond its own time-outs.

        Raises:
            CredentialError: there is no valid token, and none can be had.
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
                # The single attempt of somebody whose token has ended meanwhile: now it is worth some patience.
        return None

    def renew(self, rejected: str | None) -> str | None:
        """A token other than the one that the service refused with 401; one request, however many threads were refused.

        The credential's caches are passed over. Where that cannot be (Azure's identity endpoints keep their own), or
        where the last renewal is less than 30 s ago, it may be the refused one again.

        Raises:
            CredentialError: none can be had.
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
            flight.landing.exception()  # a refresh may bring the refused token again: wait for it, then look again
        return None

    def _is_refresh_due(self, held: _Held, now: float) -> bool:
        return now >= held.refresh_at and self._flight is None and now >= self._not_before["refresh"]

    def _is_renewal_early(self, now: float) -> bool:
        return self._flight is None and now < self._not_before["renew"]

    def _join(self, purpose: str, now: float) -> tuple[_Flight, bool]:
        """The flight under way, or a new one, and whether it is ours to fly. The lock is held."""
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
        return self._fly(flight, lambda: self._patiently(self._ask)).token

    def _renew(self, flight: _Flight, rejected: str | None) -> str:
        token = self._fly(flight, lambda: self._patiently(self._ask_afresh)).token
        if token == rejected:
            _LOG.warning("the service refuses the token, and %s has no other one", self._name())
        return token

    def _fly(self, flight: _Flight, ask: Callable[[], _Held]) -> _Held:
        try:
            held = ask()
        except BaseException as error:  # an interrupt too: the others must not wait for ever
            with self._lock:
                self._flight = None
                self._not_before["renew"] = (
                    0.0  # whoever is refused next shall hear of this failure, not of a second 401
                )
            shared = error if isinstance(error, CredentialError) else CredentialError("the request for a token was cut")
            flight.landing.set_exception(shared)
            raise
        with self._lock:
            self._held, self._flight = held, None
        flight.landing.set_result(held)
        return held

    def _patiently(self, ask: Callable[[], _Held]) -> _Held:
        """Ask, and again after a transient failure."""
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
        """One request of the credential, which may answer from its cache."""
        try:
            return self._get(self._credential)
        except CredentialError as error:
            if _is_transient(error) or self._rebuild is None or self._held is None:
                raise
        return self._ask_rebuilt(self._rebuild)  # it has worked before: the secret may have been replaced meanwhile

    def _ask_afresh(self) -> _Held:
        """One request that no cache of the credential answers, as far as there is a way."""
        if self._rebuild is not None:
            return self._ask_rebuilt(self._rebuild)
        if not _takes_claims(self._credential):
            return self._get(self._credential)
        try:
            return self._get(self._credential, claims=_FRESH)
        except CredentialError as error:
            if _is_transient(error):
                raise
            _LOG.info("%s takes no claims (%s): asking without", self._name(), error)
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
        """One `get_token`. Raises CredentialError with a member `transient`, and with no trace of the credential's own
        exception: that one holds the request, secret and all."""
        guard_logs()
        now = self._clock()
        try:
            token: AccessToken = credential.get_token(self._scope, **claims)  # type: ignore[union-attr]  # None has no scope
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
    """Whether `get_token` has a parameter for them: azure-core's protocol says so, a home-made one may differ."""
    parameters = inspect.signature(credential.get_token).parameters.values() if credential else ()
    return any(one.name == "claims" or one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
