"""The settings that a process needs to use one service: plain data without secrets, fit to be sent to workers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

from omnia_beam import __version__
from omnia_beam.core.errors import UsageError
from omnia_beam.core.redaction import remember_secret
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.net.http.federation import checked_federation_source
from omnia_beam.net.http.retry import RetryPolicy

_THREADS_A_REQUEST: Final = 8

ANONYMOUS = CredentialSpec(kind="anonymous")
USER_AGENT = f"omnia-beam/{__version__}"


@dataclass(frozen=True)
class ServiceSettings:
    """One service, how to sign in to it, and the limits for its use: hashable, equal by value, picklable.

    Attributes:
        base_url: of the API, such as `https://api.gateway.equinor.com/plant/timeseries/v1.7`; http or https.
        resource_id: the OAuth resource for which tokens are requested; None only where no token is needed.
        credential: how to get a token; names environment variables and files, holds no secret.
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

    Raises:
        UsageError: a value is invalid; the message names it.

    Examples:
        >>> service = ServiceSettings(base_url="http://127.0.0.1:8080/plant/timeseries/v1.7", requests_per_second=5.0)
        >>> service.max_in_flight
        8
    """

    base_url: str
    resource_id: str | None = None
    credential: CredentialSpec = ANONYMOUS
    federation_source: str | None = None
    requests_per_second: float | None = 20.0
    max_in_flight: int = 8
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 120.0
    attempt_timeout_s: float = 300.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    subscription_key_env: str | None = None
    ca_bundle: str | None = None
    compression: bool = True
    user_agent: str = USER_AGENT

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", _checked_base_url(self.base_url))
        checked_federation_source(self.federation_source)
        _ = self.scope  # raises for a credential without a resource id
        if self.requests_per_second is not None and not _positive(self.requests_per_second):
            raise UsageError(f"requests_per_second is {self.requests_per_second}: more than 0, or nothing for no limit")
        if self.max_in_flight < 1:
            raise UsageError(f"max_in_flight is {self.max_in_flight}: at least 1")
        for name in ("connect_timeout_s", "read_timeout_s", "attempt_timeout_s"):
            if not _positive(getattr(self, name)):
                raise UsageError(f"{name} is {getattr(self, name)}: a number of seconds above 0")

    @property
    def scope(self) -> str | None:
        """The OAuth scope of tokens; None where no token is needed."""
        return self.credential.scope(self.resource_id)

    @property
    def threads(self) -> int:
        """Threads that keep `max_in_flight` requests under way although some wait before they send theirs again."""
        return _THREADS_A_REQUEST * self.max_in_flight

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


def _checked_base_url(text: str) -> str:
    """Return the URL without a slash at its end.

    Raises:
        UsageError: it is not an http or https URL, or it has a user, a password, a query or a fragment.
    """
    example = "write it like https://api.gateway.equinor.com/plant/timeseries/v1.7"
    try:
        parts = urlsplit(text.strip())
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"base_url {text!r} is not a URL ({error}): {example}") from None
    if parts.username or parts.password:
        # The message does not repeat the text, because it holds a secret.
        raise UsageError("base_url holds a user name or password: name them under credential instead")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"base_url {text!r} is not an http or https URL: {example}")
    if parts.query or parts.fragment:
        raise UsageError(f"base_url {text!r} has a query or a fragment: {example}")
    return text.strip().rstrip("/")


def request_headers(settings: ServiceSettings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that every request to the service carries, but for the token.

    Raises:
        UsageError: the environment variable of the subscription key is not set.
    """
    headers = {
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
