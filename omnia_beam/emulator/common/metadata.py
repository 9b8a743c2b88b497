"""The metadata of a series, and how its id is made."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import Any, Final

ID_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "emulator.omnia-beam")
"""The namespace of every id that the emulator makes: ac2664dd-b275-5e51-a74d-c0e987e761df, which is
`uuid5(NAMESPACE_DNS, "emulator.omnia-beam")`."""

MANDATORY: Final = ("name", "facility")
TEXT_FIELDS: Final = ("name", "description", "unit", "assetId", "facility", "externalId", "source")
WRITABLE: Final = (*TEXT_FIELDS, "step", "metadata")


def series_id(facility: str, name: str, generation: int = 0) -> str:
    r"""Return the id of a series: `uuid5(ID_NAMESPACE, facility.upper() + "\n" + name)`, the same on every start.

    Facilities are case-insensitive [wiki], names are not. `generation` counts the earlier series of that name which
    were deleted. A GUID is never used again, so `"\n" + str(generation)` is appended to the text where it is not 0.
    """
    text = f"{facility.upper()}\n{name}"
    if generation:
        text += f"\n{generation}"
    return str(uuid.uuid5(ID_NAMESPACE, text))


@dataclass(frozen=True, slots=True)
class SeriesMetadata:
    """The fields of one timeseries, named as in the service's JSON [sdk]. Times are RFC 3339 text."""

    id: str
    name: str
    facility: str
    description: str | None = None
    step: bool = False
    unit: str | None = None
    assetId: str | None = None
    externalId: str | None = None
    source: str | None = None
    createdTime: str = "2024-01-01T00:00:00.0000000Z"
    changedTime: str = "2024-01-01T00:00:00.0000000Z"
    metadata: dict[str, Any] | None = field(default=None)

    def as_json(self) -> dict[str, Any]:
        """Return the object that the service sends for the series."""
        return {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "step": self.step,
            "unit": self.unit,
            "standardUnit": self.unit,
            "createdTime": self.createdTime,
            "changedTime": self.changedTime,
            "assetId": self.assetId,
            "facility": self.facility,
            "externalId": self.externalId,
            "source": self.source,
            "metadata": self.metadata or {},
        }

    def changed(self, changes: dict[str, Any], changed_time: str) -> SeriesMetadata:
        """Return the same series with these fields changed, at this RFC 3339 time."""
        return replace(self, **changes, changedTime=changed_time)
