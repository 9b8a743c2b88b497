"""The Omnia client for people and scripts, without Beam.

    with OmniaClient.for_environment("prod", credential=AzureCliCredential()) as omnia:
        points = omnia.get_datapoints("0a1b…", "2024-01-01", "2024-02-01", status=[192])
        points.to_pandas()

It covers every operation of the service; the method names are those of the official SDK. Requests go through a
`ServiceSession`: pooled, paced, retried where that is safe, with tokens fetched per attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, Self

from omnia_beam.core.errors import UsageError
from omnia_beam.net.api.api import ApiClient, Credential, open_session
from omnia_beam.net.api.ims import ImsMetadataClient, ImsSubscriptionsClient, ImsSubscriptionsManagementClient
from omnia_beam.net.api.metadata import MetadataCalls
from omnia_beam.net.api.reading import DatapointReads
from omnia_beam.net.api.streaming import StreamingCalls
from omnia_beam.net.api.writing import DatapointWrites
from omnia_beam.net.http.environments import Endpoint, companions_of, environment
from omnia_beam.net.http.settings import ServiceSettings


class OmniaClient(DatapointReads, DatapointWrites, MetadataCalls, StreamingCalls):
    """A client of one Omnia Timeseries service. Thread-safe; a context manager; not picklable (create it where it is used).

    Args:
        base_url: of the Timeseries API, such as `https://api.gateway.equinor.com/plant/timeseries/v1.7`.
        credential: any azure `TokenCredential`; a `CredentialSpec` or its kind (`"client_secret"`, which reads
            AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET); None for a service that needs no token.
        resource_id: the OAuth resource that tokens are for; required with a credential.
        format: of the responses with datapoints; protobuf is several times faster.
        environ: where environment variables are looked up; this process's environment when None.
        settings: all other options, by the names of `ServiceSettings`: `requests_per_second` (20), `max_in_flight` (8),
            `federation_source`, `retry`, `subscription_key_env`, `ca_bundle`, …

    Raises:
        UsageError: an argument has an invalid value, or the credential cannot be built.

    Examples:
        >>> from omnia_beam.emulator.thread import EmulatorThread
        >>> emulated = EmulatorThread(["--synthetic", "dense:series=1,days=1,step=60s"])
        >>> with emulated as emulator, OmniaClient(emulator.url) as omnia:
        ...     series = next(omnia.search_timeseries())
        ...     len(omnia.get_datapoints(series.id, "2024-01-01", "2024-01-01T01:00Z"))
        60
    """

    def __init__(
        self,
        base_url: str,
        *,
        credential: Credential = None,
        resource_id: str | None = None,
        format: Literal["protobuf", "json"] = "protobuf",
        environ: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        try:
            made = ServiceSettings(base_url, resource_id, **settings)
        except TypeError as error:
            raise UsageError(f"OmniaClient: {error}; see ServiceSettings for the options") from None
        super().__init__(open_session(made, credential, environ), format)
        self._credential = credential
        self._environ = environ

    @classmethod
    def for_environment(cls, name: str, *, credential: Credential, **options: Any) -> Self:
        """Return a client of the environment `dev`, `test` or `prod`, with its known base URL and resource id.

        Raises:
            UsageError: another name; otherwise as the constructor.
        """
        endpoint = environment(name).timeseries
        return cls(endpoint.base_url, resource_id=endpoint.resource_id, credential=credential, **options)

    @cached_property
    def ims_metadata(self) -> ImsMetadataClient:
        """The client of the IMS Metadata API at the same gateway, with the same credential and settings."""
        return ImsMetadataClient(self._beside("ims_metadata"))

    @cached_property
    def ims_subscriptions(self) -> ImsSubscriptionsClient:
        """The client of the IMS Subscriptions API at the same gateway, with the same credential and settings."""
        return ImsSubscriptionsClient(self._beside("ims_subscriptions"))

    @cached_property
    def ims_subscriptions_management(self) -> ImsSubscriptionsManagementClient:
        """The client of the IMS Subscriptions Management API at the same gateway, with the same credential and settings."""
        return ImsSubscriptionsManagementClient(self._beside("ims_subscriptions_management"))

    def close(self) -> None:
        """End requests under way and close the connections, also those to the companion APIs."""
        super().close()
        for client in list(vars(self).values()):
            if isinstance(client, ApiClient):
                client.close()

    def _beside(self, api: str) -> Any:
        settings = self.session.settings
        endpoint: Endpoint = getattr(companions_of(settings.base_url, settings.resource_id), api)
        # Only the Timeseries API has a federation source.
        beside = replace(
            settings, base_url=endpoint.base_url, resource_id=endpoint.resource_id or None, federation_source=None
        )
        return open_session(beside, self._credential, self._environ)
