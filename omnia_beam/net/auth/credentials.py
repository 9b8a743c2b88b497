"""Describe the identity used at the service without secrets, and build the azure-identity credential of that description.

    spec = CredentialSpec(kind="client_secret")          # AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET
    provider = TokenProvider.of(spec, resource_id)

A `CredentialSpec` travels: in a configuration, in a pickle, to a worker. It names environment variables and files. The secrets
are read where the credential is built, and stay there.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlparse

from omnia_beam.core.errors import UsageError

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

KINDS: Final = (
    "anonymous",
    "client_secret",
    "client_certificate",
    "interactive_browser",
    "device_code",
    "managed_identity",
    "default",
    "on_behalf_of",
)

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
"""Other names that `kind` accepts; `-` counts as `_`, and case does not matter."""

_PERSON: Final = ("interactive_browser", "device_code")
_REGISTERED: Final = ("client_secret", "client_certificate", *_PERSON, "on_behalf_of")
_AUTHORITY: Final = (*_REGISTERED, "default")
_CERTIFICATE: Final = ("client_certificate", "on_behalf_of")
_ALL_BUT_ANONYMOUS: Final = KINDS[1:]

_FIELD_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "tenant_id": _AUTHORITY,
    "tenant_id_env": _REGISTERED,
    "client_id": (*_AUTHORITY, "managed_identity"),
    "client_id_env": (*_REGISTERED, "managed_identity"),
    "client_secret_env": ("client_secret", "on_behalf_of"),
    "client_secret_file": ("client_secret", "on_behalf_of"),
    "certificate_path": _CERTIFICATE,
    "certificate_path_env": _CERTIFICATE,
    "certificate_password_env": _CERTIFICATE,
    "certificate_password_file": _CERTIFICATE,
    "send_certificate_chain": _CERTIFICATE,
    "user_assertion_env": ("on_behalf_of",),
    "user_assertion_file": ("on_behalf_of",),
    "authority": _AUTHORITY,
    "disable_instance_discovery": _AUTHORITY,
    "additionally_allowed_tenants": _AUTHORITY,
    "ca_bundle": _ALL_BUT_ANONYMOUS,
    "redirect_uri": ("interactive_browser",),
    "login_hint": ("interactive_browser",),
    "token_cache": _PERSON,
    "token_cache_unencrypted": _PERSON,
    "scope_name": _ALL_BUT_ANONYMOUS,
    "connect_timeout_s": _AUTHORITY,
    "read_timeout_s": _ALL_BUT_ANONYMOUS,
    "prompt_timeout_s": _PERSON,
}
"""The kinds for which each field has a meaning. A field that is set for another kind is an error."""

_VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_CACHE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class CredentialSpec:
    """The description of a credential: its kind, and where its parts are found. Its fields are the keys below `credential:`.

    Every `…_env` is the *name* of an environment variable, every `…_file` and `…_path` a path. A file takes precedence over a
    variable, a literal id over both. The defaults are the variables that the Azure SDKs read.

    Fields:
        kind: one of `KINDS`, or one of `ALIASES`.
        tenant_id, client_id: ids of the directory and of the application; not secret, so they may be given here. For
            `managed_identity` and `default`, `client_id` names a user-assigned identity (without it the system's is used).
        tenant_id_env, client_id_env: the variables that hold the ids where they are not given; by default AZURE_TENANT_ID and
            AZURE_CLIENT_ID. `managed_identity` reads a variable only where `client_id_env` names one.
        client_secret_env, client_secret_file: the application's secret.
        certificate_path, certificate_path_env: PEM or PKCS#12 with certificate and RSA key. By default AZURE_CLIENT_CERT_PATH,
            and where that is not set AZURE_CLIENT_CERTIFICATE_PATH.
        certificate_password_env, certificate_password_file: the certificate's password, where it has one.
        send_certificate_chain: send the chain along, for applications that trust a subject name and issuer.
        user_assertion_env, user_assertion_file: the access token of the user on whose behalf the job acts, issued for its own
            application. `on_behalf_of` authenticates with a secret, or with a certificate where one is named here.
        authority: the sign-in host, https; without it AZURE_AUTHORITY_HOST or the public cloud's.
        disable_instance_discovery: do not ask Microsoft whether `authority` is theirs (private clouds, test authorities).
        additionally_allowed_tenants: further tenants of which tokens may be requested; `*` for any.
        ca_bundle: PEM file of the authorities that sign the sign-in host's TLS certificate, instead of the usual ones.
        redirect_uri: the address to which the browser is sent back, with its port (http://localhost:8400), as registered.
            Without it the first free port from 8400 on is used.
        login_hint: the user name to fill in on the sign-in page.
        token_cache: name of a disk cache that keeps a person's sign-in for later runs; without it there is none.
        token_cache_unencrypted: allow that cache to be a plain file (mode 600) where the system offers no key store.
        scope_name: the part of the scope after the resource id, instead of the kind's own.
        connect_timeout_s, read_timeout_s: seconds to wait for a connection to the authority, and between two bytes of its
            response.
        prompt_timeout_s: seconds that a person has to sign in.

    Raises:
        UsageError: an unknown kind, a field that has no meaning for the kind, or a value of the wrong form. A value that may be
            a misplaced secret is never shown.
    """

    kind: str = dataclasses.field(default="anonymous", kw_only=False)
    tenant_id: str | None = None
    tenant_id_env: str | None = None
    client_id: str | None = None
    client_id_env: str | None = None
    client_secret_env: str = "AZURE_CLIENT_SECRET"  # noqa: S105 - the name of a variable
    client_secret_file: str | None = None
    certificate_path: str | None = None
    certificate_path_env: str = "AZURE_CLIENT_CERT_PATH"
    certificate_password_env: str = "AZURE_CLIENT_CERTIFICATE_PASSWORD"  # noqa: S105 - the name of a variable
    certificate_password_file: str | None = None
    send_certificate_chain: bool = False
    user_assertion_env: str = "USER_ASSERTION"
    user_assertion_file: str | None = None
    authority: str | None = None
    disable_instance_discovery: bool = False
    additionally_allowed_tenants: Sequence[str] = ()
    ca_bundle: str | None = None
    redirect_uri: str | None = None
    login_hint: str | None = None
    token_cache: str | None = None
    token_cache_unencrypted: bool = False
    scope_name: str | None = None
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    prompt_timeout_s: float = 300.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", _canonical_kind(self.kind))
        # YAML yields a list, which is not hashable, or one name, which must not be split into its letters.
        tenants = self.additionally_allowed_tenants
        object.__setattr__(
            self, "additionally_allowed_tenants", (tenants,) if isinstance(tenants, str) else tuple(tenants)
        )
        _check_types(self)
        _check_fields_mean_something(self)
        _check_variable_names(self)
        _check_urls(self)
        if self.token_cache is not None and not _CACHE_NAME.fullmatch(self.token_cache):
            raise UsageError(
                f"credential.token_cache is {self.token_cache!r}: a file name of letters, digits, '.', '_' and '-'"
            )

    @property
    def is_interactive(self) -> bool:
        """Whether a person has to respond to a prompt; such kinds suit neither workers of a cluster nor unattended jobs."""
        return self.kind in _PERSON

    def scope(self, resource_id: str | None) -> str | None:
        """Return the OAuth scope of a token for the API `resource_id`; None for anonymous.

        An application requests what it was granted (`/.default`); a person delegates `user_impersonation`. [sdk]

        Raises:
            UsageError: no resource id, and the kind is not anonymous.
        """
        if self.kind == "anonymous":
            return None
        if not resource_id:
            raise UsageError(
                f"a credential of kind {self.kind!r} asks for a token for one API: say which by resource_id (beside base_url), "
                "or name the environment"
            )
        name = self.scope_name or ("user_impersonation" if self.is_interactive else ".default")
        return f"{resource_id.rstrip('/')}/{name}"

    def build(self, environ: Mapping[str, str] | None = None) -> TokenCredential | None:
        """Return the azure-identity credential, or None for anonymous. No token is requested yet.

        Args:
            environ: where variables are looked up; this process's environment when None. `managed_identity` and `default` are
                azure-identity's own search of the process's environment: they read `os.environ` whatever `environ` is.

        Raises:
            UsageError: a variable or file that the kind needs is missing or unusable; the message names the variable, the key
                and the kind, and shows no value.
        """
        # Imported here because the factory imports this module and azure-identity, which most users of a spec do not need.
        from omnia_beam.net.auth.factory import build

        return build(self, environ)


def _canonical_kind(kind: object) -> str:
    name = str(kind).strip().lower().replace("-", "_")
    name = ALIASES.get(name, name)
    if name not in KINDS:
        near = difflib.get_close_matches(name, [*KINDS, *ALIASES], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"credential.kind is {kind!r}, which is none of {', '.join(KINDS)}.{hint}")
    return name


def _check_types(spec: CredentialSpec) -> None:
    for field in dataclasses.fields(spec):
        value, default = getattr(spec, field.name), field.default
        if isinstance(default, bool):
            wanted, fits = "true or false", isinstance(value, bool)
        elif isinstance(default, float):
            fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
            wanted = "a number of seconds above 0"
        elif isinstance(default, tuple):
            wanted, fits = "a list of texts", all(isinstance(each, str) for each in value)
        else:
            wanted, fits = "a text", isinstance(value, str) or (value is None and default is None)
        if not fits:
            raise UsageError(f"credential.{field.name} must be {wanted}, not {_of_type(value)}")


def _of_type(value: object) -> str:
    return repr(value) if isinstance(value, int | float) else f"a {type(value).__name__}"


def _check_fields_mean_something(spec: CredentialSpec) -> None:
    for field in dataclasses.fields(spec):
        kinds = _FIELD_KINDS.get(field.name)
        if kinds and spec.kind not in kinds and getattr(spec, field.name) != field.default:
            takes = [name for name, its_kinds in _FIELD_KINDS.items() if spec.kind in its_kinds]
            raise UsageError(
                f"credential.{field.name} means nothing to kind {spec.kind!r}: it is for {', '.join(kinds)}. "
                f"{spec.kind!r} takes {', '.join(takes) or 'no further keys'}."
            )


def _check_variable_names(spec: CredentialSpec) -> None:
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if field.name.endswith("_env") and value is not None and not _is_variable_name(value):
            raise UsageError(
                f"credential.{field.name} must be the NAME of an environment variable, such as {_example(field)}; what stands "
                "there is none (it is not shown here, for it may be the secret itself). Put the value into the variable, and "
                "the variable's name into the configuration. If it was a secret, replace it: it has been in a file."
            )


def _is_variable_name(value: object) -> bool:
    """Return whether the value is a name, and not a secret that happens to consist of letters and digits."""
    if not isinstance(value, str) or not _VARIABLE_NAME.fullmatch(value):
        return False
    mixture = [any(map(test, value)) for test in (str.islower, str.isupper, str.isdigit)]
    return not (len(value) >= 20 and all(mixture))


def _example(field: dataclasses.Field[Any]) -> str:
    return field.default if isinstance(field.default, str) else f"AZURE_{field.name.removesuffix('_env').upper()}"


def _check_urls(spec: CredentialSpec) -> None:
    if spec.authority is not None:
        url = urlparse(spec.authority if "://" in spec.authority else f"https://{spec.authority}")
        if url.scheme != "https" or not url.hostname or url.username or url.path.strip("/") or url.query:
            raise UsageError(
                "credential.authority must be an https host, such as https://login.microsoftonline.com, without path or user: "
                "secrets are sent there. The tenant goes into credential.tenant_id."
            )
    if spec.redirect_uri is not None:
        url = urlparse(spec.redirect_uri)
        if url.scheme != "http" or url.hostname not in ("localhost", "127.0.0.1") or not _port(url):
            raise UsageError(
                f"credential.redirect_uri is {spec.redirect_uri!r}: it must be a loopback address with a port, such as "
                "http://localhost:8400, and stand in the application's registration"
            )


def _port(url: Any) -> int | None:
    try:
        port: int | None = url.port
    except ValueError:
        return None
    return port
