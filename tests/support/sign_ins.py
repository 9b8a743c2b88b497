"""Every way to sign in, ready to use against the stand-ins: configuration keys, environment, and the secrets in play.

def test_backfill(stage):                     # the fixture: `from tests.support.fixtures import …`
    sign_in = stage.sign_in("client_secret")
    run_cli(config={"credential": sign_in.keys}, environ=sign_in.environ)   # another process, or
    CredentialSpec(**sign_in.keys).build(sign_in.environ)                    # this one
    assert not find_leaks(outputs, stage.secrets(sign_in))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.authority import Authority
from tests.support.browser import ScriptedBrowser, browser_command
from tests.support.directory import Application
from tests.support.identity_endpoint import IdentityEndpoint
from tests.support.pki import ClientCertificate, PrivateCa

SECRET = "s3Cr~et/Value+with=odd&chars.Q8"  # one that every encoding spells differently
IDENTITY_HEADER = "1dent1ty-Header-Value-77aa"
PASSWORD = "p4ss Wort%für-den-Schlüssel"

CONFIDENTIAL = "11111111-aaaa-4aaa-8aaa-000000000001"
PUBLIC = "22222222-bbbb-4bbb-8bbb-000000000002"
USER_ASSIGNED = "33333333-cccc-4ccc-8ccc-000000000003"


@dataclass(frozen=True)
class SignIn:
    """`keys` go below `credential:`; `environ` into the process's environment; `flow` is the counter that moves."""

    name: str
    keys: dict[str, Any]
    environ: dict[str, str]
    flow: str
    secrets: tuple[str, ...] = field(repr=False)


class Stage:
    """The stand-ins of one test: authority, identity endpoint and browser, with two applications registered."""

    def __init__(
        self,
        ca: PrivateCa,
        authority: Authority,
        identity: IdentityEndpoint,
        certificate: ClientCertificate,
        home: Path,
    ) -> None:
        self.ca = ca
        self.authority = authority
        self.identity = identity
        self.certificate = certificate
        self.home = home
        self.browser = ScriptedBrowser(ca.bundle)
        self.directory = authority.directory
        self.directory.register(Application(CONFIDENTIAL, secret=SECRET, certificates=[certificate.certificate]))
        self.directory.register(Application(PUBLIC))

    @property
    def resource_id(self) -> str:
        """The API that tokens are for."""
        return self.directory.resource_id

    def sign_in(self, name: str) -> SignIn:
        """One of `SIGN_INS`."""
        return SIGN_INS[name](self)

    def issued(self, flow: str) -> int:
        """Access tokens that a flow has brought."""
        return self.authority.grants.issued[flow] + self.identity.issued[flow]

    def secrets(self, sign_in: SignIn) -> list[str]:
        """The sign-in's own, and every token and code handed out so far."""
        return [*sign_in.secrets, *self.authority.grants.handed_out, *self.identity.handed_out]

    def user_assertion(self, lifetime_s: int | None = None) -> str:
        """A token of the user for the confidential application, as its own front end would hold one."""
        user = self.directory.user
        return self.authority.mint.sign(CONFIDENTIAL, lifetime_s, oid=user.object_id, upn=user.name, scp="access")

    def emulator_arguments(self, folder: Path) -> list[str]:
        """What makes `omnia-beam emulator` take this authority's tokens for this API, and no others."""
        jwks = self.authority.mint.write_jwks(folder / "jwks.json")
        issuer = self.authority.mint.issuer
        return ["--auth", "bearer", "--jwks", str(jwks), "--audience", self.resource_id, "--issuer", issuer]

    @property
    def authority_keys(self) -> dict[str, Any]:
        """What every kind needs to find the stand-in instead of the real authority."""
        return {"authority": self.authority.url, "disable_instance_discovery": True, "ca_bundle": str(self.ca.bundle)}

    def environ(self, client_id: str, **more: str) -> dict[str, str]:
        """The ids by the SDK's variables, and more."""
        return {"AZURE_TENANT_ID": self.directory.tenant_id, "AZURE_CLIENT_ID": client_id, **more}


