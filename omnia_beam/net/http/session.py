"""The session through which every request to one service goes: one process, one connection pool, one budget."""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

from omnia_beam.core.errors import (
    NotFoundError,
    NotTheServiceError,
    ServiceError,
    TerminalServiceError,
    ThrottledError,
    TransientServiceError,
    UnreachableError,
    UsageError,
)
from omnia_beam.core.redaction import guard_logs, remember_token
from omnia_beam.net.http.body import MAX_BODY_BYTES
from omnia_beam.net.http.failure import NO_CONNECTION, TransportFailure
from omnia_beam.net.http.rate_limit import PausedTooLong, RateLimiter
from omnia_beam.net.http.response import (
    JSON,
    Response,
    error_of,
    is_transient,
    was_not_acted_on,
    wrong_address,
    wrong_content,
)
from omnia_beam.net.http.retry import AttemptFailed, retry_after_s
from omnia_beam.net.http.route import MAX_REDIRECTS, REDIRECTS, RedirectRefused, host_of, origin_text, redirect_target
from omnia_beam.net.http.settings import ServiceSettings, check_ca_bundle, check_plain_http, request_headers
from omnia_beam.net.http.stats import SessionStats

if TYPE_CHECKING:
    from omnia_beam.net.auth.token_provider import TokenSource
    from omnia_beam.net.http.transport import Query, RawResponse

log = logging.getLogger(__name__)

_LONG_WAIT_S = 15.0


@dataclass
class _Call:
    """The state of one `send` during its attempts."""

    method: str
    path: str
    url: str
    params: Query
    body: bytes | None = field(repr=False)
    accept: str
    idempotent: bool
    timeout_s: float
    most_bytes: int
    before: Callable[[], object] = lambda: None
    token: str | None = field(default=None, repr=False)
    renewed: bool = False
    tries: int = 0


