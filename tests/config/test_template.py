"""Templates: filling in, and what is no template."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.config.template import TEMPLATE_FIELDS, render_template, template_fields
from omnia_beam.core.errors import UsageError

FIELDS = {"id": "1", "name": "PT-1", "facility": "1191", "unit": None}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{name}", "PT-1"),
        ("{facility}-{name}-{name}", "1191-PT-1-PT-1"),
        ("{{{name}}}", "{PT-1}"),
        ("", ""),
    ],
)
def test_rendering(template: str, text: str) -> None:
    assert render_template(template, FIELDS) == text


@pytest.mark.parametrize("template", ["{unit}", "{name} {description}"])
def test_a_field_without_a_value_is_an_error_that_names_the_series(template: str) -> None:
    with pytest.raises(UsageError, match=r"^PT-1: has no (unit|description), which the template"):
        render_template(template, FIELDS)


@pytest.mark.parametrize(
    "template", ["{", "}", "{name", "{}", "{0}", "{x}", "{name.x}", "{name[0]}", "{name!r}", "{name:>9}", "{ name}"]
)
def test_what_is_no_template(template: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f'"{template}"')):
        template_fields(template)


_piece = st.one_of(st.sampled_from(TEMPLATE_FIELDS).map(lambda name: ("{" + name + "}", name)), st.text(max_size=5).map(
    lambda text: (text.replace("{", "{{").replace("}", "}}"), None)))  # fmt: skip
_values = st.fixed_dictionaries({name: st.text(max_size=8) for name in TEMPLATE_FIELDS})


@given(st.lists(_piece, max_size=8), _values)
def test_rendering_is_putting_the_pieces_together(pieces: list[tuple[str, str | None]], values: dict[str, str]) -> None:
    template = "".join(text for text, _ in pieces)
    expected = "".join(
        values[name] if name is not None else text.replace("{{", "{").replace("}}", "}") for text, name in pieces
    )
    assert render_template(template, dict(values)) == expected
    assert template_fields(template) == tuple(dict.fromkeys(name for _, name in pieces if name is not None))
