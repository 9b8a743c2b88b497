"""The addresses of the Omnia services: base URL and OAuth resource id of each, per environment. [sdk]

environment("prod").timeseries.base_url      https://api.gateway.equinor.com/plant/timeseries/v1.7
environment("prod").timeseries.scope         141369bd-…/.default
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from omnia_beam.core.errors import UsageError

EnvironmentName = Literal["dev", "test", "prod"]


@dataclass(frozen=True)
class Endpoint:
    """One API of one environment: its base URL (no slash at the end) and the resource id that its tokens are for."""

    base_url: str
    resource_id: str

    @property
    def scope(self) -> str:
        """The OAuth scope of an application's own token."""
        return f"{self.resource_id}/.default"


@dataclass(frozen=True)
class Environment:
    """The four APIs of one environment."""

    name: str
    timeseries: Endpoint
    ims_metadata: Endpoint
    ims_subscriptions: Endpoint
    ims_subscriptions_management: Endpoint


def _environment(name: str, gateway: str, timeseries: str, ims_metadata: str, ims_subscriptions: str) -> Environment:
    return Environment(
        name=name,
        timeseries=Endpoint(f"{gateway}/timeseries/v1.7", timeseries),
        ims_metadata=Endpoint(f"{gateway}/ims-metadata/v1.3", ims_metadata),
        ims_subscriptions=Endpoint(f"{gateway}/ims-subscriptions/v1.2", ims_subscriptions),
        ims_subscriptions_management=Endpoint(f"{gateway}/ims-subscriptions-management/v1.2", ims_subscriptions),
    )


_BELOW_PROD = {
    "timeseries": "32f2a909-8a98-4eb8-b22d-1208d9350cb0",
    "ims_metadata": "310547f5-022b-4fb5-b13e-2b468b8bf658",
    "ims_subscriptions": "789d768e-32ac-417b-b286-be5e0d460809",
}

ENVIRONMENTS: Final[Mapping[str, Environment]] = {
    "dev": _environment("dev", "https://api-dev.gateway.equinor.com/plant", **_BELOW_PROD),
    "test": _environment("test", "https://api-test.gateway.equinor.com/plant", **_BELOW_PROD),
    "prod": _environment(
        "prod",
        "https://api.gateway.equinor.com/plant",
        timeseries="141369bd-3dca-4b55-825b-56ad4a69b1fc",
        ims_metadata="71415e4e-7131-4a81-9596-f921978cdbee",
        ims_subscriptions="cae23674-f25d-40a2-b9e4-81649b33b957",
    ),
}


def environment(name: str) -> Environment:
    """Return the APIs of the named environment.

    Raises:
        UsageError: the name is not `dev`, `test` or `prod`.
    """
    found = ENVIRONMENTS.get(name)
    if found is None:
        near = difflib.get_close_matches(str(name).lower(), ENVIRONMENTS, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"{name!r} is not an environment: choose dev, test or prod{hint}")
    return found


def companions_of(base_url: str, resource_id: str | None) -> Environment:
    """Return the four APIs of the gateway that serves the Timeseries API at `base_url`.

    Resource ids are those of the environment whose Timeseries API has this `resource_id`. For another gateway, such as an
    emulator, they are unknown and left empty.

    Raises:
        UsageError: the base URL is not `…/timeseries/v…`, so the addresses of its companions are unknown.
    """
    for known in ENVIRONMENTS.values():
        if known.timeseries.base_url == base_url:
            return known
    gateway, found, _ = base_url.rpartition("/timeseries/")
    if not found:
        raise UsageError(
            f"{base_url} does not end in /timeseries/v…: where its companion APIs are is not known; make their clients "
            "from a session with their own base_url"
        )
    match = next((known for known in ENVIRONMENTS.values() if known.timeseries.resource_id == resource_id), None)
    if match is None:
        return _environment("", gateway, "", "", "")
    return _environment(
        match.name,
        gateway,
        match.timeseries.resource_id,
        match.ims_metadata.resource_id,
        match.ims_subscriptions.resource_id,
    )
