from __future__ import annotations

import pickle
from typing import Any

import pytest

from omnia_beam.core.errors import UsageError, WireFormatError
from omnia_beam.core.series import Timeseries, TimeseriesDraft, changes_to_json

CONTENT: dict[str, Any] = {
    "id": "0a1b",
    "name": "PT-1",
    "description": None,
    "step": False,
    "unit": "bar",
    "standardUnit": "bar",
    "createdTime": "0001-01-01T00:00:00Z",
    "changedTime": "2024-01-01T00:00:00.1234567Z",
    "assetId": "A",
    "facility": "1191",
    "externalId": "X",
    "source": "IMS",
    "metadata": {"a": 1},
    "terminal": "new field",
}


def test_reading_the_services_answer_keeps_everything() -> None:
    series = Timeseries.from_json(CONTENT)
    assert (series.id, series.name, series.facility, series.step, series.description) == (
        "0a1b",
        "PT-1",
        "1191",
        False,
        None,
    )
    assert series.created_time == "0001-01-01T00:00:00Z"
    assert series.metadata == {"a": 1}
    assert series.other == {"terminal": "new field"}
    assert pickle.loads(pickle.dumps(series)) == series
    assert isinstance(hash(series), int)


def test_a_draft_holds_what_can_be_carried_over() -> None:
    draft = Timeseries.from_json(CONTENT).draft()
    assert draft.to_json() == {
        "name": "PT-1",
        "facility": "1191",
        "step": False,
        "unit": "bar",
        "assetId": "A",
        "externalId": "X",
        "metadata": {"a": 1},
    }


@pytest.mark.parametrize("bad", [None, [], {}, {"id": ""}, {"id": 5}, "text"])
def test_what_is_no_timeseries(bad: Any) -> None:
    with pytest.raises(WireFormatError, match="no id"):
        Timeseries.from_json(bad)


@pytest.mark.parametrize(("name", "facility"), [("", "F"), ("N", "")])
def test_name_and_facility_are_mandatory(name: str, facility: str) -> None:
    with pytest.raises(UsageError, match="needs a name and a facility"):
        TimeseriesDraft(name, facility)


def test_changes_are_named_as_the_service_does_and_may_clear() -> None:
    assert changes_to_json({"asset_id": "B", "unit": None}) == {"assetId": "B", "unit": None}
    with pytest.raises(UsageError, match="'standard_unit' is no field"):
        changes_to_json({"standard_unit": "bar"})
