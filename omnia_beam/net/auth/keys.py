"""The keys of azure-identity's credentials below `credential:`; none of them holds a secret.

The kinds share one model, because they share nearly all of their keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from omnia_beam.config.fields import OneOrMany, PathText, Text, VariableName
from omnia_beam.config.section import key, problem
from omnia_beam.net.auth.options import CredentialOptions

CredentialKind = Literal[
    "anonymous",
    "client_secret",
    "client_certificate",
    "interactive_browser",
    "device_code",
    "managed_identity",
    "default",
    "on_behalf_of",
]

KINDS: Final[tuple[str, ...]] = get_args(CredentialKind)

ALIASES: Final[Mapping[str, str]] = {
    "none": "anonymous",
    "secret": "client_secret",
    "certificate": "client_certificate",
    "browser": "interactive_browser",
    "interactive": "interactive_browser",
    "user_impersonation": "device_code",
    "default_chain": "default",
    "obo": "on_behalf_of",
}
"""Other names that `kind` takes, with `-` for `_` and in any case."""


@dataclass(frozen=True)
class _Uses:
    """The credential kinds that a key applies to."""

    kinds: tuple[str, ...]


PERSON: Final = ("interactive_browser", "device_code")
"""The kinds that prompt a person."""

_REGISTERED: Final = ("client_secret", "client_certificate", *PERSON, "on_behalf_of")
_BY_AUTHORITY: Final = _Uses((*_REGISTERED, "default"))
_BY_REGISTERED: Final = _Uses(_REGISTERED)
_BY_SECRET: Final = _Uses(("client_secret", "on_behalf_of"))
_BY_CERTIFICATE: Final = _Uses(("client_certificate", "on_behalf_of"))
_BY_PERSON: Final = _Uses(PERSON)
_BY_BROWSER: Final = _Uses(("interactive_browser",))
_BY_USER: Final = _Uses(("on_behalf_of",))
_BY_ALL: Final = _Uses(KINDS[1:])


def canonical_kind(value: Any) -> Any:
    """Return the kind that a text names; what is no known name unchanged."""
    name = value.strip().lower().replace("-", "_") if isinstance(value, str) else value
    return ALIASES.get(name, name) if isinstance(name, str) else name


def _check_authority(text: str) -> str:
    url = urlsplit(text if "://" in text else f"https://{text}")
    if url.scheme != "https" or not url.hostname or url.username or url.path.strip("/") or url.query:
        raise problem(
            "must be an https host such as https://login.microsoftonline.com, without path, user or query, since secrets are "
            "sent there; the tenant goes into tenant_id"
        )
    return text


def _check_redirect(text: str) -> str:
    url = urlsplit(text)
    try:
        port = url.port
    except ValueError:
        port = None
    if url.scheme != "http" or url.hostname not in ("localhost", "127.0.0.1", "::1") or not port:
        raise problem("must be a loopback address with a port, such as http://localhost:8400, as registered")
    return text


def _check_cache_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        raise problem("must be a file name of letters, digits, '.', '_' and '-'")
    return text


Seconds = Annotated[float, Field(gt=0)]


class AzureKeys(CredentialOptions):
    """How to sign in. A key that does not apply to the kind is refused."""

    kind: Annotated[CredentialKind, BeforeValidator(canonical_kind)] = key(
        "Which credential of azure-identity to use; `anonymous` sends no token (a local emulator)."
    )
    tenant_id: Annotated[Text | None, _BY_AUTHORITY] = key(
        "Directory (tenant) id; not a secret. `AZURE_TENANT_ID` where it is not given.", None
    )
    tenant_id_env: Annotated[VariableName | None, _BY_REGISTERED] = key(
        "Environment variable that holds the tenant id, instead of `AZURE_TENANT_ID`.", None
    )
    client_id: Annotated[Text | None, _Uses((*_BY_AUTHORITY.kinds, "managed_identity"))] = key(
        "Application (client) id; not a secret. `AZURE_CLIENT_ID` where it is not given. For `managed_identity` and "
        "`default` it names a user-assigned identity.",
        None,
    )
    client_id_env: Annotated[VariableName | None, _Uses((*_REGISTERED, "managed_identity"))] = key(
        "Environment variable that holds the client id, instead of `AZURE_CLIENT_ID`.", None
    )
    client_secret_env: Annotated[VariableName, _BY_SECRET] = key(
        "Environment variable that holds the application's secret.", "AZURE_CLIENT_SECRET"
    )
    client_secret_file: Annotated[PathText | None, _BY_SECRET] = key(
        "File that holds the application's secret; takes precedence over the variable.", None
    )
    certificate_path: Annotated[PathText | None, _BY_CERTIFICATE] = key(
        "PEM or PKCS#12 file with the application's certificate and key.", None
    )
    certificate_path_env: Annotated[VariableName, _BY_CERTIFICATE] = key(
        "Environment variable that holds that file's path.", "AZURE_CLIENT_CERT_PATH"
    )
    certificate_password_env: Annotated[VariableName, _BY_CERTIFICATE] = key(
        "Environment variable that holds that file's password, where it has one.", "AZURE_CLIENT_CERTIFICATE_PASSWORD"
    )
    certificate_password_file: Annotated[PathText | None, _BY_CERTIFICATE] = key(
        "File that holds that password; takes precedence over the variable.", None
    )
    send_certificate_chain: Annotated[bool, _BY_CERTIFICATE] = key(
        "Send the certificate's chain along, for applications that trust a subject name and issuer.", False
    )
    user_assertion_env: Annotated[VariableName, _BY_USER] = key(
        "Environment variable that holds the access token of the user on whose behalf the job acts.", "USER_ASSERTION"
    )
    user_assertion_file: Annotated[PathText | None, _BY_USER] = key(
        "File that holds that access token; takes precedence over the variable.", None
    )
    authority: Annotated[Annotated[Text, AfterValidator(_check_authority)] | None, _BY_AUTHORITY] = key(
        "Sign-in host (https); `AZURE_AUTHORITY_HOST` or the public cloud's where it is not given.", None
    )
    disable_instance_discovery: Annotated[bool, _BY_AUTHORITY] = key(
        "Skip the check with Microsoft that the sign-in host is theirs (private clouds).", False
    )
    additionally_allowed_tenants: Annotated[OneOrMany[Text], _BY_AUTHORITY] = key(
        "Further tenants that tokens may be requested from; `*` for any.", ()
    )
    ca_bundle: Annotated[PathText | None, _BY_ALL] = key(
        "PEM file of the authorities to trust for the sign-in host's TLS, instead of the usual ones.", None
    )
    redirect_uri: Annotated[Annotated[Text, AfterValidator(_check_redirect)] | None, _BY_BROWSER] = key(
        "Loopback address that the browser is sent back to, as registered, such as `http://localhost:8400`.", None
    )
    login_hint: Annotated[Text | None, _BY_BROWSER] = key("User name to fill in on the sign-in page.", None)
    token_cache: Annotated[Annotated[Text, AfterValidator(_check_cache_name)] | None, _BY_PERSON] = key(
        "Name of a cache on disk that keeps a person's sign-in for later runs; none where it is not given.", None
    )
    token_cache_unencrypted: Annotated[bool, _BY_PERSON] = key(
        "Allow that cache to be a plain file (mode 600) where the system has no key store.", False
    )
    scope_name: Annotated[Text | None, _BY_ALL] = key(
        "What follows the resource id in the scope, instead of the kind's own.", None
    )
    connect_timeout_s: Annotated[Seconds, _BY_AUTHORITY] = key("Seconds for connecting to the sign-in host.", 10.0)
    read_timeout_s: Annotated[Seconds, _BY_ALL] = key("Seconds of silence of the sign-in host.", 30.0)
    prompt_timeout_s: Annotated[Seconds, _BY_PERSON] = key("Seconds that a person has to sign in.", 300.0)

    @model_validator(mode="after")
    def _keys_mean_something(self) -> AzureKeys:
        known = keys_of_kind(self.kind)
        for name in self.model_fields_set - {"kind"}:
            if name not in known and getattr(self, name) != AzureKeys.model_fields[name].default:
                takes = ", ".join(known) or "no further keys"
                raise problem(f"has no meaning for kind {self.kind}, which takes {takes}", at=name)
        return self


def keys_of_kind(kind: str) -> tuple[str, ...]:
    """Return the keys, besides `kind`, that apply to a kind."""
    return tuple(
        name
        for name, info in AzureKeys.model_fields.items()
        if any(isinstance(mark, _Uses) and kind in mark.kinds for mark in info.metadata)
    )
