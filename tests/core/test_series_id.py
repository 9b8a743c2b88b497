"""One GUID in all its spellings; what is no GUID stays as it is."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.series_id import canonical_id, id_key

SPELLINGS = [
    str,
    lambda id: str(id).upper(),
    lambda id: f"{{{id}}}",
    lambda id: f"{{{str(id).upper()}}}",
    lambda id: id.urn,
    lambda id: id.urn.upper(),
    lambda id: id.hex,
    lambda id: id.hex.upper(),
]


@given(st.uuids(), st.sampled_from(SPELLINGS))
def test_every_spelling_is_brought_to_the_services(id: uuid.UUID, spelling: object) -> None:
    text = spelling(id)  # type: ignore[operator]  # a function of the list above
    assert canonical_id(text) == id_key(text) == str(id)


@pytest.mark.parametrize(
    "text",
    [
        "PT-1",
        "",
        "ABC",
        "{6F9619FF-8B86-D011-B42D-00C04FC964FF",
        "6F9619FF-8B86-D011-B42D00C04FC964FF",
        "6F96-19FF",
        "É" * 32,
    ],
)
def test_other_ids_stay_as_they_are(text: str) -> None:
    assert canonical_id(text) == text
