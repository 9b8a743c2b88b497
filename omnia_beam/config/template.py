"""Texts with `{name}` in them, which make a target's metadata from the source's."""

from __future__ import annotations

import difflib
import string
from collections.abc import Mapping
from typing import Final

from omnia_beam.core.errors import UsageError

TEMPLATE_FIELDS: Final = ("id", "name", "facility", "description", "unit", "source", "assetId", "externalId")
"""Fields that a template may refer to: the metadata of the source's timeseries, in the service's own spelling. [sdk]"""


def template_fields(template: str) -> tuple[str, ...]:
    """Return the fields that a template refers to, in order, each once.

    Args:
        template: such as `{facility}-{name}`; `{{` and `}}` are braces.

    Raises:
        ValueError: braces that do not match, an unknown field (the nearest is named), or a conversion or format.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f'"{template}" is not a template: {error}; write {{name}}, and {{{{ for a brace') from None
    found: dict[str, None] = {}
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if name not in TEMPLATE_FIELDS:
            near = difflib.get_close_matches(name, TEMPLATE_FIELDS, n=1)
            hint = f'; did you mean "{{{near[0]}}}"?' if near else ";"
            raise ValueError(
                f'"{template}" has an unknown field "{{{name}}}"{hint} known: {", ".join(TEMPLATE_FIELDS)}'
            )
        if form or conversion:
            raise ValueError(
                f'"{template}" has a format or a conversion at "{name}": only the plain "{{{name}}}" is known'
            )
        found[name] = None
    return tuple(found)


def render_template(template: str, fields: Mapping[str, str | None]) -> str:
    """Return a template with its fields filled in.

    Args:
        template: one that `template_fields` accepts.
        fields: the source's metadata; an absent or None field has no value.

    Raises:
        UsageError: the template refers to a field that this timeseries has no value for.
    """
    values: dict[str, str] = {}
    for name in template_fields(template):
        value = fields.get(name)
        if value is None:
            known = fields.get("name") or fields.get("id") or "a timeseries"
            raise UsageError(
                f'{known}: has no {name}, which the template "{template}" needs; give it in the mapping file, or use another field'
            )
        values[name] = value
    return template.format_map(values)