class ServiceSession:
    """A session that sends requests to one service: pooled, paced, signed in, retried, and explained when they fail.

    Thread-safe; make one per process and service, as `shared_session` does. It cannot be pickled; its `ServiceSettings` can.

    Args:
        settings: the service, the credential's names, the budget, the time-outs and the retries.
        token_provider: the source of tokens; made from the settings when None.
        environ: where the settings' environment variables are looked up; this process's environment when None.
        clock: monotonic seconds. sleep: waits seconds; when None, waits that `close` can end. rng: draws the jitter.
        wall_clock: seconds since the Unix epoch, to interpret the date of a `Retry-After`.

    Raises:
        UsageError: an environment variable that the settings name is not set, the CA bundle cannot be read, or a secret would
            cross the network in plain http.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        token_provider: TokenSource | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
        rng: random.Random | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        # The libraries of HTTP and sign-in take long to import, and what only looks at a job's records sends no request.
        from omnia_beam.net.auth.token_provider import TokenProvider
        from omnia_beam.net.http.transport import Transport

        self.settings = settings
        self._headers = request_headers(settings, os.environ if environ is None else environ)
        self._clock = clock
        self._wall_clock = wall_clock
        self._rng = rng or random.Random()  # noqa: S311  # jitter needs no cryptographic randomness
        self._closed = threading.Event()
        self._sleep_for = sleep or self._closed.wait
        check_plain_http(settings, is_signed_in=token_provider is not None)
        self._tokens: TokenSource = token_provider or TokenProvider.of(
            settings.credential, settings.resource_id, environ, wall_clock, self._sleep
        )
        self._sign_in = None if token_provider else settings.credential.sign_in(environ, clock)
        self._limiter = RateLimiter(
            settings.requests_per_second, settings.max_in_flight, clock=clock, sleep=self._sleep
        )
        self.stats = SessionStats(self._limiter)
        guard_logs()
        check_ca_bundle(settings.ca_bundle)
        self._transport = Transport(
            pool_size=settings.max_in_flight,
            ca_bundle=settings.ca_bundle,
            connect_timeout_s=settings.connect_timeout_s,
            read_timeout_s=settings.read_timeout_s,
            sign_in=self._sign_in,
        )

    def __repr__(self) -> str:
        return f"ServiceSession({self.settings.base_url!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a ServiceSession holds sockets and a token and cannot be pickled: pickle its ServiceSettings and call "
            "shared_session(settings) where it is used"
        )

    def send(
        self,
        method: str,
        path: str,
        *,
        idempotent: bool,
        params: Query = (),
        json_body: Any = None,
        accept: str = JSON,
        timeout: float | None = None,
        most_bytes: int = MAX_BODY_BYTES,
        before: Callable[[], object] = lambda: None,
    ) -> Response:
        """Send one request and return its successful response.

        Args:
            method: `GET`, `POST`, …
            path: below the base URL, without a slash in front; `""` is the base URL itself. See `paths.path_of`.
            idempotent: whether the service may get the same request twice. If so it is sent again after any transient
                failure. If not, only when no byte of it can have reached the service (no connection), or when the
                response itself shows that nothing was done: 425, 429, and 503 with a `Retry-After`.
            params: query pairs, in order, repeated as needed.
            json_body: bytes are sent unchanged, everything else as JSON; None sends no body.
            accept: `application/json` or `application/protobuf`; a response of another type is refused.
            timeout: seconds that one attempt may take in all; the settings' when None.
            most_bytes: a larger response is refused; see `body.most_page_bytes`.
            before: called immediately before each attempt is sent; an exception that it raises ends the request.

        Raises:
            ServiceError: the class is the kind of failure, the message names what failed, where and what to do; see `core.errors`.
            CredentialError: no token could be obtained.
            UsageError: a body with a NaN or an infinity, which JSON cannot represent.
        """
        call = _Call(
            method=method,
            path=f"/{path}",
            url=f"{self.settings.base_url}/{path}" if path else self.settings.base_url,
            params=params,
            body=_encoded(json_body),
            accept=accept,
            idempotent=idempotent,
            timeout_s=self.settings.attempt_timeout_s if timeout is None else timeout,
            most_bytes=most_bytes,
            before=before,
        )
        self.stats.request()
        try:
            return self.settings.retry.run(
                lambda retry_for_s: self._attempt(call, retry_for_s),
                clock=self._clock,
                sleep=lambda seconds, error: self._before_retry(call, seconds, error),
                rng=self._rng,
            )
        except (NotFoundError, NotTheServiceError) as error:
            found = error
        raise self._nothing_there(call, found) or found

    def sign_in(self) -> str | None:
        """Get ahead of any request what signs it in, or raise CredentialError; return what it is, None where nothing is needed."""
        if self._sign_in is not None:
            return self._sign_in.ready(host_of(self.settings.base_url))
        return "a token" if self._tokens.token() is not None else None

    @property
    def is_throttled(self) -> bool:
        """Whether a request waits at this moment because of the service: see `StatsSnapshot.throttled_s`."""
        return self._limiter.throttled.is_running

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    def close(self) -> None:
        """End requests under way (those calls raise `TerminalServiceError`) and refuse further ones."""
        self._closed.set()
        self._transport.close()

    def __enter__(self) -> ServiceSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _attempt(self, call: _Call, retry_for_s: float) -> Response:
        call.tries += 1
        response = self._follow(call, self._tokens.token, retry_for_s)
        refused = call.token
        if response.status == 401 and refused is not None and not call.renewed:
            call.renewed = True
            fresh = self._tokens.renew(refused)
            if fresh not in (None, refused):
                response = self._follow(call, lambda: fresh, retry_for_s)
        if not 200 <= response.status < 300:
            raise self._refused(call, response)
        strange = wrong_content(response, call.method, call.path, call.accept)
        if strange is not None:
            raise AttemptFailed(strange, repeatable=False)
        return Response(response.status, response.headers, response.body, call.tries, call.method, call.path)

    def _nothing_there(self, call: _Call, error: ServiceError) -> NotTheServiceError | None:
        """Return the error for a 404 where no request has succeeded yet and the base URL itself gets a 404 too; else None."""
        if error.status != 404 or call.method not in ("GET", "POST") or self.stats.has_succeeded:
            return None
        if isinstance(error, NotFoundError) and (call.path, call.params) != ("/", _ANYTHING):
            try:
                self.send("GET", "", params=_ANYTHING, idempotent=True)
            except ServiceError as at_root:
                return at_root if isinstance(at_root, NotTheServiceError) and at_root.status == 404 else None
            return None
        return wrong_address(self.settings.base_url, error)

    def _follow(self, call: _Call, token_of: Callable[[], str | None], retry_for_s: float) -> RawResponse:
        """Return the response, after redirects within the service."""
        url, params = call.url, call.params
        for _ in range(MAX_REDIRECTS + 1):
            response = self._exchange(call, url, params, token_of, retry_for_s)
            if response.status not in REDIRECTS:
                return response
            try:
                url, params = redirect_target(url, call.method, response.status, response.headers), ()
            except RedirectRefused as refused:
                raise AttemptFailed(_terminal(call, str(refused), response.status), repeatable=False) from None
        raise AttemptFailed(_terminal(call, f"more than {MAX_REDIRECTS} redirects in a row"), repeatable=False)

    def _exchange(
        self, call: _Call, url: str, params: Query, token_of: Callable[[], str | None], retry_for_s: float
    ) -> RawResponse:
        if self._closed.is_set():
            raise AttemptFailed(_terminal(call, "not sent: the session was closed"), repeatable=False)
        failure: TransportFailure | None = None
        wait_s = 0.0
        size = len(call.body or b"")
        try:
            with self._limiter.slot(retry_for_s, is_again=call.tries > 1):
                # The token is fetched here so that an attempt that waited for a slot does not send an old one.
                headers = self._headers_of(call, token_of())
                call.before()
                started = self._clock()
                response = self._transport.exchange(
                    call.method,
                    url,
                    params=params,
                    body=call.body,
                    headers=headers,
                    timeout_s=call.timeout_s,
                    most_bytes=call.most_bytes,
                    between=lambda step: self._between(step, size, retry_for_s),
                )
                self.stats.answered(response.status, size, response.wire_bytes)
                values = (
                    call.method,
                    call.path,
                    response.status,
                    response.wire_bytes,
                    1_000 * (self._clock() - started),
                )
                log.debug("%s %s: %d, %d bytes, %.0f ms", *values)
                # Reported inside the slot, so that the next request sees the pause.
                self._report(started, response)
                return response
        except TransportFailure as caught:
            failure = caught
        except PausedTooLong as caught:
            wait_s = caught.wait_s
        if failure is None:
            raise AttemptFailed(_paused(call, wait_s), repeatable=True)
        self.stats.failed(failure.kind, size if failure.sent else 0)
        raise AttemptFailed(_lost(call, failure), repeatable=_may_repeat(call, failure))

    def _between(self, step: RawResponse, size: int, retry_for_s: float) -> None:
        """Count a step of a sign-in, and wait for the turn of the next one."""
        self.stats.answered(step.status, size, step.wire_bytes)
        self._limiter.turn(retry_for_s)

    def _headers_of(self, call: _Call, token: str | None) -> dict[str, str]:
        headers = {**self._headers, "Accept": call.accept}
        if call.body is not None:
            headers["Content-Type"] = JSON
        call.token = token
        if token is not None:
            remember_token(token)
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _report(self, started: float, response: RawResponse) -> None:
        """Report to the limiter how a request went, so that others wait where the service is overloaded."""
        requested = retry_after_s(response.headers, self._wall_clock())
        if response.status == 429 or (response.status == 503 and requested):
            # A 429 that allows another try at once shows nothing about the rate.
            if requested != 0:
                self._limiter.refused(started, requested, is_unavailable=response.status == 503)
        else:
            self._limiter.accepted(started)

    def _refused(self, call: _Call, response: RawResponse) -> AttemptFailed:
        requested = retry_after_s(response.headers, self._wall_clock())
        error = error_of(response, call.method, call.path, requested)
        again = is_transient(response.status) and (call.idempotent or was_not_acted_on(response.status, requested))
        if not again and isinstance(error, TransientServiceError):
            error.message += _NOT_SENT_AGAIN
        return AttemptFailed(error, repeatable=again)

    def _before_retry(self, call: _Call, seconds: float, error: ServiceError) -> None:
        self.stats.retry()
        level = logging.WARNING if seconds >= _LONG_WAIT_S else logging.INFO
        log.log(level, "%s; trying again in %.1f s (attempt %d)", error, seconds, call.tries + 1)
        if isinstance(error, ThrottledError):
            with self._limiter.throttled.running():
                self._sleep(seconds)
        else:
            self._sleep(seconds)

    def _sleep(self, seconds: float) -> None:
        self._sleep_for(seconds)
        if self._closed.is_set():
            raise TerminalServiceError("abandoned while waiting for another try: the session was closed")


_ANYTHING: Final = [("limit", "1")]  # the smallest request: any one series
_NOT_SENT_AGAIN = ". Not sent again: the service may have acted on it; check before repeating"


def _encoded(json_body: Any) -> bytes | None:
    if json_body is None or isinstance(json_body, bytes):
        return json_body
    try:
        return json.dumps(json_body, allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode()
    except ValueError as error:
        raise UsageError(f"a request body that JSON cannot hold: {error}") from None


def _terminal(call: _Call, reason: str, status: int | None = None) -> TerminalServiceError:
    return TerminalServiceError(
        f"{call.method} {call.path}: {reason}", method=call.method, path=call.path, status=status
    )


def _paused(call: _Call, wait_s: float) -> ThrottledError:
    return ThrottledError(
        f"{call.method} {call.path}: not sent, the service requires this client to wait",
        method=call.method,
        path=call.path,
        retry_after_s=wait_s,
    )


def _lost(call: _Call, failure: TransportFailure) -> ServiceError:
    kind: type[ServiceError] = TransientServiceError
    if failure.kind in NO_CONNECTION:
        kind = UnreachableError
    elif failure.hopeless:
        kind = TerminalServiceError
    text = f"{call.method} {call.path} at {origin_text(call.url)}: {failure.reason}"
    if failure.sent and not call.idempotent:
        text += _NOT_SENT_AGAIN
    return kind(text, method=call.method, path=call.path)


def _may_repeat(call: _Call, failure: TransportFailure) -> bool:
    return not failure.hopeless and (call.idempotent or not failure.sent)
