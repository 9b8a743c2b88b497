"""What a job's points are expected to be like: `expect`, checked after a run and by `profile`, and never part of the scope."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from omnia_beam.config.fields import Duration
from omnia_beam.config.secrecy import show_value
from omnia_beam.config.section import Section, key, problem

_SHARE: Final = re.compile(r"\d{1,3}(\.\d{1,6})?%", re.ASCII)


def _read_share(value: Any) -> Any:
    text = value.replace(" ", "") if isinstance(value, str) else ""
    if not _SHARE.fullmatch(text) or Fraction(text[:-1]) > 100:
        raise problem(f"{show_value((), value)} is not a percentage from 0% to 100%: write 1% or 0.5%")
    return text


def _read_limits(value: Any) -> Any:
    ends = [_number(each) for each in value] if isinstance(value, list | tuple) and len(value) == 2 else []
    if not ends or any(each is not None and math.isnan(each) for each in ends):
        raise problem("is not a range: write [0, 250], or [0, null] for one without an upper end")
    low, high = ends
    if low is None and high is None:
        raise problem("has neither a lower nor an upper end: remove the key")
    if low is not None and high is not None and low > high:
        raise problem(f"[{low:g}, {high:g}] ends below its beginning")
    return low, high


def _number(value: Any) -> float | None:
    """Return an end of a range, None for no limit, NaN for what is no finite number."""
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) else math.nan


Share = Annotated[
    str,
    BeforeValidator(_read_share),
    WithJsonSchema({"type": "string", "pattern": "^[0-9. ]+%$", "title": "percentage"}),
]
"""A percentage as text, such as `0.5%`; see `share_of`."""

_END: Final = {"anyOf": [{"type": "number"}, {"type": "null"}]}

Limits = Annotated[
    tuple[float | None, float | None],
    BeforeValidator(_read_limits),
    WithJsonSchema({"type": "array", "items": _END, "minItems": 2, "maxItems": 2, "title": "range"}),
]
"""The least and the greatest value, both included; None for no limit."""

Count = Annotated[int, Field(ge=0)]


def share_of(text: str) -> Fraction:
    """Return a percentage as a share, 0 to 1, exactly."""
    return Fraction(text[:-1]) / 100


class ExpectRules(Section):
    """What the points of a series are expected to be like. A key that is not given is not checked."""

    max_gap: Duration | None = key("Longest time between two neighbouring points.", None)
    min_points: Count | None = key("Least number of points; a series without any has 0.", None)
    bad_share: Share | None = key("Largest share of points whose status is not good.", None)
    range: Limits | None = key("Least and greatest value, such as `[0, 250]`; `null` for no limit.", None)

    @property
    def given(self) -> dict[str, Any]:
        """The keys that are given, `null` among them, by name."""
        return {name: getattr(self, name) for name in ExpectRules.model_fields if name in self.model_fields_set}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is checked."""
        return all(getattr(self, name) is None for name in ExpectRules.model_fields)


class ExpectConfig(ExpectRules):
    """What the points of all series are expected to be like, and those of some."""

    series: dict[str, ExpectRules] = key(
        default_factory=dict,
        description='Other rules for some series, by patterns of their names or ids, such as `"PT*"`: of the patterns that fit a '
        "series the first one that gives a key counts, and `null` takes it back.",
    )

    @model_validator(mode="after")
    def _expects_something(self) -> ExpectConfig:
        if self.is_empty and all(each.is_empty for each in self.series.values()):
            raise problem("expects nothing: give max_gap, min_points, bad_share or range")
        if "" in self.series:
            raise problem("a pattern is empty", at="series")
        return self

    def rules_of(self, *names: str) -> Mapping[str, Any]:
        """Return what is expected of a series that is known by these names: a value by key, without those not checked."""
        found: dict[str, Any] = {}
        fitting = [rules for pattern, rules in self.series.items() if any(fits(pattern, name) for name in names)]
        for rules in (*fitting, self):
            for name, value in rules.given.items():
                found.setdefault(name, value)
        return {name: value for name, value in found.items() if value is not None}


def fits(pattern: str, name: str) -> bool:
    """Return whether a name fits a pattern, in which `*` stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None
