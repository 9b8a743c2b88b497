"""The clients of object stores, built from settings and environment where they are used, once a process and container."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from omnia_beam.core.errors import UsageError
from omnia_beam.core.redaction import remember_secret
from omnia_beam.store.place import Location, Service, SignIn, StorageEntry

_RETRIES: Final = 8
_RETRY_S: Final = 120
_REQUEST_S: Final = 120
_CONNECT_S: Final = 10
_AZURE_RESOURCE: Final = "https://storage.azure.com"
_LOOPBACK_NAMES: Final = "localhost,127.0.0.0/8,::1"
_NO_PROXY_AT_ALL: Final = "http://127.0.0.1:9"
"""Stands for a proxy that no request reaches, since the hosts of this machine are excluded from it."""

_ENDPOINT_VARIABLES: Final[dict[Service, tuple[str, ...]]] = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
    "gs": ("STORAGE_EMULATOR_HOST",),
}
_SECRET_VARIABLES: Final = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_MASTER_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TOKEN",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
)
"""Variables with secrets that obstore reads by itself."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container of Azure or a bucket, and how it is reached. It holds no secret.

    Args:
        service: `az`, `s3` or `gs`.
        name: of the container or bucket.
        account: the storage account of Azure; None elsewhere.
        endpoint: URL of the service; None for the cloud's own.
        entry: settings; None where the environment configures all.
    """

    service: Service
    name: str
    account: str | None = None
    endpoint: str | None = None
    entry: StorageEntry | None = None

    @classmethod
    def of(cls, location: Location) -> Container:
        """Return the container of a place.

        Raises:
            UsageError: the storage account is not known.
        """
        account = location.known_account() if location.service == "az" else None
        return cls(location.service, location.container, account, location.endpoint, location.entry)

    def client(self) -> Any:
        """Return this process's client.

        Raises:
            UsageError: a setting or a variable that it names is missing, or the endpoint would carry secrets in the clear.
        """
        return open_client(self, os.getpid())


@lru_cache(maxsize=64)
def open_client(container: Container, pid: int) -> Any:
    """Return a new client. `pid` keeps a forked process from the client of its parent, whose threads it does not have."""
    from obstore.exceptions import BaseError

    for name in _SECRET_VARIABLES:
        remember_secret(os.environ.get(name, ""))
    entry = container.entry or StorageEntry("")
    endpoint = _endpoint(container, entry)
    options = {
        "client_options": _client_options(endpoint),
        "retry_config": {
            "max_retries": _RETRIES,
            "retry_timeout": timedelta(seconds=_RETRY_S),
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=10), "base": 2},
        },
        **({"skip_signature": True} if entry.anonymous else {}),
    }
    try:
        return _MAKERS[container.service](container, entry, endpoint, options)
    except BaseError as error:
        text = str(error).partition("\n")[0]
    # Raised outside the except block so that it does not carry obstore's exception, which may show settings.
    raise UsageError(f"{container.service}://{container.name}: the store cannot be used: {text}")


def _azure(container: Container, entry: StorageEntry, endpoint: str | None, options: dict[str, Any]) -> Any:
    from obstore.store import AzureStore

    if entry.account_key_env is not None:
        options["account_key"] = _variable(entry.account_key_env, "account_key_env")
    elif entry.sas_token_env is not None:
        options["sas_key"] = _variable(entry.sas_token_env, "sas_token_env").lstrip("?")
    elif entry.credential is not None and entry.credential.kind != "anonymous":
        options["credential_provider"] = _AzureTokens(entry.credential)
    elif entry.credential is not None:
        options["skip_signature"] = True
    if endpoint is not None:
        options["endpoint"] = endpoint
    return AzureStore(container.name, account_name=container.account, **options)


def _s3(container: Container, entry: StorageEntry, endpoint: str | None, options: dict[str, Any]) -> Any:
    from obstore.store import S3Store

    if endpoint is not None:
        options["endpoint"] = endpoint
    if entry.region is not None:
        options["region"] = entry.region
    if os.environ.get("AWS_PROFILE") and not os.environ.get("AWS_ACCESS_KEY_ID") and not entry.anonymous:
        options["credential_provider"] = _of_profile()
    return S3Store(container.name, **options)


def _google(container: Container, entry: StorageEntry, endpoint: str | None, options: dict[str, Any]) -> Any:
    from obstore.store import GCSStore

    if endpoint is not None:
        options["base_url"] = endpoint
    if (
        endpoint is not None and entry.anonymous
    ):  # unsigned writes would ask Google's metadata server for a token all the same
        nobody = {"client_email": "", "private_key": "", "private_key_id": ""}
        options["service_account_key"] = json.dumps({"gcs_base_url": endpoint, "disable_oauth": True, **nobody})
    return GCSStore(container.name, **options)


_MAKERS: Final[dict[Service, Callable[[Container, StorageEntry, str | None, dict[str, Any]], Any]]] = {
    "az": _azure,
    "s3": _s3,
    "gs": _google,
}


class _AzureTokens:
    """Gives obstore the tokens of a credential of azure-identity, which renews them by itself."""

    def __init__(self, sign_in: SignIn) -> None:
        self._credential = sign_in.build()

    def __call__(self) -> dict[str, Any]:
        token = self._credential.get_token(f"{_AZURE_RESOURCE}/.default")
        remember_secret(token.token)
        return {"token": token.token, "expires_at": datetime.fromtimestamp(token.expires_on, UTC)}


def _of_profile() -> Any:
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        raise UsageError(
            "AWS_PROFILE is set, and profiles are read by boto3, which is not installed: pip install boto3, or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    return Boto3CredentialProvider()


def _variable(name: str, key: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise UsageError(f"storage.{key}: the environment variable {name} is not set: set it, on workers too")
    remember_secret(value)
    return value


def _endpoint(container: Container, entry: StorageEntry) -> str | None:
    named = next((os.environ[each] for each in _ENDPOINT_VARIABLES[container.service] if os.environ.get(each)), None)
    endpoint = entry.endpoint or container.endpoint or named
    if endpoint is not None and "://" not in endpoint:
        endpoint = f"http://{endpoint}"
    if endpoint is not None and endpoint.startswith("http://") and not _is_loopback(endpoint):
        raise UsageError(
            f"{endpoint}: plain http would carry keys and data over the network for all to read: use https. Plain http is "
            "allowed to this machine alone"
        )
    return endpoint.rstrip("/") if endpoint is not None else None


def _client_options(endpoint: str | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        "timeout": timedelta(seconds=_REQUEST_S),
        "connect_timeout": timedelta(seconds=_CONNECT_S),
    }
    if endpoint is not None and _is_loopback(endpoint):
        options |= {"proxy_url": _NO_PROXY_AT_ALL, "proxy_excludes": _LOOPBACK_NAMES}
        options["allow_http"] = endpoint.startswith("http://")
    return options


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
