"""Sign in to a server of a Windows domain: NTLM and Kerberos by pyspnego, which carries out their messages.

The extra `kerberos` brings pyspnego with gssapi; NTLM needs pyspnego alone. Sign-ins are bound to the server's TLS certificate
(tls-server-end-point, RFC 5929), which IIS may require ("Extended Protection").

MIT Kerberos reads its own variables from the process: KRB5CCNAME for a ticket that `kinit` got, KRB5_CLIENT_KTNAME for a keytab
from which it gets tickets by itself, also when the last one has expired, KRB5_CONFIG for the realm.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

from omnia_beam.core.errors import CredentialError, UsageError
from omnia_beam.core.redaction import guard_logs
from omnia_beam.net.auth.sign_in import HOLDS_SECRETS, Guard, Reply, Steps, Trial, is_success

if TYPE_CHECKING:
    from spnego import ContextProxy
    from spnego.channel_bindings import GssChannelBindings

_SERVICE: Final = "HTTP"


class NtlmSignIn:
    """NTLM: an account of a domain, whose password proves itself. The server then knows the connection.

    Args:
        read: returns user name and password.
        what: as of `Guard`.
        clock: monotonic seconds.

    Raises:
        UsageError: as `read`; or pyspnego is not installed.
    """

    def __init__(self, read: Callable[[], tuple[str, str]], what: str, clock: Callable[[], float]) -> None:
        try:
            import spnego
        except ImportError:
            missing = UsageError(
                "credential kind 'ntlm' needs the package pyspnego: pip install 'omnia-beam[kerberos]', or pip install pyspnego, "
                "which is enough for NTLM"
            )
        else:
            self._make = spnego.client
            self._options = spnego.NegotiateOptions.use_ntlm
            self._guard = Guard(read, what, clock)
            self._what = what
            guard_logs()
            return
        raise missing

    def ready(self, host: str) -> str:
        """Return with what the sign-in is carried out."""
        return f"the {self._what}"

    def steps(self, host: str) -> Steps:
        """Return the sign-in of one request."""
        return _NtlmSteps(self._guard, lambda account, bindings: self._client(account, host, bindings))

    def _client(self, account: tuple[str, str], host: str, bindings: GssChannelBindings | None) -> ContextProxy:
        return self._make(
            *account,
            hostname=host,
            service=_SERVICE,
            protocol="ntlm",
            options=self._options,
            channel_bindings=bindings,
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(HOLDS_SECRETS)


class _NtlmSteps:
    """The messages of one request: none where the server knows the connection; else negotiate, challenge, authenticate."""

    def __init__(
        self,
        guard: Guard[tuple[str, str]],
        make: Callable[[tuple[str, str], GssChannelBindings | None], ContextProxy],
    ) -> None:
        self._guard = guard
        self._make = make
        self._trial: Trial[tuple[str, str]] | None = None
        self._context: ContextProxy | None = None
        self._scheme = ""
        self._is_proven = False
        self._is_renewed = False

    @property
    def is_bound(self) -> bool:
        return self._context is not None

    def opening(self) -> None:
        return None

    def reply(self, reply: Reply) -> str | None:
        if self._trial is None:
            return self._negotiate(reply) if reply.status == 401 else None
        if self._is_proven:
            return self._outcome(self._trial, reply)
        challenge = reply.offers.get(self._scheme) if reply.status == 401 else None
        if not challenge or self._context is None:
            return None
        message = _stepped(self._context, challenge, self._scheme)
        self._is_proven = True
        return f"{self._scheme} {message}"

    def close(self) -> None:
        if self._trial is not None:
            self._trial.end()

    def _negotiate(self, reply: Reply) -> str | None:
        offered = [scheme for scheme in ("NTLM", "Negotiate") if scheme in reply.offers]
        if not offered:
            return None
        self._scheme = offered[0]
        self._trial = self._guard.trial()
        self._context = self._make(self._trial.secret, bindings_of(reply.certificate))
        return f"{self._scheme} {base64.b64encode(self._context.step() or b'').decode()}"

    def _outcome(self, trial: Trial[tuple[str, str]], reply: Reply) -> str | None:
        self._context = None
        if reply.status == 401 and trial.refused() and not self._is_renewed:
            self.close()
            self._trial, self._is_proven, self._is_renewed = None, False, True
            return self._negotiate(reply)
        if is_success(reply.status):
            trial.accepted()
        return None


class KerberosSignIn:
    """Kerberos: the ticket of the user that runs the job. From the second request on it goes along with the first message.

    Args:
        clock: monotonic seconds.

    Raises:
        UsageError: pyspnego or gssapi is not installed, or the Kerberos library of the system is missing.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        try:
            import gssapi  # noqa: F401  # it fails here where the library of the system is missing
            import krb5  # noqa: F401
            import spnego
        except (ImportError, OSError):
            missing = UsageError(
                "credential kind 'kerberos' needs the packages pyspnego and gssapi: pip install 'omnia-beam[kerberos]', on Linux "
                "with a C compiler and the Kerberos library (Debian: libkrb5-dev)"
            )
        else:
            self._make = spnego.client
            # A wrong keytab counts like a wrong password.
            self._guard = Guard(_keytab, "Kerberos keytab", clock)
            self._bindings: dict[str, bytes | None] = {}
            guard_logs()
            return
        raise missing

    def ready(self, host: str) -> str:
        """Get a ticket for the service of a host and return its name.

        Raises:
            CredentialError: there is none.
        """
        self.message(self.context(host, None), None)
        return f"a ticket for {_SERVICE}/{host}"

    def steps(self, host: str) -> Steps:
        """Return the sign-in of one request."""
        return _KerberosSteps(self, host)

    def context(self, host: str, certificate: bytes | None) -> ContextProxy:
        """Return a new exchange with a host.

        Raises:
            CredentialError: there is no ticket.
        """
        return self._make(
            hostname=host, service=_SERVICE, protocol="kerberos", channel_bindings=bindings_of(certificate)
        )

    def message(self, context: ContextProxy, received: bytes | None) -> str:
        """Return the next message of an exchange in base64.

        Raises:
            CredentialError: there is no ticket, or none for this service.
        """
        import spnego

        trial = self._guard.trial()
        try:
            message = context.step(received)
            trial.accepted()
            return base64.b64encode(message or b"").decode()
        except spnego.exceptions.SpnegoError as error:
            code, reason = _reason(error)
            if code in _LOCKING:
                trial.refused()
            failure = f"{reason}. {_CURES.get(code, _CURE)}"
        finally:
            trial.end()
        raise CredentialError(f"credential kind 'kerberos': {failure}")

    def verify(self, context: ContextProxy, received: bytes, host: str) -> None:
        """Check the proof of the server that it is the service of this name.

        Raises:
            CredentialError: it is not.
        """
        import spnego

        try:
            context.step(received)
            return
        except spnego.exceptions.SpnegoError as error:
            code, reason = _reason(error)
        if code == _TICKET_EXPIRED:
            raise CredentialError(f"credential kind 'kerberos': {reason}. {_CURES[code]}")
        raise CredentialError(
            f"credential kind 'kerberos': the server does not prove that it is {_SERVICE}/{host} ({reason}): its response "
            "is not used"
        )

    def is_asked_for_by(self, host: str) -> bool:
        """Whether a host has asked for Kerberos before."""
        return host in self._bindings

    def certificate_of(self, host: str) -> bytes | None:
        """Return the certificate of a host as it was when it last asked."""
        return self._bindings[host]

    def remember(self, host: str, certificate: bytes | None) -> None:
        """Note that a host asks for Kerberos, and its certificate."""
        self._bindings[host] = certificate

    def __reduce__(self) -> NoReturn:
        raise TypeError(HOLDS_SECRETS)


