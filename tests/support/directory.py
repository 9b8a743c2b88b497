"""Who a test's directory knows: one tenant, its API, its applications and one user."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.support.token_mint import base64url

RESOURCE_ID = "32f2a909-8a98-4eb8-b22d-1208d9350cb0"
"""The resource id of the Timeseries API of the dev and test environments."""


@dataclass
class Application:
    """A registration. `secret` and `certificates` are what it may prove itself by; without either it is a public client."""

    client_id: str
    secret: str = field(default="", repr=False)
    certificates: list[x509.Certificate] = field(default_factory=list)
    redirect_uris: tuple[str, ...] = ("http://localhost",)
    roles: tuple[str, ...] = ("Timeseries.Read",)

    def certificate_by_thumbprint(self, header: dict[str, str]) -> x509.Certificate | None:
        """The registered certificate that a client assertion's header names, by SHA-1 (`x5t`) or SHA-256."""
        named = {
            header[key].rstrip("=") for key in ("x5t", "x5t#S256") if key in header
        }  # msal pads, Entra ID minds not
        for certificate in self.certificates:
            if named & {
                base64url(certificate.fingerprint(algorithm)) for algorithm in (hashes.SHA1(), hashes.SHA256())
            }:
                return certificate
        return None


@dataclass(frozen=True)
class User:
    """The one person of the directory."""

    object_id: str = "5f4dcc3b-5aa7-4f6b-8c0e-0d6c3b1f0a11"
    name: str = "operator@example.invalid"


@dataclass
class Directory:
    """A tenant with its API and its applications."""

    tenant_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    resource_id: str = RESOURCE_ID
    user: User = field(default_factory=User)
    applications: dict[str, Application] = field(default_factory=dict)

    def register(self, application: Application) -> Application:
        """Add an application."""
        self.applications[application.client_id] = application
        return application
