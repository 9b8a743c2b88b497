"""A timeseries as metadata: its name and where it belongs.

Its id (a GUID) is its identity for life; its name is not, and `name` and `facility` together are unique. [sdk]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from sys import intern
from typing import Any, Final

from omnia_beam.core.errors import UsageError, WireFormatError
from omnia_beam.core.text import html_table

_JSON_NAMES: Final = {
    "name": "name",
    "facility": "facility",
    "description": "description",
    "step": "step",
    "unit": "unit",
    "asset_id": "assetId",
    "external_id": "externalId",
    "metadata": "metadata",
}
"""Fields that a client may set, by their Python names, with the service's names."""

_SERVICE_NAMES: Final = {
    "id": "id",
    "standard_unit": "standardUnit",
    "created_time": "createdTime",
    "changed_time": "changedTime",
    "source": "source",
}
"""Fields that only the service sets, by their Python names, with the service's names."""

_OFTEN_EQUAL: Final = frozenset({"facility", "unit", "standard_unit", "source"})

VALUE_TYPES: Final = (
    "float64",
    "float32",
    "int16",
    "int32",
    "int64",
    "digital",
    "string",
    "timestamp",
)
"""What the values of a series can be. Points hold all of them as float64; texts beside it."""


@dataclass(frozen=True)
class TimeseriesDraft:
    """The metadata of a timeseries to create, or to replace another's metadata with.

    `name` and `facility` are mandatory; a field that is None is left to the service.

    Raises:
        UsageError: no name or no facility.
    """

    name: str
    facility: str
    description: str | None = None
    step: bool | None = None
    unit: str | None = None
    asset_id: str | None = None
    external_id: str | None = None
    metadata: Mapping[str, Any] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        if not self.name or not self.facility:
            raise UsageError(f"a timeseries needs a name and a facility, not {self.name!r} and {self.facility!r}")

    def to_json(self) -> dict[str, Any]:
        """Return the draft as the service expects it, without the fields that are None."""
        return changes_to_json({name: value for name in _JSON_NAMES if (value := getattr(self, name)) is not None})


@dataclass(frozen=True, slots=True)
class Timeseries:
    """A timeseries that exists in a source or a target.

    `created_time` and `changed_time` are the service's own RFC 3339 texts, because they may lie outside the range of ns.
    `step` means that a value holds until the next one. `metadata` belongs to the owner of the timeseries; `other` holds fields
    of the service that have no attribute here. `value_type` is one of VALUE_TYPES, None where it is not known; `states` names
    the codes of a digital series; `extra` holds attributes, fit for JSON, of sources that have others than these.
    """

    id: str
    name: str
    facility: str
    description: str | None = None
    step: bool | None = None
    unit: str | None = None
    standard_unit: str | None = None
    created_time: str | None = None
    changed_time: str | None = None
    asset_id: str | None = None
    external_id: str | None = None
    source: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    other: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    value_type: str | None = None
    states: Mapping[int, str] = field(default_factory=dict, hash=False)
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def from_json(cls, content: Any) -> Timeseries:
        """Build a timeseries from one item of a response.

        Raises:
            WireFormatError: the item is not an object, or has no id.
        """
        if not isinstance(content, dict) or not isinstance(content.get("id"), str) or not content["id"]:
            raise WireFormatError("a timeseries in the response has no id")
        spelling = _JSON_NAMES | _SERVICE_NAMES
        known = {name: content[spelled] for name, spelled in spelling.items() if content.get(spelled) is not None}
        for name in _OFTEN_EQUAL & known.keys():  # one text for all series of a plant
            known[name] = intern(known[name]) if isinstance(known[name], str) else known[name]
        other = {name: value for name, value in content.items() if name not in spelling.values()}
        return cls(**{"name": "", "facility": "", **known}, other=other)

    def draft(self) -> TimeseriesDraft:
        """Return what can be copied to another service: every field except those that the service sets itself.

        Raises:
            UsageError: the timeseries has no name or no facility.
        """
        fields = {name: getattr(self, name) for name in _JSON_NAMES}
        return TimeseriesDraft(**{**fields, "metadata": self.attributes})

    def under(self, series_id: str) -> Timeseries:
        """Return the timeseries with another id; the timeseries itself where it has that id."""
        return self if self.id == series_id else replace(self, id=series_id)

    @property
    def is_bare(self) -> bool:
        """Whether nothing is known of it but its id."""
        bare = Timeseries(self.id, self.id, "", value_type=self.value_type)
        return (
            self == bare and self.value_type in (None, "float64") and not (self.attributes or self.other or self.states)
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the name first, then every field that has a value."""
        shown = (
            "name",
            "facility",
            "unit",
            "description",
            "step",
            "value_type",
            "source",
            "asset_id",
            "external_id",
            "id",
        )
        found = [(name, getattr(self, name)) for name in shown]
        more = [(str(name), value) for name, value in self.attributes.items()]
        rows = [(name, value) for name, value in (*found, *more) if value not in (None, "")]
        return html_table(("timeseries", self.name or self.id), rows)

    @property
    def title(self) -> str:
        """The name, with the id behind it; the id alone where there is no other name."""
        return f"{self.name} ({self.id})" if self.name and self.name != self.id else self.id

    @property
    def attributes(self) -> dict[str, Any]:
        """What the owner or the source has noted beyond the other fields: `metadata` and `extra` as one."""
        return {**self.metadata, **self.extra}


def changes_to_json(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a timeseries, given by their Python names, under the service's names.

    Raises:
        UsageError: a client cannot set a field of that name.
    """
    for name in changes:
        if name not in _JSON_NAMES:
            raise UsageError(
                f"{name!r} is no field of a timeseries that can be set: choose from {', '.join(_JSON_NAMES)}"
            )
    return {_JSON_NAMES[name]: dict(value) if isinstance(value, Mapping) else value for name, value in changes.items()}
