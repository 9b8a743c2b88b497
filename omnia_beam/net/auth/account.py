"""Credentials without tokens: an account with a password, by HTTP basic authentication or NTLM, and Kerberos.

The handshakes of NTLM and Kerberos are those of requests-ntlm and requests-kerberos (`pip install 'omnia-beam[kerberos]'`). NTLM
was tried against the acceptor of pyspnego, the library under both, Kerberos against none.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NoReturn

from pydantic import BeforeValidator, model_validator

from omnia_beam.config.fields import PathText, VariableName, has_control_character
from omnia_beam.config.section import key, problem
from omnia_beam.core.errors import UsageError
from omnia_beam.core.redaction import remember_secret
from omnia_beam.net.auth.keys import canonical_kind
from omnia_beam.net.auth.options import CredentialOptions
from omnia_beam.net.auth.secrets import Secrets

if TYPE_CHECKING:
    from requests.auth import AuthBase


class _Account(CredentialOptions):
    """A user name and a password, from environment variables or, for the password, a file."""

    username_env: VariableName = key("Environment variable that holds the user name; of a domain as `DOMAIN\\user`.")
    password_env: VariableName | None = key("Environment variable that holds the password.", None)
    password_file: PathText | None = key("File that holds the password, instead of a variable.", None)

    @model_validator(mode="after")
    def _has_one_password(self) -> _Account:
        if self.password_env is None and self.password_file is None:
            raise problem("needs a password: name its variable by password_env, or its file by password_file")
        if self.password_env is not None and self.password_file is not None:
            raise problem(
                "password_env and password_file exclude each other: remove one of the two", at="password_file"
            )
        return self

    @property
    def sends(self) -> str | None:
        """What a listener on the network would learn from a request."""
        return "password"

    def account(self, environ: Mapping[str, str] | None = None) -> tuple[str, str]:
        """Return the user name and the password.

        Raises:
            UsageError: a variable or the file is missing, or holds what cannot be sent.
        """
        secrets = Secrets(self, environ)
        username = secrets.get(self.username_env)
        if username is None:
            raise secrets.missing(self.username_env, "username_env", instead="another variable")
        password = secrets.secret("password")
        for name, text in (("user name", username), ("password", password)):
            if has_control_character(text):
                raise UsageError(
                    f"credential kind {self.kind!r}: the {name} (not shown) holds a line break or control character"
                )
        return username, password


class BasicCredential(_Account):
    """An account by HTTP basic authentication: the password goes along with every request."""

    scheme: ClassVar[str] = "Basic"

    kind: Annotated[Literal["basic"], BeforeValidator(canonical_kind)] = key("HTTP basic authentication.")

    def header(self, environ: Mapping[str, str] | None = None) -> str:
        """Return what follows `Basic` in the header: user name and password in base64. [RFC 7617]

        Raises:
            UsageError: as `account`; or the user name holds a colon, which would end it.
        """
        username, password = self.account(environ)
        if ":" in username:
            raise UsageError(
                f"credential.username_env: {self.username_env} holds a colon, where basic authentication ends a user name"
            )
        made = base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
        remember_secret(made)
        return made


class BasicTokens:
    """The source of the one token of an account with a password; it is read again when the service refuses it.

    Raises:
        UsageError: as `BasicCredential.header`.
    """

    def __init__(self, credential: BasicCredential, environ: Mapping[str, str] | None) -> None:
        self._credential = credential
        self._environ = environ
        self._header = credential.header(environ)

    def token(self) -> str:
        """Return user name and password as the header carries them."""
        return self._header

    def renew(self, rejected: str) -> str:
        """Return it, read again from variable or file, since a password may be replaced while a job runs."""
        self._header = self._credential.header(self._environ)
        return self._header

    def __repr__(self) -> str:
        return f"<BasicTokens {self._credential.username_env}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("BasicTokens hold a password and are not pickled: send the BasicCredential")


class NtlmCredential(_Account):
    """An account of a Windows domain by NTLM: the password proves itself and is not sent."""

    kind: Annotated[Literal["ntlm"], BeforeValidator(canonical_kind)] = key("NTLM; needs the extra `kerberos`.")

    def handshake(self, environ: Mapping[str, str] | None = None) -> Callable[[], AuthBase]:
        """Return what makes the authentication of one request.

        Raises:
            UsageError: as `account`; or requests-ntlm is not installed.
        """
        try:
            from requests_ntlm import HttpNtlmAuth
        except ImportError:
            missing = _not_installed("requests-ntlm", self.kind)
        else:
            username, password = self.account(environ)
            return lambda: HttpNtlmAuth(username, password)
        raise missing


class KerberosCredential(CredentialOptions):
    """The Kerberos ticket of the user that runs the job (`kinit`), by SPNEGO."""

    kind: Annotated[Literal["kerberos"], BeforeValidator(canonical_kind)] = key("Kerberos; needs the extra `kerberos`.")

    @property
    def sends(self) -> str | None:
        """What a listener on the network would learn from a request."""
        return "Kerberos ticket"

    def handshake(self, environ: Mapping[str, str] | None = None) -> Callable[[], AuthBase]:
        """Return what makes the authentication of one request.

        Raises:
            UsageError: requests-kerberos is not installed.
        """
        try:
            from requests_kerberos import OPTIONAL, HTTPKerberosAuth
        except (ImportError, OSError):  # OSError: the Kerberos library of the system is missing
            missing = _not_installed("requests-kerberos", self.kind)
        else:
            # One a request, since it keeps state. Unless mutual authentication is optional, it empties responses that refuse.
            return lambda: HTTPKerberosAuth(mutual_authentication=OPTIONAL)
        raise missing


def _not_installed(package: str, kind: str) -> UsageError:
    return UsageError(f"credential kind {kind!r} needs the package {package}: pip install 'omnia-beam[kerberos]'")
