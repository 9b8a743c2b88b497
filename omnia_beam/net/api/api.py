"""The common base of the clients of the four APIs: a session, and how it is opened and closed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self, Union

from omnia_beam.core.errors import UsageError
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.net.auth.options import CredentialOptions
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.stats import StatsSnapshot

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

Credential = Union["TokenCredential", CredentialOptions, str, None]  # a name in quotes takes no |
"""Any azure TokenCredential; or a `CredentialSpec`, or its kind (`client_secret`, …), to build one; or None."""


class ApiClient:
    """A client of one API over one session. Thread-safe; a context manager; not picklable, as its session is not."""

    def __init__(self, session: ServiceSession) -> None:
        self._session = session

    @property
    def session(self) -> ServiceSession:
        """The session that sends this client's requests."""
        return self._session

    @property
    def stats(self) -> StatsSnapshot:
        """The counts of what was sent and received so far."""
        return self._session.stats.snapshot()

    def close(self) -> None:
        """End requests under way and close the connections."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._session.settings.base_url!r})"


def open_session(
    settings: ServiceSettings, credential: Credential = None, environ: Mapping[str, str] | None = None
) -> ServiceSession:
    """Return a new session that is not shared, signed in by `credential`; None uses the credential of the settings.

    Raises:
        UsageError: a credential without a resource id, or one that cannot be built.
    """
    if isinstance(credential, str):
        credential = CredentialSpec(credential)
    if isinstance(credential, CredentialOptions):
        return ServiceSession(replace(settings, credential=credential), environ=environ)
    if credential is None:
        return ServiceSession(settings, environ=environ)
    if not settings.resource_id:
        raise UsageError(
            f"{settings.base_url}: a credential needs a resource_id, the OAuth resource that its tokens are for"
        )
    from omnia_beam.net.auth.token_provider import TokenProvider  # here, with the libraries of sign-in

    provider = TokenProvider(credential, f"{settings.resource_id}/.default")
    return ServiceSession(settings, provider, environ=environ)
