"""Recorded values by the standard library's JSON, value by value, and bodies that hold them."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from hypothesis import strategies as st

from omnia_beam.io.pi.recorded import Recorded

Row = tuple[int, float, bool, bool, bool, bool, str | None, bool]


def time_of(text: str) -> int:
    """Nanoseconds of a time, by the calendar of the standard library."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = datetime.fromisoformat(whole).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (seconds.days * 86_400 + seconds.seconds) * 10**9 + int(fraction.ljust(9, "0") or 0)


def row_of(item: Mapping[str, Any]) -> Row:
    """What a value says, in the order of the columns."""
    value, system, text = item["Value"], False, None
    word = isinstance(value, str)
    if isinstance(value, dict):
        system = value.get("IsSystem", not item["Good"])
        value, text = value["Value"], value.get("Name")
    number = math.nan if word else float(value)
    flags = (item["Good"], item.get("Questionable", False), item.get("Substituted", False))
    return time_of(item["Timestamp"]), number, *flags, system, value if word else text, word


def rows(found: Recorded) -> list[Any]:
    """The columns as rows, numbers by their bits."""
    columns = (
        found.times,
        found.numbers.view(np.uint64),
        found.good,
        found.questionable,
        found.substituted,
        found.system,
    )
    return list(zip(*(each.tolist() for each in columns), found.texts.to_pylist(), found.words.tolist(), strict=True))


def bits(expected: list[Row]) -> list[Any]:
    return [(at, struct.unpack("<Q", struct.pack("<d", number))[0], *rest) for at, number, *rest in expected]


TIMES = st.builds(
    lambda seconds, fraction: datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z",
    st.integers(0, 4 * 10**9),
    st.sampled_from(["", ".5", ".1234567", ".0000001", ".9999999", ".25"]),
)
NAMES = st.text(max_size=8) | st.sampled_from(
    ['"Value":', "Value", '"Value":"', "Errors", '"Errors":[', "WebException", "\n", "Bad Input"]
)
STATES = st.fixed_dictionaries(
    {"Name": NAMES, "Value": st.integers(-(2**31), 2**31)}, optional={"IsSystem": st.booleans()}
)
VALUES = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(width=32, allow_nan=False, allow_infinity=False)
    | st.integers(-(2**31), 2**31)
    | st.booleans()
    | NAMES
    | STATES
)
ITEMS = st.lists(
    st.fixed_dictionaries(
        {"Timestamp": TIMES, "Good": st.booleans(), "Value": VALUES},
        optional={
            "UnitsAbbreviation": NAMES,
            "Questionable": st.booleans(),
            "Substituted": st.booleans(),
            "Annotated": st.booleans(),
            "Errors": st.none(),
        },
    ),
    max_size=6,
)
LAYOUTS: list[dict[str, Any]] = [
    {"separators": (",", ":")},
    {},
    {"indent": 2},
    {"separators": (" , ", " : ")},
    {"ensure_ascii": False},
]
