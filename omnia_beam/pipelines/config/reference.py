"""Write the reference of every key as Markdown, from the JSON Schema; `docs/configuration.md` holds it between two marks.

python -m omnia_beam.pipelines.config.reference docs/configuration.md     # updates it there
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from omnia_beam.net.auth.credentials import KINDS, CredentialSpec
from omnia_beam.net.auth.keys import keys_of_kind
from omnia_beam.pipelines.config.schema import json_schema

BEGIN: Final = "<!-- keys: begin (made by `python -m omnia_beam.pipelines.config.reference docs/configuration.md`) -->"
END: Final = "<!-- keys: end -->"

_HEADING: Final = "| key | value | default | what it is |\n|---|---|---|---|\n"
_Schema = dict[str, Any]


def reference_markdown() -> str:
    """Return a table for each section of keys, in the order in which a configuration is written."""
    schema = json_schema()
    return "\n".join(_sections(schema, schema, "The job", "", "", set())).rstrip() + "\n"


def with_reference(page: str) -> str:
    """Return a page with the text between the marks replaced by the current reference.

    Raises:
        ValueError: the page does not have both marks, once each and in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in before:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}, once each and in this order")
    return f"{before}{BEGIN}\n\n{reference_markdown()}\n{END}{after}"


def _sections(root: _Schema, section: _Schema, title: str, path: str, intro: str, seen: set[str]) -> Iterator[str]:
    """Yield the section's table and those of the sections below it, each once, since two connections have the same keys."""
    yield f"### {title}\n"
    if intro:
        yield f"{intro}\n"
    required = set(section.get("required", ()))
    rows = sorted(section["properties"].items(), key=lambda item: (item[0] != "kind", item[0] not in required))
    yield _HEADING + "".join(_row(root, name, field, name in required) for name, field in rows)
    if section.get("title") == CredentialSpec.__name__:
        yield _kinds_of_credential()
    for name, field in rows:
        below = f"{path}.{name}" if path else name
        for reference in _references(field):
            child = root["$defs"][reference]
            kind = child["properties"].get("kind", {}).get("const")
            if reference in seen:
                continue
            seen.add(reference)
            heading = f"`{below}`" + (f" of kind `{kind}`" if kind else "")
            yield from _sections(root, child, heading, below, child.get("description", ""), seen)


def _kinds_of_credential() -> str:
    """Return a list of the keys that apply to each kind of credential."""
    lines = (
        f"- `{kind}`: {', '.join(f'`{name}`' for name in keys_of_kind(kind)) or 'no further keys'}" for kind in KINDS
    )
    return "\n".join(["The keys that each kind takes:\n", *lines, ""])


def _row(root: _Schema, name: str, field: _Schema, required: bool) -> str:
    text = field.get("description") or root["$defs"][_references(field)[0]]["description"]
    cells = (f"`{name}`", _kind(root, field), "**required**" if required else _default(field), text)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _default(field: _Schema) -> str:
    value = field.get("default")
    if value is None or value in ([], {}):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _kind(root: _Schema, field: _Schema) -> str:
    """Describe the values that a key takes, in a few words."""
    if "$ref" in field:
        return "keys"
    if "const" in field:
        return f"`{field['const']}`"
    if choices := field.get("enum"):
        return ", ".join(f"`{item}`" for item in choices)
    if "title" in field:
        return str(field["title"])
    parts = [part for part in _alternatives(field) if part.get("type") != "null"]
    if "propertyNames" in field:
        return "table of statuses"
    if parts:
        array = next((part for part in parts if part.get("type") == "array"), None)
        if array is not None:
            return f"{_kind(root, array['items'])}, one or a list"
        kinds = list(dict.fromkeys(_kind(root, part) for part in parts))
        return " or ".join(kinds)
    if field.get("type") == "object":
        return f"by name: {_kind(root, field['additionalProperties'])}"
    return _number(field)


def _alternatives(field: _Schema) -> list[_Schema]:
    return [*field.get("anyOf", []), *field.get("oneOf", [])]


def _number(field: _Schema) -> str:
    words = {"integer": "whole number", "number": "number", "boolean": "`true`, `false`", "string": "text"}
    word = "text" if isinstance(field["type"], list) else words[field["type"]]  # a text that looks like a number is one
    if "exclusiveMinimum" in field:
        return f"{word} above {field['exclusiveMinimum']:g}"
    if "minimum" in field and "maximum" in field:
        return f"{word}, {field['minimum']:,} to {field['maximum']:,}"
    return word


def _references(field: _Schema) -> list[str]:
    """Return the names of the sections that a field may hold, nested ones of lists and mappings too."""
    if "$ref" in field:
        return [field["$ref"].rpartition("/")[2]]
    parts = [*_alternatives(field)]
    parts += [field[name] for name in ("items", "additionalProperties") if isinstance(field.get(name), dict)]
    return list(dict.fromkeys(reference for part in parts for reference in _references(part)))


def main(paths: list[str]) -> None:
    """Update the reference in each page."""
    for path in (Path(name) for name in paths):
        path.write_text(with_reference(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
