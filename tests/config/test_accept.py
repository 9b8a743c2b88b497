"""`accept`: findings by name, of some series, up to a number of points."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from omnia_beam.config.accept import FINDINGS, Acceptance, AcceptItem

ITEM: TypeAdapter[Acceptance] = TypeAdapter(AcceptItem)


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("nan_values", Acceptance("nan_values")),
        ({"same_time": {"series": ["PT*", "TT-1"], "at_most": 100}}, Acceptance("same_time", ("PT*", "TT-1"), 100)),
        ({"same_time": {"series": "PT*"}}, Acceptance("same_time", ("PT*",))),
        ({"duplicates": {"at_most": "12"}}, Acceptance("duplicates", (), 12)),  # as YAML is handed on
        ({"duplicates": {"at_most": 0}}, Acceptance("duplicates", (), 0)),
    ],
)
def test_forms(value: Any, meant: Acceptance) -> None:
    assert ITEM.validate_python(value) == meant


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("nan_value", 'did you mean "nan_values"?'),
        (["nan_values"], "is no item of accept"),
        ({"nan_values": {}, "same_time": {}}, "is no item of accept"),
        ({"nan_values": {}}, "neither series nor at_most"),
        ({"nan_values": None}, "neither series nor at_most"),
        ({"nan_values": {"atmost": 1}}, 'unknown key "atmost"; known keys: series, at_most'),
        ({"nan_values": {"at_most": -1}}, "0 or more"),
        ({"nan_values": {"at_most": True}}, "0 or more"),
        ({"nan_values": {"at_most": "1.5"}}, "0 or more"),
        ({"nan_values": {"series": []}}, "series takes names"),
        ({"nan_values": {"series": [1]}}, "series takes names"),
        ({"nan": {"at_most": 1}}, "is not a finding"),
    ],
)
def test_mistakes(value: Any, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ITEM.validate_python(value)
    assert says in str(caught.value)


def test_what_is_covered() -> None:
    some = Acceptance("nan_values", ("PT*",))
    assert some.covers("nan_values", "PT-1")
    assert some.covers("nan_values", "guid", "PT-1")
    assert not some.covers("nan_values", "TT-1")
    assert not some.covers("same_time", "PT-1")
    assert Acceptance("nan_values").covers("nan_values")
    assert len(FINDINGS) == len(set(FINDINGS))
