"""Build the azure-identity credential of a `CredentialSpec`: the one place that reads secrets.

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
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.net.auth.user_sign_in import UserSignIn, record_path
from omnia_beam.net.http.route import ProxySession

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


def build(spec: CredentialSpec, environ: Mapping[str, str] | None = None) -> TokenCredential | None:
    """Return the credential that `spec` describes, None for anonymous; see `CredentialSpec.build`."""
    if spec.kind == "anonymous":
        return None
    for name in _SECRETS_OF_THE_CHAIN:
        remember_secret(os.environ.get(name, ""))
    make = _MAKERS[spec.kind]
    try:
        credential = make(spec, _Sources(spec, os.environ if environ is None else environ))
    except (ValueError, TypeError) as error:
        reason = redact(str(error))
    else:
        guard_logs()
        return credential
    # Raised outside the except block so that it does not carry azure-identity's exception with its frames.
    raise UsageError(f"the credential of kind {spec.kind!r} cannot be built: {reason}")


class _Sources:
    """The places from which the parts of one spec are read: its own fields, files, an environment."""

    def __init__(self, spec: CredentialSpec, environ: Mapping[str, str]) -> None:
        self._spec = spec
        self._environ = environ

    def get(self, name: str) -> str | None:
        """Return the variable's value; None where it is not set or empty."""
        return self._environ.get(name) or None

    def id(self, key: str) -> str:
        """Return `tenant_id` or `client_id`: the literal, or else the value of its variable.

        Raises:
            UsageError: neither is given.
        """
        literal: str | None = getattr(self._spec, key)
        variable: str = getattr(self._spec, f"{key}_env") or f"AZURE_{key.upper()}"
        value = literal or self.get(variable)
        if not value:
            raise self._missing(variable, f"{key}_env", instead=f"credential.{key}")
        return value.strip()

    def secret(self, key: str) -> str:
        """Return `client_secret`, `user_assertion` or `certificate_password`: from its file, or else from its variable.

        Raises:
            UsageError: neither is given, or the file cannot be read.
        """
        value = self.optional_secret(key)
        if value is None:
            variable = getattr(self._spec, f"{key}_env")
            raise self._missing(variable, f"{key}_env", instead=f"credential.{key}_file")
        return value

    def optional_secret(self, key: str) -> str | None:
        """Return the secret from its file, or else from its variable; None where neither is given.

        Raises:
            UsageError: the file cannot be read, is empty or is not text.
        """
        path = getattr(self._spec, f"{key}_file")
        value = self._read_file(f"{key}_file", path) if path else self.get(getattr(self._spec, f"{key}_env"))
        if value:
            remember_secret(value)
        return value

    def certificate_path(self) -> str:
        """Return the path of the certificate.

        Raises:
            UsageError: no path is given, or there is no readable file.
        """
        spec = self._spec
        standard = spec.certificate_path_env == "AZURE_CLIENT_CERT_PATH"
        names = [spec.certificate_path_env, *([_CERTIFICATE_PATH_OF_AZURE] if standard else [])]
        path = spec.certificate_path or next(filter(None, map(self.get, names)), None)
        if not path:
            raise self._missing(" nor ".join(names), "certificate_path_env", instead="credential.certificate_path")
        return self.existing_file("certificate_path", path)

    def existing_file(self, key: str, path: str) -> str:
        """Return the path, with `~` expanded.

        Raises:
            UsageError: it is not a readable file.
        """
        expanded = os.path.expanduser(path)
        if not (os.path.isfile(expanded) and os.access(expanded, os.R_OK)):
            raise UsageError(
                f"credential.{key}: {expanded} is not a file that can be read here; credential kind {self._spec.kind!r} "
                "wants it. On a cluster it must be there on every worker."
            )
        return expanded

    def _read_file(self, key: str, path: str) -> str:
        expanded = self.existing_file(key, path)
        try:
            value = Path(expanded).read_text(encoding="utf-8").strip()  # editors and `kubectl` add a line end
        except UnicodeDecodeError:
            value = ""
        if not value:
            raise UsageError(f"credential.{key}: {expanded} is empty or not text (kind {self._spec.kind!r} reads it)")
        return value

    def _missing(self, variable: str, key: str, instead: str) -> UsageError:
        return UsageError(
            f"credential kind {self._spec.kind!r} needs the environment variable {variable} (credential.{key}), which is not set "
            f"or empty in this process. Set it where the job runs, on a cluster on every worker; or use {instead}."
        )


def _client_secret(spec: CredentialSpec, sources: _Sources) -> TokenCredential:
    return ClientSecretCredential(
        sources.id("tenant_id"),
        sources.id("client_id"),
        sources.secret("client_secret"),
        **_authority_options(spec, sources),
    )


def _client_certificate(spec: CredentialSpec, sources: _Sources) -> TokenCredential:
    tenant_id, client_id, path = sources.id("tenant_id"), sources.id("client_id"), sources.certificate_path()
    return _with_certificate(
        path,
        lambda: CertificateCredential(
            tenant_id,
            client_id,
            path,
            password=sources.optional_secret("certificate_password"),
            send_certificate_chain=spec.send_certificate_chain,
            **_authority_options(spec, sources),
        ),
    )