class _KerberosSteps:
    """The messages of one request: the ticket, mostly nothing else, and the server's proof of itself."""

    def __init__(self, sign_in: KerberosSignIn, host: str) -> None:
        self._sign_in = sign_in
        self._host = host
        self._context: ContextProxy | None = None
        self._is_early = False
        self.is_bound = False  # a ticket is whole in one message; what follows it is not

    def opening(self) -> str | None:
        if not self._sign_in.is_asked_for_by(self._host):
            return None
        self._is_early = True
        return self._begin(self._sign_in.certificate_of(self._host))

    def reply(self, reply: Reply) -> str | None:
        challenge = reply.offers.get("Negotiate")
        received = _decoded(challenge) if challenge else None
        if reply.status != 401:
            if self._context is not None and received is not None and not self._context.complete:
                self._sign_in.verify(self._context, received, self._host)
            return None
        if challenge is None:
            return None
        if self._context is not None and received and not self._context.complete:
            self.is_bound = True
            return f"Negotiate {self._sign_in.message(self._context, received)}"
        if self._context is not None and not self._is_early:
            return None
        self._is_early = False  # an early ticket may have been bound to another certificate
        self._sign_in.remember(self._host, reply.certificate)
        return self._begin(reply.certificate)

    def close(self) -> None:
        self._context = None

    def _begin(self, certificate: bytes | None) -> str:
        self.is_bound = False
        self._context = self._sign_in.context(self._host, certificate)
        return f"Negotiate {self._sign_in.message(self._context, None)}"


