"""Render a page that stands alone: no script, no font, no image from elsewhere; light, dark and on paper."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from omnia_beam.core.text import counted, one_line
from omnia_beam.core.timestamps import format_time
from omnia_beam.pipelines.pages.formats import gap_text, moment_text, percent, value_text

_STYLE: Final = "page.css"


def render_page(package: str, template: str, style: str, **content: Any) -> str:
    """Return a page as HTML. Every text in it is escaped, since names come from the source; undefined names are errors.

    Args:
        package: that holds the template and its style.
        template, style: names of files; the style of all pages stands before the page's own.
        content: what the template refers to.
    """
    here = files(package)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals.update(
        moment=moment_text, exact=format_time, gap=gap_text, value=value_text, percent=percent, counted=counted
    )
    environment.filters.update(grouped=lambda number: f"{number:,}", shown=one_line)
    text = (here / template).read_text(encoding="utf-8")
    sheets = (files(__package__) / _STYLE, here / style)
    css = Markup("".join(each.read_text(encoding="utf-8") for each in sheets))  # noqa: S704  # files of this package
    return environment.from_string(text).render(style=css, **content)
