"""The JSON Schema of a configuration as users write it: for editors, and for checks in continuous integration."""

from __future__ import annotations

from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from omnia_beam.pipelines.config import job_model

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class _AsWritten(GenerateJsonSchema):
    """A generator that leaves out titles made of field names, which editors would show above the descriptions."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema() -> dict[str, Any]:
    """Return the schema of a configuration file, JSON Schema 2020-12.

    Times and durations are strings with patterns; every key has a description; unknown keys are refused. Only `load_config`
    checks what depends on several keys or on other files.
    """
    mode: JsonSchemaMode = "validation"
    schema = job_model().model_json_schema(schema_generator=_AsWritten, mode=mode)
    return {"$schema": _DIALECT, **schema, "title": "omnia-beam job"}