def bindings_of(certificate: bytes | None) -> GssChannelBindings | None:
    """Return what binds a sign-in to the server's certificate (DER); None in plain http. [RFC 5929]"""
    if certificate is None:
        return None
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from spnego.channel_bindings import GssChannelBindings

    try:
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except UnsupportedAlgorithm:
        algorithm = None
    if algorithm is None:
        return None
    weak = isinstance(algorithm, hashes.MD5 | hashes.SHA1)
    digest = hashes.Hash(hashes.SHA256() if weak else algorithm)
    digest.update(certificate)
    return GssChannelBindings(application_data=b"tls-server-end-point:" + digest.finalize())


def _keytab() -> str:
    """Return what tells the keytab of this process from one that replaces it."""
    name = os.environ.get("KRB5_CLIENT_KTNAME", "")
    try:
        return f"{name} {os.stat(name.removeprefix('FILE:')).st_mtime_ns}"
    except OSError:
        return name


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


def _stepped(context: ContextProxy, challenge: str, scheme: str) -> str:
    """Return the response to a challenge in base64.

    Raises:
        CredentialError: it is no challenge.
    """
    try:
        return base64.b64encode(context.step(_decoded(challenge)) or b"").decode()
    except Exception as error:  # pyspnego reads a message of the network, and raises whatever its pieces raise
        reason = type(error).__name__
    raise CredentialError(f"credential kind 'ntlm': the server's {scheme} challenge cannot be read ({reason})")


_UNSIGNED: Final = 1 << 32
_TICKET_EXPIRED: Final = -1765328352
_PREAUTH_FAILED: Final = -1765328360
_REVOKED: Final = -1765328366
_KEY_EXPIRED: Final = -1765328361
_EXPIRED_MAJOR: Final = (11 << 16, 12 << 16)
"""Codes of GSS-API for credentials and contexts that have expired. [RFC 2744]"""

_LOCKING: Final = (_PREAUTH_FAILED, _REVOKED)
"""Codes of MIT Kerberos for a wrong key and a locked account. [krb5/krb5.h]"""

_CURE: Final = "Run kinit, or name a keytab by KRB5_CLIENT_KTNAME; klist shows what is there"
_CURES: Final[Mapping[int, str]] = {
    _TICKET_EXPIRED: "The ticket has expired: run kinit again. Tickets of a keytab (KRB5_CLIENT_KTNAME) are renewed by themselves",
    -1765328377: "The domain knows no such service: base_url must name the host as its service principal (HTTP/host) does",
    -1765328347: "The clock of this machine is wrong",
    **dict.fromkeys(
        (_PREAUTH_FAILED, -1765328353), "The keytab (KRB5_CLIENT_KTNAME) holds no key of today: export it again"
    ),
    _REVOKED: "The account is locked or disabled: ask the administrator of the domain",
    _KEY_EXPIRED: "The password of the account has expired: change it, and export its keytab again",
    -1765328228: "Check the network and the realm's kdc in krb5.conf (KRB5_CONFIG)",
    -1765328230: "Check the realm in krb5.conf (KRB5_CONFIG)",
}


def _reason(error: Any) -> tuple[int, str]:
    """Return the code of MIT Kerberos of an error of pyspnego, and its words."""
    base = error.base_error
    code = int(getattr(base, "min_code", 0) or 0)
    code = code - _UNSIGNED if code >= _UNSIGNED >> 1 else code
    text = " ".join(str(base or error).split())
    found = re.search(r"Minor \(\d+\): (.*)" if code else r"Major \(\d+\): (.*?),? Minor", text)
    if int(getattr(base, "maj_code", 0) or 0) in _EXPIRED_MAJOR:
        code = _TICKET_EXPIRED
    return code, (found[1] if found else text).rstrip(".")
