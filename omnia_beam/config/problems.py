"""Describe what pydantic found wrong, one line for each problem: where, which key, what, and what is valid."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from omnia_beam.config.document import Document, Path
from omnia_beam.config.secrecy import may_hold_secret, show_key, show_value
from omnia_beam.config.section import Section, item_annotation, key_names, variants
from omnia_beam.core.errors import UsageError

_MAX_LINES: Final = 50
_MAX_NAMES: Final = 8

_EXPECTED: Final = {
    "int_parsing": "is not a whole number",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "int_parsing_size": "is too large",
    "float_parsing": "is not a number",
    "float_type": "is not a number",
    "finite_number": "is not a finite number",
    "bool_parsing": "is neither true nor false",
    "bool_type": "is neither true nor false",
    "string_type": "is not a text",
    "tuple_type": "is not a list",
    "dict_type": "is not a mapping of keys to values",
}
"""pydantic's error type -> the text after the value."""

_BOUNDS: Final = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
_BOUND_WORDS: Final = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}


@dataclass(frozen=True)
class Spot:
    """A place in the configuration.

    Attributes:
        path: keys and list indices as they appear in the data.
        sections: the models of the mapping at `path` by kind, or none where there is no mapping of keys.
        parent: the models of the mapping that holds the last key of `path`.
    """

    path: Path
    sections: Mapping[str, type[Section]]
    parent: Mapping[str, type[Section]]


def problem_lines(errors: Iterable[ErrorDetails], document: Document, root: type[Section]) -> list[tuple[Path, str]]:
    """Return one (path, line) for each error.

    Args:
        errors: the result of `ValidationError.errors()`.
        document: the data that was validated, with its places.
        root: the model that it was validated against.
    """
    lines: list[tuple[Path, str]] = []
    spots = [(error, locate(error["loc"], document.data, root)) for error in errors]
    meant = {_meant(spot) for error, spot in spots if error["type"] == "extra_forbidden"}
    for error, spot in spots:
        if error["type"] == "missing" and spot.path in meant:
            continue  # the key is there but misspelt: one mistake gives one line
        path, text = _describe(error, spot)
        lines.append((path, problem_line(document, path, text)))
    return lines


def usage_error(error: ValidationError, section: type[Section], *above: str) -> UsageError:
    """Return the error for code that makes a section itself; one line for each problem.

    Args:
        error: what the model found.
        section: the model.
        above: the path of the section in a configuration, which decides whether values may be shown.
    """
    lines = []
    for each in error.errors(include_url=False):
        spot = locate(each["loc"], {}, section)
        path, text = _describe(each, replace(spot, path=(*above, *spot.path)))
        lines.append(f"{show_key(path)}: {text}")
    return UsageError("\n".join(shorten(lines)), problems=tuple(lines))


def problem_line(document: Document, path: Path, text: str) -> str:
    """Return `place: key.path: text`; for the whole configuration the path is left out."""
    return ": ".join(part for part in (str(document.place(path)), show_key(path), text) if part)


def shorten(lines: list[str], most: int = _MAX_LINES) -> list[str]:
    """Return the lines, or the first of them and a count of the others: a list of 100,000 bad ids is one mistake."""
    return lines if len(lines) <= most else [*lines[:most], f"… and {len(lines) - most} more problems like these"]


def locate(loc: Iterable[str | int], data: Any, root: type[Section]) -> Spot:
    """Return the spot of a pydantic location, without the tags of unions and list indices that are not in the data."""
    path: list[str | int] = []
    sections: Mapping[str, type[Section]] = {"": root}
    parent = sections
    annotation: Any = None
    for part in loc:
        if part == "[key]":
            continue
        if part in sections and "" not in sections:  # a tag of a union, which is not in the data
            sections = {"": sections[str(part)]}
            continue
        parent = sections
        fields = sections[""].model_fields if "" in sections else {}
        annotation = fields[part].annotation if part in fields else item_annotation(annotation)
        sections = variants(annotation)
        if isinstance(part, int) and not isinstance(data, list):
            continue
        path.append(part)
        data = _child(data, part)
    return Spot(tuple(path), sections, parent)


def _child(data: Any, part: str | int) -> Any:
    if isinstance(data, Mapping):
        return data.get(part)
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part]
    return None


