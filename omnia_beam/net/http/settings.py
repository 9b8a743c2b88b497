"""The settings that a process needs to use one service: plain data without secrets, fit to be sent to workers."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, get_args

from omnia_beam import __version__
from omnia_beam.config.fields import check_base_url
from omnia_beam.core.addresses import is_loopback
from omnia_beam.core.errors import UsageError
from omnia_beam.core.redaction import remember_secret
from omnia_beam.core.timestamps import NS_PER_SECOND
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.net.auth.options import CredentialOptions
from omnia_beam.net.http.environments import environment
from omnia_beam.net.http.options import FederationSource, RateOptions, ServiceOptions, TimeoutsOptions, exposed_secret
from omnia_beam.net.http.retry import RetryPolicy

log = logging.getLogger(__name__)

_THREADS_A_REQUEST: Final = 8

ANONYMOUS = CredentialSpec("anonymous")
USER_AGENT = f"omnia-beam/{__version__}"

FEDERATION_SOURCES: Final[tuple[str, ...]] = get_args(FederationSource)

_SHORT_S: Final = 20.0
_RATE: Final = RateOptions()
_TIMEOUTS: Final = TimeoutsOptions()


@dataclass(frozen=True)
class ServiceSettings:
    """One service, how to sign in to it, and the limits for its use: hashable, equal by value, picklable.

    Attributes:
        base_url: of the API, such as `https://api.gateway.equinor.com/plant/timeseries/v1.7`; http or https.
        resource_id: the OAuth resource for which tokens are requested; None only where no token is needed.
        credential: how to sign in; names environment variables and files, holds no secret.
        federation_source: `IMS`, `TSDB` or `DataLake` as the default of reads; None leaves it to the service.
        requests_per_second: the budget of this process; None for no pacing.
        max_in_flight: requests under way at a time, and the size of the connection pool.
        connect_timeout_s: seconds for a TCP connection and its TLS handshake.
        read_timeout_s: seconds of the longest silence of the service.
        attempt_timeout_s: seconds that one attempt may take in all, so that a response that drips ends too.
        retry: how often and how long a request is tried.
        subscription_key_env: the environment variable that holds the gateway's `Ocp-Apim-Subscription-Key`.
        ca_bundle: a PEM file of the authorities to trust; None leaves it to REQUESTS_CA_BUNDLE and certifi.
        compression: lets the service compress responses with gzip where it can.
        user_agent: the `User-Agent` header.
        headers: further headers of every request, name and value; no secrets.
        allow_plain_http: lets secrets cross the network in plain http; a session warns of it.

    Raises:
        UsageError: a value is invalid; the message names it.

    Examples:
        >>> service = ServiceSettings(base_url="http://127.0.0.1:8080/plant/timeseries/v1.7", requests_per_second=5.0)
        >>> service.max_in_flight
        8
    """

    base_url: str
    resource_id: str | None = None
    credential: CredentialOptions = ANONYMOUS
    federation_source: str | None = None
    requests_per_second: float | None = _RATE.requests_per_second
    max_in_flight: int = _RATE.max_in_flight
    connect_timeout_s: float = _TIMEOUTS.connect / NS_PER_SECOND
    read_timeout_s: float = _TIMEOUTS.read / NS_PER_SECOND
    attempt_timeout_s: float = _TIMEOUTS.attempt / NS_PER_SECOND
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    subscription_key_env: str | None = None
    ca_bundle: str | None = None
    compression: bool = True
    user_agent: str = USER_AGENT
    headers: tuple[tuple[str, str], ...] = ()
    allow_plain_http: bool = False

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "base_url", check_base_url(self.base_url))
        except ValueError as error:
            raise UsageError(f"base_url {error}") from None
        checked_federation_source(self.federation_source)
        _ = self.scope  # raises for a credential without a resource id
        if self.requests_per_second is not None and not _positive(self.requests_per_second):
            raise UsageError(f"requests_per_second is {self.requests_per_second}: more than 0, or None for no limit")
        if self.max_in_flight < 1:
            raise UsageError(f"max_in_flight is {self.max_in_flight}: at least 1")
        for name in ("connect_timeout_s", "read_timeout_s", "attempt_timeout_s"):
            if not _positive(getattr(self, name)):
                raise UsageError(f"{name} is {getattr(self, name)}: a number of seconds above 0")

    @classmethod
    def of(cls, options: ServiceOptions, federation_source: str | None = None) -> ServiceSettings:
        """Return the settings of a configured service, with the whole budget of the job."""
        endpoint = environment(options.environment).timeseries if options.environment else None
        base_url = endpoint.base_url if endpoint else options.base_url or ""
        return cls(
            base_url=base_url,
            resource_id=endpoint.resource_id if endpoint else options.resource_id,
            credential=options.credential,
            federation_source=federation_source,
            requests_per_second=options.rate.requests_per_second,
            max_in_flight=options.rate.max_in_flight,
            connect_timeout_s=options.timeouts.connect / NS_PER_SECOND,
            read_timeout_s=options.timeouts.read / NS_PER_SECOND,
            attempt_timeout_s=options.timeouts.attempt / NS_PER_SECOND,
            retry=RetryPolicy.of(options.retry),
            subscription_key_env=options.subscription_key_env,
            ca_bundle=options.ca_bundle,
            compression=not is_loopback(base_url),  # on this machine gzip costs more than it saves
            allow_plain_http=options.allow_plain_http,
        )

    @property
    def scope(self) -> str | None:
        """The OAuth scope of tokens; None where no token is needed."""
        return self.credential.scope(self.resource_id)

    @property
    def threads(self) -> int:
        """Threads that keep `max_in_flight` requests under way although some wait before they send theirs again."""
        return _THREADS_A_REQUEST * self.max_in_flight

    def with_short_retries(self) -> ServiceSettings:
        """Return settings that give a request up within 20 seconds, for questions that may stay open."""
        policy = replace(self.retry, attempts=min(2, self.retry.attempts), deadline_s=_SHORT_S)
        return replace(self, retry=policy)

    def divided(self, parts: int) -> list[ServiceSettings]:
        """Return settings of the same service for several processes, each with its part: together they have exactly this budget.

        Raises:
            UsageError: more parts than requests may be in flight.
        """
        if not 1 <= parts <= self.max_in_flight:
            raise UsageError(f"{self.max_in_flight} requests in flight cannot be divided among {parts} processes")
        rate = None if self.requests_per_second is None else self.requests_per_second / parts
        each, more = divmod(self.max_in_flight, parts)
        return [replace(self, requests_per_second=rate, max_in_flight=each + (part < more)) for part in range(parts)]


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


def check_plain_http(settings: ServiceSettings, *, is_signed_in: bool) -> None:
    """Refuse to send a secret over the network in plain http; log a warning where the settings allow it.

    Args:
        settings: of the service.
        is_signed_in: whether requests carry tokens that are not those of the settings' credential.

    Raises:
        UsageError: the settings do not allow it.
    """
    sent = "token" if is_signed_in else settings.credential.sends
    exposed = exposed_secret(settings.base_url, sent, settings.subscription_key_env)
    if exposed is None:
        return
    if not settings.allow_plain_http:
        raise UsageError(f"base_url {settings.base_url}: {exposed}: use https, or allow it by allow_plain_http: true")
    log.warning("%s: %s, which allow_plain_http allows", settings.base_url, exposed)


def check_ca_bundle(path: str | None) -> None:
    """Check that a file of authorities can be read.

    Raises:
        UsageError: it cannot.
    """
    if path is not None and not os.access(path, os.R_OK):
        raise UsageError(f"ca_bundle {path} cannot be read here: it must be a PEM file, on a cluster on every worker")


def request_headers(settings: ServiceSettings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that every request to the service carries, but for the token.

    Raises:
        UsageError: the environment variable of the subscription key is not set.
    """
    headers = {
        **dict(settings.headers),
        "User-Agent": settings.user_agent,
        "Accept-Encoding": "gzip" if settings.compression else "identity",
    }
    name = settings.subscription_key_env
    if name is not None:
        key = environ.get(name, "").strip()
        if not key:
            raise UsageError(
                f"the environment variable {name} (subscription_key_env) is not set: it must hold the "
                "gateway's subscription key"
            )
        remember_secret(key)
        headers["Ocp-Apim-Subscription-Key"] = key
    return headers


def checked_federation_source(source: str | None) -> str | None:
    """Return the source unchanged.

    Raises:
        UsageError: it is not one of `FEDERATION_SOURCES`.
    """
    if source is not None and source not in FEDERATION_SOURCES:
        raise UsageError(f"federation source {source!r}: choose {', '.join(FEDERATION_SOURCES)}, or none")
    return source


def check_service(service: object, what: str) -> None:
    """Check an argument that has to be a service.

    Args:
        service: as the caller gave it.
        what: takes it, for the message.

    Raises:
        ValueError: it is something else, such as a URL.
    """
    if not isinstance(service, ServiceSettings):
        raise ValueError(f"{what} takes ServiceSettings, not {type(service).__name__}: ServiceSettings(base_url=…)")
