"""The state beside the series: streaming subscriptions, and what has been set on IMS subscriptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

STATE_DEFAULTS: Final[Mapping[str, Any]] = {
    "tsdbBackfilled": False,
    "tsdbEventsExported": 0,
    "tsdbFirstExportedTime": None,
    "tsdbLastExportedTime": None,
    "dlBackfilled": False,
    "dlEventsExported": 0,
    "dlFirstExportedTime": None,
    "dlLastExportedTime": None,
    "dlParquetFirstExportedTime": None,
    "dlParquetLastExportedTime": None,
    "sourceFirstCountedTime": None,
    "sourceLastCountedTime": None,
}
"""The state fields of an IMS subscription [sdk], with the values that a new one has."""

SUBSCRIPTION_FIELDS: Final = ("name", "plantStidCode", "plantSapCode", "terminal", "fieldId", "timeseriesId")
"""The other fields of an IMS subscription that may be set [sdk]."""


class Companion:
    """The state that the companion APIs have been given; `changed` is true once it is not empty."""

    def __init__(self) -> None:
        self.streamed: list[str] = []
        self.patches: dict[str, dict[str, Any]] = {}
        self.has_destination = False

    @property
    def changed(self) -> bool:
        return bool(self.streamed or self.patches or self.has_destination)

    def state(self) -> dict[str, Any]:
        """Return the whole state as JSON content."""
        patches = {uid: dict(patch) for uid, patch in self.patches.items()}
        return {"streamed": list(self.streamed), "patches": patches, "has_destination": self.has_destination}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Replace the state with one that `state` returned."""
        self.streamed = list(state["streamed"])
        self.patches = {uid: dict(patch) for uid, patch in state["patches"].items()}
        self.has_destination = bool(state["has_destination"])
