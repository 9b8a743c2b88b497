"""Build the azure-identity credential that the keys below `credential:` describe.

azure-identity (1.27) and msal (1.39) treat their options as follows, according to their source:

- All their requests go through one azure-core pipeline over `requests`. A private CA works through `connection_verify=` (our
  `ca_bundle`) and, where that is not given, through REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE; proxies through HTTPS_PROXY,
  HTTP_PROXY and NO_PROXY. The session below is ours, so that no request for this machine goes to a proxy: an identity
  endpoint (App Service, Arc, Service Fabric, IMDS) gets a secret header and responds with a token, in plain http.
- azure-core retries by itself: up to three times for a status, sleeping for as long as a Retry-After says, an hour if need be.
  We turn that off (`retry_total=0`) and retry in `TokenProvider`, which has a bound. Only the identity endpoint of a
  machine keeps it, because Microsoft prescribes its rhythm there.
- Each time-out is 300 s unless given.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from azure.core.credentials import TokenCredential
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import (
    AuthenticationRecord,
    CertificateCredential,
    ClientSecretCredential,
    DefaultAzureCredential,
    DeviceCodeCredential,
    InteractiveBrowserCredential,
    ManagedIdentityCredential,
    OnBehalfOfCredential,
    TokenCachePersistenceOptions,
)

from omnia_beam.core.errors import UsageError
from omnia_beam.core.redaction import guard_logs, redact, remember_secret
from omnia_beam.net.auth.keys import AzureKeys
from omnia_beam.net.auth.secrets import Secrets
from omnia_beam.net.auth.user_sign_in import UserSignIn, record_path
from omnia_beam.net.http.transport import ProxySession

_CERTIFICATE_PATH_OF_AZURE: Final = "AZURE_CLIENT_CERTIFICATE_PATH"
"""The variable of azure-identity's own environment credential; the Omnia SDK uses AZURE_CLIENT_CERT_PATH."""

_SECRETS_OF_THE_CHAIN: Final = (
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_PASSWORD",
    "IDENTITY_HEADER",
    "MSI_SECRET",
)
"""Variables with secrets that azure-identity reads by itself."""


def build(keys: AzureKeys, environ: Mapping[str, str] | None) -> TokenCredential:
    """Return the credential that the keys describe; see `CredentialSpec.build`. The kind is not anonymous."""
    for name in _SECRETS_OF_THE_CHAIN:
        remember_secret(os.environ.get(name, ""))
    make = _MAKERS[keys.kind]
    try:
        credential = make(keys, Secrets(keys, environ))
    except (ValueError, TypeError) as error:
        reason = redact(str(error))
    else:
        guard_logs()
        return credential
    # Raised outside the except block so that it does not carry azure-identity's exception with its frames.
    raise UsageError(f"the credential of kind {keys.kind!r} cannot be built: {reason}")


def _client_secret(keys: AzureKeys, secrets: Secrets) -> TokenCredential:
    return ClientSecretCredential(
        secrets.id("tenant_id"),
        secrets.id("client_id"),
        secrets.secret("client_secret"),
        **_authority_options(keys, secrets),
    )


def _client_certificate(keys: AzureKeys, secrets: Secrets) -> TokenCredential:
    tenant_id, client_id, path = secrets.id("tenant_id"), secrets.id("client_id"), _certificate_path(keys, secrets)
    return _with_certificate(
        path,
        lambda: CertificateCredential(
            tenant_id,
            client_id,
            path,
            password=secrets.optional_secret("certificate_password"),
            send_certificate_chain=keys.send_certificate_chain,
            **_authority_options(keys, secrets),
        ),
    )


def _on_behalf_of(keys: AzureKeys, secrets: Secrets) -> TokenCredential:
    tenant_id, client_id = secrets.id("tenant_id"), secrets.id("client_id")
    assertion = secrets.secret("user_assertion")
    options = _authority_options(keys, secrets)
    if not (keys.certificate_path or keys.certificate_path_env != "AZURE_CLIENT_CERT_PATH"):
        secret = secrets.secret("client_secret")
        return OnBehalfOfCredential(tenant_id, client_id, client_secret=secret, user_assertion=assertion, **options)
    path = _certificate_path(keys, secrets)
    return _with_certificate(
        path,
        lambda: OnBehalfOfCredential(
            tenant_id,
            client_id,
            client_certificate=Path(path).read_bytes(),
            password=secrets.optional_secret("certificate_password"),
            send_certificate_chain=keys.send_certificate_chain,
            user_assertion=assertion,
            **options,
        ),
    )


def _certificate_path(keys: AzureKeys, secrets: Secrets) -> str:
    standard = keys.certificate_path_env == "AZURE_CLIENT_CERT_PATH"
    names = [keys.certificate_path_env, *([_CERTIFICATE_PATH_OF_AZURE] if standard else [])]
    path = keys.certificate_path or next(filter(None, map(secrets.get, names)), None)
    if not path:
        raise secrets.missing(" nor ".join(names), "certificate_path_env", instead="credential.certificate_path")
    return secrets.existing_file("certificate_path", path)