def _describe(error: ErrorDetails, spot: Spot) -> tuple[Path, str]:
    kind, path, context = error["type"], spot.path, error.get("ctx", {})
    value = error.get("input")
    shown = show_value(path, value)
    if kind == "config":
        return (*path, context["at"]) if context["at"] else path, str(context["text"])
    if kind == "extra_forbidden":
        return path, _unknown_key(spot)
    if kind == "missing":
        return path, f"required key is missing{_expectation(spot)}"
    if kind == "union_tag_not_found":
        return (*path, "kind"), f"required key is missing; one of {', '.join(spot.sections)}"
    if kind == "union_tag_invalid":
        given = value.get("kind") if isinstance(value, Mapping) else None
        return (*path, "kind"), _none_of(show_value(path, given), given, list(spot.sections))
    if value is None and kind not in ("none_required",):
        return path, f"is empty; give a value or remove the key{_expectation(spot)}"
    if kind == "literal_error":
        return path, _none_of(
            shown, value, [part.strip("'") for part in context["expected"].replace(" or ", ", ").split(", ")]
        )
    if kind in ("model_type", "model_attributes_type"):
        return path, f"must be a mapping of keys{_expectation(spot)}, not {shown}"
    if kind in _BOUNDS:
        return path, f"{shown} is out of range: {_range(spot, context)}"
    if kind == "too_short":
        return path, "is an empty list; remove the key or give at least one item"
    if kind in _EXPECTED:
        return path, f"{shown} {_EXPECTED[kind]}{_quoting_hint(kind, value)}"
    return path, f"{shown} cannot be used" if may_hold_secret(path) else f"{shown} cannot be used: {error['msg']}"


def _unknown_key(spot: Spot) -> str:
    name = str(spot.path[-1])
    section = spot.parent.get("")
    known = key_names(section) if section else []
    return f"unknown key{_elsewhere(name, section) or _nearest(name, known)} known keys: {', '.join(known)}"


def _meant(spot: Spot) -> Path:
    """Return the path that an unknown key would have if it were spelled like the known key nearest to it."""
    name, section = str(spot.path[-1]), spot.parent.get("")
    near = None if _elsewhere(name, section) else _near(name, key_names(section) if section else [])
    return (*spot.path[:-1], near) if near else ()


def _nearest(name: str, known: list[str]) -> str:
    near = _near(name, known)
    return f'; did you mean "{near}"?' if near else ";"


def _near(name: str, known: list[str]) -> str | None:
    by_lower = {item.lower(): item for item in known}
    near = difflib.get_close_matches(name.lower().replace("-", "_"), by_lower, n=1)
    return by_lower[near[0]] if near else None


def _elsewhere(name: str, section: type[Section] | None) -> str:
    """Return a hint for a key that is one level too high, such as `start` beside `window`; empty for any other key."""
    for holder, field in section.model_fields.items() if section else ():
        if any(name in child.model_fields for child in variants(field.annotation).values()):
            return f"; it belongs below {holder};"
    return ""


def _none_of(shown: str, value: Any, valid: list[str]) -> str:
    near = difflib.get_close_matches(str(value).lower(), {item.lower(): item for item in valid}, n=1)
    hint = f'; did you mean "{next(item for item in valid if item.lower() == near[0])}"?' if near else ""
    return f"{shown} is not one of {', '.join(valid)}{hint}"


def _expectation(spot: Spot) -> str:
    """Describe what a key takes, for a message about a missing or wrong value."""
    if "" in spot.sections:
        names = key_names(spot.sections[""])
        return f" ({', '.join(names[:_MAX_NAMES])}{', …' if len(names) > _MAX_NAMES else ''})"
    if spot.sections:
        return f" with kind {', '.join(spot.sections)}"
    parent = spot.parent.get("")
    info = parent.model_fields.get(str(spot.path[-1])) if parent and spot.path else None
    return f": {info.description}" if info and info.description else ""


def _range(spot: Spot, broken: Mapping[str, Any]) -> str:
    """Return all bounds of a number, not just the one that the value violates."""
    parent = spot.parent.get("")
    info = parent.model_fields.get(str(spot.path[-1])) if parent else None
    bounds = {name: value for name, value in broken.items() if name in _BOUND_WORDS}
    for mark in info.metadata if info else ():
        bounds.update({name: getattr(mark, name) for name in _BOUND_WORDS if getattr(mark, name, None) is not None})
    return " and ".join(f"{word} {bounds[name]:,}" for name, word in _BOUND_WORDS.items() if name in bounds)


def _quoting_hint(kind: str, value: Any) -> str:
    if kind == "string_type" and isinstance(value, Mapping):
        return '; quote a text that begins with a brace: "{name}"'
    return ""
