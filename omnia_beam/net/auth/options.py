"""The base of the models of credentials, which a configuration holds below `credential:` and code builds itself.

A credential travels: in a configuration, in a pickle, to a worker. It names environment variables and files. The secrets are
read where it is used, and stay there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

from omnia_beam.config.problems import usage_error
from omnia_beam.config.section import Section

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from omnia_beam.net.auth.sign_in import SignIn


class CredentialOptions(Section):
    """How to sign in to a service: frozen, hashable, equal by value, picklable, and without a secret.

    Code builds one by its kind and its keys, such as `CredentialSpec("client_secret", tenant_id="…")`; the kind may be left
    out where the model has one.

    Raises:
        UsageError: an unknown kind or key, a key that has no meaning for the kind, or a value of the wrong form. No value is
            shown, since it may be a misplaced secret.
    """

    kind: str

    def __init__(self, kind: str | None = None, **keys: Any) -> None:
        only = get_args(type(self).model_fields["kind"].annotation)[0]
        given = {"kind": only if kind is None else kind, **keys}
        try:
            self.__pydantic_validator__.validate_python(given, strict=True, self_instance=self)
        except ValidationError as error:
            refused = usage_error(error, type(self), "credential")
        else:
            return
        raise refused  # outside the except block, so that it does not carry pydantic's error with the values

    # Without this mark pydantic would call `__init__` for sections of a configuration too, whose problems are collected.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # pydantic's own mark of BaseModel.__init__

    @property
    def sends(self) -> str | None:
        """What a listener on the network would learn from a request, for messages; None where that is no secret."""
        return "token"

    @property
    def is_interactive(self) -> bool:
        """Whether a person has to respond to a prompt; such kinds suit neither workers of a cluster nor unattended jobs."""
        return False

    def scope(self, resource_id: str | None) -> str | None:
        """Return the OAuth scope of a token for the API `resource_id`; None for kinds without tokens.

        Raises:
            UsageError: no resource id, and the kind needs one.
        """
        return None

    def build(self, environ: Mapping[str, str] | None = None) -> TokenCredential | None:
        """Return the azure-identity credential; None for other kinds. No token is requested yet.

        Raises:
            UsageError: a variable or file that the kind needs is missing or unusable; the message names the variable, the key
                and the kind, and shows no value.
        """
        return None

    def sign_in(self, environ: Mapping[str, str] | None, clock: Callable[[], float]) -> SignIn | None:
        """Return what signs in the requests of a session, for kinds without tokens; None for others.

        Args:
            environ: where variables are looked up; this process's environment when None.
            clock: monotonic seconds.

        Raises:
            UsageError: as `build`; or a package that the kind needs is not installed.
        """
        return None
