"""The credentials that services take: those of azure-identity here, beside accounts with a password and Kerberos.

    spec = CredentialSpec(kind="client_secret")          # AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET
    provider = TokenProvider.of(spec, resource_id)

The model of a connection names the kinds that it takes by the type of its key `credential`: `CredentialSpec`, one of the others,
or `AnyCredential`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Tag

from omnia_beam.core.errors import UsageError
from omnia_beam.net.auth.account import BasicCredential, KerberosCredential, NtlmCredential
from omnia_beam.net.auth.keys import ALIASES, KINDS, PERSON, AzureKeys, canonical_kind

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

__all__ = [
    "ALIASES",
    "KINDS",
    "AnyCredential",
    "BasicCredential",
    "CredentialSpec",
    "KerberosCredential",
    "NtlmCredential",
]


class CredentialSpec(AzureKeys):
    """How to sign in. A key that does not apply to the kind is refused.

    >>> CredentialSpec(kind="client_secret", tenant_id="contoso.example").is_interactive
    False
    """

    if TYPE_CHECKING:
        # With pydantic's decorator type checkers know that there are keywords only.
        def __init__(self, kind: str = "anonymous", **keys: Any) -> None: ...

    @property
    def sends(self) -> str | None:
        """What a listener on the network would learn from a request; None for anonymous."""
        return None if self.kind == "anonymous" else super().sends

    @property
    def is_interactive(self) -> bool:
        """Whether a person has to respond to a prompt; such kinds suit neither workers of a cluster nor unattended jobs."""
        return self.kind in PERSON

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
                f"a credential of kind {self.kind!r} requests a token for one API: name it by resource_id (beside base_url), "
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
        if self.kind == "anonymous":
            return None
        from omnia_beam.net.auth.factory import build  # with azure-identity, which most users of a spec do not need

        return build(self, environ)


def _tag(value: Any) -> Any:
    kind = canonical_kind(value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None))
    return KINDS[0] if kind in KINDS else kind


AnyCredential = Annotated[
    Annotated[CredentialSpec, Tag(KINDS[0])]
    | Annotated[BasicCredential, Tag("basic")]
    | Annotated[KerberosCredential, Tag("kerberos")]
    | Annotated[NtlmCredential, Tag("ntlm")],
    Discriminator(_tag),
]
"""The type of a key `credential` that takes every kind."""
