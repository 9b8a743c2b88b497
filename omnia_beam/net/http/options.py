"""The keys for reaching a service: its address, the credential, and the limits that requests keep.

`ServiceSettings.of` turns them into what a session takes. A connection of another kind has a model of its own, made of the same
parts: a credential's, `RateOptions`, `RetryOptions`, `TimeoutsOptions`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, model_validator

from omnia_beam.config.fields import BaseUrl, Duration, DurationOrZero, PathText, Text, VariableName
from omnia_beam.config.section import Section, key, problem
from omnia_beam.core.addresses import is_loopback
from omnia_beam.core.limits import MAX_POINTS_PER_RESPONSE
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.net.http.environments import EnvironmentName

FederationSource = Literal["IMS", "TSDB", "DataLake"]
"""Where the service looks for data: `IMS` is the live PI or IP.21 source, `TSDB` the database, `DataLake` is two days behind it
and may hold older data. [sdk] Each may respond differently, so the source belongs in every key of a result."""


class RateOptions(Section):
    """The budget of the whole job, all workers together."""

    requests_per_second: float | None = key(
        "Requests a second at most; `null` for no limit, which is only for a service of your own.", 20.0, gt=0
    )
    max_in_flight: int = key("Requests under way at a time, at most.", 8, ge=1, le=1024)


class RetryOptions(Section):
    """How often and how long one request is tried: exponential waits with full jitter; `Retry-After` takes precedence."""

    attempts: int = key("Tries of one request, the first included; a 429 uses up none.", 10, ge=1, le=1000)
    deadline: Duration = key("Time after the first failure within which a further try may start.", "10m")
    first_wait: DurationOrZero = key("Longest wait before the second try; it doubles from there.", "500ms")
    max_wait: DurationOrZero = key("Longest wait between two tries.", "60s")


class TimeoutsOptions(Section):
    """How long the service may keep a request waiting."""

    connect: Duration = key("For the connection and its TLS handshake.", "10s")
    read: Duration = key("Longest silence of the service.", "120s")
    attempt: Duration = key("Longest that one try may take in all.", "5m")


def _one_address(schema: dict[str, Any]) -> None:
    schema["oneOf"] = [{"required": ["environment"]}, {"required": ["base_url"]}]


class ServiceOptions(Section):
    """An Omnia Timeseries service and the limits that requests to it keep."""

    model_config = ConfigDict(json_schema_extra=_one_address)
    starter: ClassVar = {"environment": ""}

    environment: EnvironmentName | None = key(
        "The service's environment, which gives address and resource id; or `base_url` instead.", None
    )
    base_url: BaseUrl | None = key(
        "The service's address up to the version, such as `http://127.0.0.1:8080/plant/timeseries/v1.7`; or "
        "`environment` instead.",
        None,
    )
    resource_id: Text | None = key(
        "OAuth resource that tokens are requested for; with `base_url`, wherever the credential is not `anonymous`.",
        None,
    )
    credential: CredentialSpec = key("How to sign in.")
    subscription_key_env: VariableName | None = key(
        "Environment variable that holds the gateway's `Ocp-Apim-Subscription-Key`.", None
    )
    ca_bundle: PathText | None = key(
        "PEM file of the authorities to trust for TLS; otherwise `REQUESTS_CA_BUNDLE` or the usual ones.", None
    )
    format: Literal["protobuf", "json"] = key("Format of the service's responses.", "protobuf")
    page_limit: int = key(
        "Points in one response, at most: the `limit` of a request.",
        MAX_POINTS_PER_RESPONSE,
        ge=1,
        le=MAX_POINTS_PER_RESPONSE,
    )
    rate: RateOptions = key("The budget of the whole job, all workers together.", default_factory=RateOptions)
    retry: RetryOptions = key("How often and how long one request is tried.", default_factory=RetryOptions)
    timeouts: TimeoutsOptions = key("How long the service may keep a request waiting.", default_factory=TimeoutsOptions)
    allow_plain_http: bool = key(
        "Allow the token or key to cross the network in plain http, for all to read; each run warns of it.", False
    )

    @model_validator(mode="after")
    def _has_one_address(self) -> ServiceOptions:
        if self.environment is None and self.base_url is None:
            raise problem("needs an address: environment (dev, test or prod) or base_url")
        if self.environment is not None and self.base_url is not None:
            raise problem("environment and base_url exclude each other: remove one of the two", at="base_url")
        if self.environment is not None and self.resource_id is not None:
            raise problem(f"environment {self.environment} has its own resource id: remove the key", at="resource_id")
        return self

    @model_validator(mode="after")
    def _sends_secrets_safely(self) -> ServiceOptions:
        if self.base_url is None:
            return self
        if self.credential.sends and self.resource_id is None:
            raise problem(
                f"credential {self.credential.kind} needs the OAuth resource that tokens are requested for, with base_url",
                at="resource_id",
            )
        exposed = exposed_secret(self.base_url, self.credential.sends, self.subscription_key_env)
        if exposed is not None and not self.allow_plain_http:
            raise problem(f"{exposed}: use https, or allow it by allow_plain_http: true", at="base_url")
        return self


def exposed_secret(base_url: str, sent: str | None, subscription_key_env: str | None) -> str | None:
    """Return what is wrong with requests that carry a secret over the network in plain http; None where none do.

    Args:
        base_url: of the service.
        sent: what `CredentialOptions.sends`.
        subscription_key_env: the variable of the subscription key, where requests carry one.
    """
    secret = sent or ("subscription key" if subscription_key_env is not None else None)
    if secret is None or urlsplit(base_url).scheme != "http" or is_loopback(base_url):
        return None
    return f"plain http would carry the {secret} over the network for all to read"