def _on_behalf_of(spec: CredentialSpec, sources: _Sources) -> TokenCredential:
    tenant_id, client_id = sources.id("tenant_id"), sources.id("client_id")
    assertion = sources.secret("user_assertion")
    options = _authority_options(spec, sources)
    if not (spec.certificate_path or spec.certificate_path_env != "AZURE_CLIENT_CERT_PATH"):
        secret = sources.secret("client_secret")
        return OnBehalfOfCredential(tenant_id, client_id, client_secret=secret, user_assertion=assertion, **options)
    path = sources.certificate_path()
    return _with_certificate(
        path,
        lambda: OnBehalfOfCredential(
            tenant_id,
            client_id,
            client_certificate=Path(path).read_bytes(),
            password=sources.optional_secret("certificate_password"),
            send_certificate_chain=spec.send_certificate_chain,
            user_assertion=assertion,
            **options,
        ),
    )


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


def _interactive_browser(spec: CredentialSpec, sources: _Sources) -> TokenCredential:
    options = _person_options(spec, sources)
    if spec.redirect_uri:
        options["redirect_uri"] = spec.redirect_uri
    if spec.login_hint:
        options["login_hint"] = spec.login_hint
    return _user_sign_in(spec, InteractiveBrowserCredential, options)


def _device_code(spec: CredentialSpec, sources: _Sources) -> TokenCredential:
    options = _person_options(spec, sources)
    options["prompt_callback"] = _prompt_on_stderr
    return _user_sign_in(spec, DeviceCodeCredential, options)


def _prompt_on_stderr(verification_uri: str, user_code: str, expires_on: datetime) -> None:
    """Write the prompt with the code to stderr: stdout carries results, and a job without a terminal has its stderr in a log."""
    until = expires_on.astimezone().strftime("%H:%M:%S")
    sys.stderr.write(f"To sign in, open {verification_uri} and enter the code {user_code} (valid until {until}).\n")
    sys.stderr.flush()


def _user_sign_in(spec: CredentialSpec, kind: Callable[..., Any], options: dict[str, Any]) -> TokenCredential:
    def make(record: AuthenticationRecord | None) -> Any:
        if record is None:
            return kind(**options)
        # The record has its own authority and client, and azure-identity accepts each of them only once.
        others = {key: value for key, value in options.items() if key not in ("authority", "client_id")}
        return kind(authentication_record=record, **others)

    return UserSignIn(make, record_path(spec.token_cache) if spec.token_cache else None)


def _managed_identity(spec: CredentialSpec, sources: _Sources) -> TokenCredential:
    client_id = spec.client_id or (sources.id("client_id") if spec.client_id_env else None)
    return ManagedIdentityCredential(client_id=client_id, **_transport_options(spec, sources))


def _default(spec: CredentialSpec, sources: _Sources) -> TokenCredential:
    options = _transport_options(spec, sources, connection_timeout=spec.connect_timeout_s)
    options |= _authority_choice(spec, sources)
    if spec.client_id:
        options["managed_identity_client_id"] = spec.client_id
    if spec.tenant_id:
        options["workload_identity_tenant_id"] = spec.tenant_id
    return DefaultAzureCredential(**options)


def _person_options(spec: CredentialSpec, sources: _Sources) -> dict[str, Any]:
    options = _authority_options(spec, sources)
    options |= {
        "tenant_id": sources.id("tenant_id"),
        "client_id": sources.id("client_id"),
        "timeout": max(1, round(spec.prompt_timeout_s)),
        "disable_automatic_authentication": True,  # UserSignIn decides when to prompt
    }
    if spec.token_cache:
        options["cache_persistence_options"] = TokenCachePersistenceOptions(
            name=f"omnia-beam.{spec.token_cache}", allow_unencrypted_storage=spec.token_cache_unencrypted
        )
    return options


def _authority_options(spec: CredentialSpec, sources: _Sources) -> dict[str, Any]:
    return {
        **_transport_options(spec, sources, connection_timeout=spec.connect_timeout_s),
        **_authority_choice(spec, sources),
        "retry_total": 0,
    }


def _authority_choice(spec: CredentialSpec, sources: _Sources) -> dict[str, Any]:
    options: dict[str, Any] = {}
    authority = spec.authority or sources.get("AZURE_AUTHORITY_HOST")
    if authority:
        options["authority"] = authority
    if spec.disable_instance_discovery:
        options["disable_instance_discovery"] = True
    if spec.additionally_allowed_tenants:
        options["additionally_allowed_tenants"] = list(spec.additionally_allowed_tenants)
    return options


def _transport_options(spec: CredentialSpec, sources: _Sources, **timeouts: float) -> dict[str, Any]:
    options: dict[str, Any] = {"read_timeout": spec.read_timeout_s, **timeouts}
    if spec.ca_bundle:
        options["connection_verify"] = sources.existing_file("ca_bundle", spec.ca_bundle)
    return {**options, "transport": RequestsTransport(session=ProxySession(), **options)}


_MAKERS: Final[Mapping[str, Callable[[CredentialSpec, _Sources], TokenCredential]]] = {
    "client_secret": _client_secret,
    "client_certificate": _client_certificate,
    "interactive_browser": _interactive_browser,
    "device_code": _device_code,
    "managed_identity": _managed_identity,
    "default": _default,
    "on_behalf_of": _on_behalf_of,
}