def _client_secret(stage: Stage) -> SignIn:
    environ = stage.environ(CONFIDENTIAL, AZURE_CLIENT_SECRET=SECRET)
    keys = {"kind": "client_secret", **stage.authority_keys}
    return SignIn("client_secret", keys, environ, "client_secret", (SECRET,))


def _client_certificate(stage: Stage) -> SignIn:
    environ = stage.environ(
        CONFIDENTIAL,
        AZURE_CLIENT_CERT_PATH=str(stage.certificate.path),
        AZURE_CLIENT_CERTIFICATE_PASSWORD=stage.certificate.password,
    )
    keys = {"kind": "client_certificate", **stage.authority_keys}
    key = "".join(stage.certificate.path.read_text().splitlines()[1:3])
    return SignIn("client_certificate", keys, environ, "client_certificate", (stage.certificate.password, key))


def _interactive_browser(stage: Stage) -> SignIn:
    keys = {"kind": "interactive_browser", "prompt_timeout_s": 20, **stage.authority_keys}
    environ = stage.environ(PUBLIC, BROWSER=browser_command(), REQUESTS_CA_BUNDLE=str(stage.ca.bundle))
    return SignIn("interactive_browser", keys, environ, "interactive_browser", ())


def _device_code(stage: Stage) -> SignIn:
    keys = {"kind": "device_code", "prompt_timeout_s": 20, **stage.authority_keys}
    return SignIn("device_code", keys, stage.environ(PUBLIC), "device_code", ())


def _managed_identity(stage: Stage) -> SignIn:
    keys = {"kind": "managed_identity"}
    return SignIn("managed_identity", keys, stage.identity.environ, "system_assigned", (IDENTITY_HEADER,))


def _managed_identity_of_user(stage: Stage) -> SignIn:
    keys = {"kind": "managed_identity", "client_id": USER_ASSIGNED}
    return SignIn("managed_identity_of_user", keys, stage.identity.environ, "user_assigned", (IDENTITY_HEADER,))


def _default_by_environment(stage: Stage) -> SignIn:
    environ = stage.environ(CONFIDENTIAL, AZURE_CLIENT_SECRET=SECRET)
    keys = {"kind": "default", **stage.authority_keys}
    return SignIn("default_by_environment", keys, environ, "client_secret", (SECRET,))


def _default_by_identity(stage: Stage) -> SignIn:
    environ = stage.identity.environ
    return SignIn("default_by_identity", {"kind": "default"}, environ, "system_assigned", (IDENTITY_HEADER,))


def _on_behalf_of(stage: Stage) -> SignIn:
    assertion = stage.user_assertion()
    environ = stage.environ(CONFIDENTIAL, AZURE_CLIENT_SECRET=SECRET, USER_ASSERTION=assertion)
    keys = {"kind": "on_behalf_of", **stage.authority_keys}
    return SignIn("on_behalf_of", keys, environ, "on_behalf_of", (SECRET, assertion))


def _on_behalf_of_by_certificate(stage: Stage) -> SignIn:
    assertion = stage.user_assertion()
    environ = stage.environ(
        CONFIDENTIAL, AZURE_CLIENT_CERTIFICATE_PASSWORD=stage.certificate.password, USER_ASSERTION=assertion
    )
    keys = {"kind": "on_behalf_of", "certificate_path": str(stage.certificate.path), **stage.authority_keys}
    secrets = (stage.certificate.password, assertion)
    return SignIn("on_behalf_of_by_certificate", keys, environ, "on_behalf_of", secrets)


SIGN_INS: dict[str, Callable[[Stage], SignIn]] = {
    "client_secret": _client_secret,
    "client_certificate": _client_certificate,
    "interactive_browser": _interactive_browser,
    "device_code": _device_code,
    "managed_identity": _managed_identity,
    "managed_identity_of_user": _managed_identity_of_user,
    "default_by_environment": _default_by_environment,
    "default_by_identity": _default_by_identity,
    "on_behalf_of": _on_behalf_of,
    "on_behalf_of_by_certificate": _on_behalf_of_by_certificate,
}
"""By name: the kind, or the kind and the way it takes."""
