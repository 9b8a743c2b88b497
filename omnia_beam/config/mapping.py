"""The keys that map timeseries of the source to timeseries of the target: by a file, by a rule, or both."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

from omnia_beam.config.fields import Factor, PathText, Template, Text
from omnia_beam.config.secrecy import show_value
from omnia_beam.config.section import OrText, Section, key, problem
from omnia_beam.config.status_maps import STATUS_MAPS
from omnia_beam.core.limits import MAX_STATUS


class UnitRule(Section):
    """The conversion of one unit: value in the target's unit = value · scale + offset."""

    to: Text = key("The target's unit.")
    scale: Factor | None = key("Factor; without scale and offset the conversion follows from the units' names.", None)
    offset: Factor | None = key("What is added after scaling, in the target's unit.", None)

    @model_validator(mode="after")
    def _keeps_values(self) -> UnitRule:
        if self.scale == 0:
            raise problem("0 would make every value the same", at="scale")
        return self


def _unit_rule(value: Any) -> Any:
    return {"to": value} if isinstance(value, str) else value


def _read_unlisted(value: Any) -> Any:
    if value in ("carry", "reject"):
        return value
    try:
        return _read_status(value)
    except PydanticCustomError:
        raise problem(
            f"{show_value((), value)} is not carry, reject or a status (0 to {MAX_STATUS}) that replaces all unlisted ones"
        ) from None


def _read_status_map(value: Any) -> Any:
    """Return a name unchanged, a table with numbers; a union of the two types would report every mistake twice."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise problem("must be the name of a status map, or a table such as {0: 192, 1: 64}")
    return {_read_status(source): _read_status(target) for source, target in value.items()}


def _read_status(value: Any) -> int:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_STATUS:
        raise problem(f"{show_value((), value)} is not a status: whole numbers from 0 to {MAX_STATUS}")
    return number


_STATUS_TABLE_SCHEMA: Final = {
    "type": "object",
    "propertyNames": {"pattern": "^[0-9]+$"},
    "additionalProperties": {"type": "integer", "minimum": 0, "maximum": MAX_STATUS},
    "title": "table of statuses",
}

StatusTable = Annotated[dict[int, int], BeforeValidator(_read_status_map), WithJsonSchema(_STATUS_TABLE_SCHEMA)]
StatusMap = Annotated[
    str | dict[int, int],
    BeforeValidator(_read_status_map),
    WithJsonSchema({"anyOf": [{"type": "string"}, _STATUS_TABLE_SCHEMA], "title": "name or table of statuses"}),
]


class MappingConfig(Section):
    """Mapping of series, units and statuses. Rows of the file take precedence over the rule."""

    starter: ClassVar = {"by": "name_and_facility"}

    file: PathText | None = key(
        "CSV with columns source, source_unit, target_name, target_facility, target_id, target_unit, scale, offset, status_map; "
        "all but source optional, a column why is a comment. Series metadata (`_series-<job>.csv`) can be used too.",
        None,
    )
    by: Literal["same_id", "name_and_facility", "template"] | None = key(
        "Rule for series that the file does not name: the same id in the target, the same name and facility, or "
        "`target_name` and `target_facility` filled in.",
        None,
    )
    target_name: Template | None = key("Name in the target, by the rule `template`.", None)
    target_facility: Template | None = key("Facility in the target, by the rule `template`; otherwise the same.", None)
    on_unmapped: Literal["fail", "skip", "same_id"] = key(
        "What happens to series that neither file nor rule maps: the run is refused, they are left out (and listed), or they "
        "keep their id.",
        "fail",
    )
    status_maps: dict[str, StatusTable] = key(
        default_factory=dict,
        description="Own status tables, by name: {status of the source: status of the target}.",
    )
    status_map: StatusMap | None = key(
        "Status map of series whose row names none: a table, or the name of one: "
        + ", ".join(STATUS_MAPS)
        + ", or a key of "
        "`status_maps`. Without it statuses stay as they are.",
        None,
    )
    unlisted_status: Annotated[
        Literal["carry", "reject"] | int,
        BeforeValidator(_read_unlisted),
        WithJsonSchema(
            {
                "title": "carry, reject or a status",
                "anyOf": [{"enum": ["carry", "reject"]}, {"type": "integer", "minimum": 0}],
            }
        ),
    ] = key(
        "What happens to a status that its map does not list: carried through, the point kept as a dead letter, or this status.",
        "carry",
    )
    units: dict[str, Annotated[UnitRule, BeforeValidator(_unit_rule), OrText()]] = key(
        default_factory=dict,
        description="Unit conversions of series whose row gives none: {unit of the source: unit of the target}, or with `to`, "
        "`scale` and `offset`.",
    )

    @field_validator("status_map", mode="before")
    @classmethod
    def _is_known_map(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str) and "status_maps" in info.data:  # absent where status_maps itself was wrong
            check_status_map(value, {**STATUS_MAPS, **info.data["status_maps"]})
        return value

    @model_validator(mode="after")
    def _maps_something(self) -> MappingConfig:
        for name in self.status_maps:
            if name in STATUS_MAPS:
                raise problem(f"{name} is the name of a built-in status map: choose another", at="status_maps")
        if self.by == "template" and self.target_name is None:
            raise problem('by: template needs a template for the name, such as "{name}"', at="target_name")
        if self.by != "template":
            for name in ("target_name", "target_facility"):
                if getattr(self, name) is not None:
                    raise problem("has no meaning without by: template", at=name)
        return self

    def tables(self) -> dict[str, Mapping[int, int]]:
        """Return every status map that a name can refer to here: the built-in ones and those of `status_maps`."""
        return {**STATUS_MAPS, **self.status_maps}

    def status_table(self) -> Mapping[int, int] | None:
        """Return the table that `status_map` refers to; None where statuses are not changed."""
        return self.tables()[self.status_map] if isinstance(self.status_map, str) else self.status_map


def check_status_map(name: str, tables: Mapping[str, Any]) -> None:
    """Raise a validation problem that lists the known names unless `name` is one."""
    if name not in tables:
        near = difflib.get_close_matches(name, tables, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ";"
        raise problem(f'"{name}" is not a status map{hint} known: {", ".join(tables)}')
