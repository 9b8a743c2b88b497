"""Credentials without tokens: an account with a password, by HTTP basic authentication or NTLM, and Kerberos.

The messages of NTLM and Kerberos are those of pyspnego (`pip install 'omnia-beam[kerberos]'`). NTLM was tried against pyspnego's
own acceptor, Kerberos with the key distribution centre of MIT Kerberos; neither against a server of Windows.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, model_validator

from omnia_beam.config.fields import PathText, VariableName, has_control_character
from omnia_beam.config.section import key, problem
from omnia_beam.core.errors import UsageError
from omnia_beam.core.redaction import remember_secret
from omnia_beam.net.auth.keys import canonical_kind
from omnia_beam.net.auth.options import CredentialOptions
from omnia_beam.net.auth.secrets import Secrets
from omnia_beam.net.auth.sign_in import BasicSignIn, SignIn


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

    def sign_in(self, environ: Mapping[str, str] | None, clock: Callable[[], float]) -> SignIn:
        """Return what signs in the requests of a session.

        Raises:
            UsageError: as `header`.
        """
        return BasicSignIn(lambda: self.header(environ), f"password of {self.username_env}", clock)


class NtlmCredential(_Account):
    """An account of a Windows domain by NTLM: the password proves itself and is not sent."""

    kind: Annotated[Literal["ntlm"], BeforeValidator(canonical_kind)] = key("NTLM; needs the extra `kerberos`.")

    @property
    def sends(self) -> str | None:
        """What a listener on the network would learn from a request."""
        return "proof of the password"

    def sign_in(self, environ: Mapping[str, str] | None, clock: Callable[[], float]) -> SignIn:
        """Return what signs in the requests of a session.

        Raises:
            UsageError: as `account`; or pyspnego is not installed.
        """
        from omnia_beam.net.auth.domain import NtlmSignIn

        return NtlmSignIn(lambda: self.account(environ), f"password of {self.username_env}", clock)


class KerberosCredential(CredentialOptions):
    """A Kerberos ticket: of the user that runs the job (`kinit`), or from the keytab that `KRB5_CLIENT_KTNAME` names."""

    kind: Annotated[Literal["kerberos"], BeforeValidator(canonical_kind)] = key("Kerberos; needs the extra `kerberos`.")

    @property
    def sends(self) -> str | None:
        """What a listener on the network would learn from a request."""
        return "Kerberos ticket"

    def sign_in(self, environ: Mapping[str, str] | None, clock: Callable[[], float]) -> SignIn:
        """Return what signs in the requests of a session. The ticket is looked for in this process's own environment.

        Raises:
            UsageError: pyspnego or gssapi is not installed.
        """
        from omnia_beam.net.auth.domain import KerberosSignIn

        return KerberosSignIn(clock)