def _with_certificate(path: str, make: Callable[[], TokenCredential]) -> TokenCredential:
    """Return what `make` builds, and add the name of the file to errors of azure-identity.

    Those errors only say "could not deserialize key data".
    """
    try:
        return make()
    except (ValueError, TypeError) as error:
        reason = redact(str(error))
    raise UsageError(
        f"the certificate {path} cannot be used: {reason}. It must hold the certificate and its RSA private key, as PEM or "
        "PKCS#12; where it is encrypted, credential.certificate_password_env must name the variable with its password."
    )


def _interactive_browser(keys: AzureKeys, secrets: Secrets) -> TokenCredential:
    options = _person_options(keys, secrets)
    if keys.redirect_uri:
        options["redirect_uri"] = keys.redirect_uri
    if keys.login_hint:
        options["login_hint"] = keys.login_hint
    return _user_sign_in(keys, InteractiveBrowserCredential, options)


def _device_code(keys: AzureKeys, secrets: Secrets) -> TokenCredential:
    options = _person_options(keys, secrets)
    options["prompt_callback"] = _prompt_on_stderr
    return _user_sign_in(keys, DeviceCodeCredential, options)


def _prompt_on_stderr(verification_uri: str, user_code: str, expires_on: datetime) -> None:
    """Write the prompt with the code to stderr: stdout carries results, and a job without a terminal has its stderr in a log."""
    until = expires_on.astimezone().strftime("%H:%M:%S")
    sys.stderr.write(f"To sign in, open {verification_uri} and enter the code {user_code} (valid until {until}).\n")
    sys.stderr.flush()


def _user_sign_in(keys: AzureKeys, kind: Callable[..., Any], options: dict[str, Any]) -> TokenCredential:
    def make(record: AuthenticationRecord | None) -> Any:
        if record is None:
            return kind(**options)
        # The record has its own authority and client, and azure-identity accepts each of them only once.
        others = {key: value for key, value in options.items() if key not in ("authority", "client_id")}
        return kind(authentication_record=record, **others)

    return UserSignIn(make, record_path(keys.token_cache) if keys.token_cache else None)


def _managed_identity(keys: AzureKeys, secrets: Secrets) -> TokenCredential:
    client_id = keys.client_id or (secrets.id("client_id") if keys.client_id_env else None)
    return ManagedIdentityCredential(client_id=client_id, **_transport_options(keys, secrets))


def _default(keys: AzureKeys, secrets: Secrets) -> TokenCredential:
    options = _transport_options(keys, secrets, connection_timeout=keys.connect_timeout_s)
    options |= _authority_choice(keys, secrets)
    if keys.client_id:
        options["managed_identity_client_id"] = keys.client_id
    if keys.tenant_id:
        options["workload_identity_tenant_id"] = keys.tenant_id
    return DefaultAzureCredential(**options)


def _person_options(keys: AzureKeys, secrets: Secrets) -> dict[str, Any]:
    options = _authority_options(keys, secrets)
    options |= {
        "tenant_id": secrets.id("tenant_id"),
        "client_id": secrets.id("client_id"),
        "timeout": max(1, round(keys.prompt_timeout_s)),
        "disable_automatic_authentication": True,  # UserSignIn decides when to prompt
    }
    if keys.token_cache:
        options["cache_persistence_options"] = TokenCachePersistenceOptions(
            name=f"omnia-beam.{keys.token_cache}", allow_unencrypted_storage=keys.token_cache_unencrypted
        )
    return options


def _authority_options(keys: AzureKeys, secrets: Secrets) -> dict[str, Any]:
    return {
        **_transport_options(keys, secrets, connection_timeout=keys.connect_timeout_s),
        **_authority_choice(keys, secrets),
        "retry_total": 0,
    }


def _authority_choice(keys: AzureKeys, secrets: Secrets) -> dict[str, Any]:
    options: dict[str, Any] = {}
    authority = keys.authority or secrets.get("AZURE_AUTHORITY_HOST")
    if authority:
        options["authority"] = authority
    if keys.disable_instance_discovery:
        options["disable_instance_discovery"] = True
    if keys.additionally_allowed_tenants:
        options["additionally_allowed_tenants"] = list(keys.additionally_allowed_tenants)
    return options


def _transport_options(keys: AzureKeys, secrets: Secrets, **timeouts: float) -> dict[str, Any]:
    options: dict[str, Any] = {"read_timeout": keys.read_timeout_s, **timeouts}
    if keys.ca_bundle:
        options["connection_verify"] = secrets.existing_file("ca_bundle", keys.ca_bundle)
    return {**options, "transport": RequestsTransport(session=ProxySession(), **options)}


_MAKERS: Final[Mapping[str, Callable[[AzureKeys, Secrets], TokenCredential]]] = {
    "client_secret": _client_secret,
    "client_certificate": _client_certificate,
    "interactive_browser": _interactive_browser,
    "device_code": _device_code,
    "managed_identity": _managed_identity,
    "default": _default,
    "on_behalf_of": _on_behalf_of,
}
