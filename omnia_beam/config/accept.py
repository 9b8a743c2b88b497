"""Findings of the loss report that `accept` lets pass: by name, for some series, up to a number of points."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

from omnia_beam.config.expect import fits
from omnia_beam.config.secrecy import show_value
from omnia_beam.config.section import problem

BLOCKING: Final = (
    "unmapped_series",
    "missing_target",
    "duplicate_target",
    "unknown_unit",
    "unlisted_status",
    "nan_values",
    "time_resolution",
    "text_values",
    "same_time",
    "integer_precision",
    "infinite_values",
    "long_as_wide",
    "status_values",
)
REPORTED: Final = ("duplicates", "unread_column", "odd_times", "renamed_series", "series_changed")
"""Findings that stop no run, unless `at_most` says so."""

FINDINGS: Final = BLOCKING + REPORTED
"""Names of all findings of a migration's loss report, which `accept` may let pass."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One item of `accept`.

    Args:
        finding: its name.
        series: the series that it applies to, by name or id, `*` for anything; empty for all.
        at_most: points of all those series together; None for any number.
    """

    finding: str
    series: tuple[str, ...] = ()
    at_most: int | None = None

    def covers(self, finding: str, *names: str) -> bool:
        """Return whether this item applies to a finding about a series that is known by these names."""
        if finding != self.finding:
            return False
        return not self.series or any(fits(pattern, name) for pattern in self.series for name in names)

    def __str__(self) -> str:
        return self.finding if not self.series else f"{self.finding} of {', '.join(self.series)}"


def accepted(names: Collection[str]) -> tuple[Acceptance, ...]:
    """Return one item for each name, without limits on series or points."""
    return tuple(Acceptance(name) for name in names)


def _read(value: Any) -> Any:
    if isinstance(value, Acceptance):
        return value
    if isinstance(value, str):
        return Acceptance(_known(value))
    if not isinstance(value, dict) or len(value) != 1:
        raise problem(f"{show_value((), value)} is no item of accept: write a finding's name, or {_EXAMPLE}")
    name, limits = next(iter(value.items()))
    name = _known(name)
    if not isinstance(limits, dict) or not limits:
        raise problem(f"{name}: has neither series nor at_most: write {_EXAMPLE}, or the name alone")
    strange = next((key for key in limits if key not in ("series", "at_most")), None)
    if strange is not None:
        raise problem(f"{name}: unknown key {show_value((), strange)}; known keys: series, at_most")
    return Acceptance(name, _patterns(name, limits.get("series")), _amount(name, limits.get("at_most")))


_EXAMPLE: Final = '{same_time: {series: ["PT*"], at_most: 100}}'


def _known(name: Any) -> str:
    if name not in FINDINGS:
        near = difflib.get_close_matches(str(name), FINDINGS, n=1)
        hint = f'; did you mean "{near[0]}"? known:' if near else "; known:"
        raise problem(f"{show_value((), name)} is not a finding{hint} {', '.join(FINDINGS)}")
    return str(name)


def _patterns(name: str, value: Any) -> tuple[str, ...]:
    patterns = [value] if isinstance(value, str) else value
    if patterns is None:
        return ()
    if (
        not isinstance(patterns, list | tuple)
        or not patterns
        or not all(isinstance(each, str) and each for each in patterns)
    ):
        raise problem(f'{name}: series takes names, `*` for anything, such as ["PT*"]')
    return tuple(patterns)


def _amount(name: str, value: Any) -> int | None:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 0):
        raise problem(f"{name}: at_most takes a number of points, 0 or more, not {show_value((), value)}")
    return number


_LIMITS: Final = {
    "type": "object",
    "properties": {
        "series": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]},
        "at_most": {"type": "integer", "minimum": 0},
    },
    "minProperties": 1,
    "additionalProperties": False,
}

AcceptItem = Annotated[
    Acceptance,
    BeforeValidator(_read),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(FINDINGS)},
                {
                    "type": "object",
                    "properties": dict.fromkeys(FINDINGS, _LIMITS),
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": False,
                },
            ],
            "title": "finding",
        }
    ),
]
