"""The base of every model of the configuration, and functions that walk the tree of models."""

from __future__ import annotations

import types
import typing
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError


class Section(BaseModel):
    """A frozen mapping of known keys. Field names are the YAML's keys.

    Class attributes, for a job that is begun with `omnia-beam init`:
        starter: keys that it lists although they are optional, since most jobs need them; the value as text, or empty for one that
            only the user knows.
        job_starter: the same for the keys of the job around a source or sink of this kind.
    """

    starter: ClassVar[dict[str, str]] = {}
    job_starter: ClassVar[dict[str, str]] = {}

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,  # defaults are written as in YAML: "15m"
        allow_inf_nan=False,
        hide_input_in_errors=True,  # also where code builds a model directly
    )


def key(description: str, default: Any = ..., **constraints: Any) -> Any:
    """Declare a key of a section: its purpose, and its default as YAML would write it; without a default it is required.

    A nested section is given as `default_factory`: its keys have their own defaults, which the JSON Schema need not repeat.
    """
    if "default_factory" in constraints:
        return Field(description=description, **constraints)
    return Field(default, description=description, **constraints)


def problem(text: str, at: str | None = None) -> PydanticCustomError:
    """Return an error for a validator to raise.

    Args:
        text: the whole message. It must not repeat a value that may be a secret.
        at: the key of the section that the message is about, where a validator checks several.
    """
    # The text is passed as a value, so that braces in it are not placeholders.
    return PydanticCustomError("config", "{text}", {"text": text, "at": at})


def key_names(section: type[Section]) -> list[str]:
    """Return a section's keys, `kind` first."""
    return sorted(section.model_fields, key=lambda name: name != "kind")


def variants(annotation: Any) -> dict[str, type[Section]]:
    """Return the sections that an annotation admits, by their `kind`; a single one under ""."""
    found = list(_sections(annotation))
    if len(found) == 1:
        return {"": found[0]}
    return {kind: section for section in found for kind in get_args(section.model_fields["kind"].annotation)}


class OrText:
    """States in the JSON Schema that a text may replace the whole section."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(core)]}


def item_annotation(annotation: Any) -> Any:
    """Return the annotation of the items of a list or a mapping; None for any other annotation."""
    for part in _alternatives(annotation):
        origin, arguments = get_origin(part), get_args(part)
        if origin is tuple:
            return arguments[0]
        if origin is dict:
            return arguments[1]
    return None


def _sections(annotation: Any) -> typing.Iterator[type[Section]]:
    for part in _alternatives(annotation):
        if isinstance(part, type) and issubclass(part, Section):
            yield part


def _alternatives(annotation: Any) -> typing.Iterator[Any]:
    """Yield the members of a union without their `Annotated` wrappers."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _alternatives(part)
    else:
        yield annotation
