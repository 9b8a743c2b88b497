"""Write a first job: every key of two kinds with its purpose, from the models' own descriptions and defaults.

starter_job("csv", "parquet")     # YAML; its places marked FILL IN are what only the user knows
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from omnia_beam.config.section import Section, item_annotation, key_names, variants
from omnia_beam.core.errors import UsageError
from omnia_beam.core.text import did_you_mean
from omnia_beam.io.kinds import kinds
from omnia_beam.pipelines.config import job_model
from omnia_beam.pipelines.config.schema import json_schema

SCHEMA_FILE: Final = "omnia-beam.schema.json"
MARK: Final = "FILL IN"

_COMMENT_COLUMN: Final = 36
_OPTIONAL_DEPTH: Final = 1
"""Depth to which optional keys are listed: the job and the sections in it; further down only those that a job needs."""


def kinds_of(end: Literal["source", "sink"]) -> dict[str, type[Section]]:
    """Return the models of sources or sinks, by kind."""
    return variants(job_model().model_fields[end].annotation)


def found_keys(source: str, paths: tuple[str, ...]) -> tuple[dict[str, Any], list[str]]:
    """Return the keys of a source that describe files as they are found, and what was seen of them.

    Raises:
        UsageError: there is no such kind, it has no files, or a path has none.
    """
    _model("source", source)
    find = kinds()[source].find_keys
    if find is None:
        raise UsageError(f"--path is for files; a source of kind {source} has none")
    return find(source, paths)


def starter_job(source: str, sink: str, found: Mapping[str, Any] = {}, seen: Sequence[str] = ()) -> str:
    """Return a job of two kinds as commented YAML.

    Args:
        source, sink: the kinds.
        found: keys of the source whose values are known.
        seen: further facts about the source, which become a comment each.

    Raises:
        UsageError: there is no such kind.
    """
    chosen = {"source": _model("source", source), "sink": _model("sink", sink)}
    command = "backfill" if (source, sink) == ("omnia", "parquet") else "migrate"
    preset = {"name": f"{source}-to-{sink}", "state": "state/"}
    for model in chosen.values():
        preset |= {name: value for name, value in model.job_starter.items() if name not in preset}
    lines = [
        f"# From {source} to {sink}. Fill in what is marked {MARK}; what is commented out shows the default.",
        f"# Then: omnia-beam check job.yaml; omnia-beam plan job.yaml; omnia-beam {command} job.yaml",
        *(f"# {line}" for line in seen),
        *_Writer(chosen, {"source": {name: _yaml(value) for name, value in found.items()}}).section(
            job_model(), preset, depth=0
        ),
    ]
    return "\n".join(lines) + "\n"


def write_starter(
    source: str, sink: str, path: str, found: Mapping[str, Any] = {}, seen: Sequence[str] = ()
) -> list[str]:
    """Write the job, and beside it the JSON Schema, which the job's first line names for editors; make their directory.

    Returns:
        What was written and what to do next, a line each.

    Raises:
        UsageError: there is no such kind; the file exists already; the directory cannot be written.
    """
    job, schema = Path(path), Path(path).with_name(SCHEMA_FILE)
    text = f"# yaml-language-server: $schema=./{SCHEMA_FILE}\n{starter_job(source, sink, found, seen)}"
    if schema.exists() and not _is_ours(schema):
        raise UsageError(
            f"{schema}: exists already and is no schema of omnia-beam: move it, or write {job.name} elsewhere"
        )
    with suppress(OSError):  # writing names what is in the way
        job.parent.mkdir(parents=True, exist_ok=True)
    try:
        with job.open("x", encoding="utf-8") as file:
            file.write(text)
        schema.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
    except FileExistsError:
        raise UsageError(f"{job}: exists already, and init does not overwrite it: name another --output") from None
    except OSError as error:
        raise UsageError(f"{error.filename or job}: cannot be written: {error.strerror or error}") from None
    return [
        f"wrote {job}: fill in what is marked {MARK}, then run omnia-beam check {job}",
        f"wrote {schema}: editors that know YAML schemas complete and check the job with it",
    ]


def _is_ours(schema: Path) -> bool:
    """Return whether the file is a schema that an earlier `init` has written, which the one of this version may replace."""
    try:
        return bool(json.loads(schema.read_text(encoding="utf-8")).get("title") == json_schema()["title"])
    except (OSError, ValueError, AttributeError):
        return False


def _model(end: Literal["source", "sink"], kind: str) -> type[Section]:
    known = kinds_of(end)
    if kind not in known:
        raise UsageError(
            f"there is no {end} of kind {kind!r}{did_you_mean(kind, known) or '.'} The kinds are {', '.join(known)}"
        )
    return known[kind]


@dataclass(frozen=True)
class _Writer:
    """Writes sections; `chosen` holds the models of the job's keys that have several, `found` the values of their keys."""

    chosen: Mapping[str, type[Section]]
    found: Mapping[str, Mapping[str, str]]

    def section(self, model: type[Section], given: Mapping[str, str], depth: int) -> Iterator[str]:
        """Yield the lines of one section: the keys that a job must or should have, then the others as comments."""
        given = {**model.starter, **given}
        fields = {name: model.model_fields[name] for name in key_names(model)}
        active = [name for name, field in fields.items() if field.is_required() or name in given]
        for name in active:
            yield from self._active(name, fields[name], given.get(name, ""), depth)
        for name, field in fields.items():
            if name not in active and depth <= _OPTIONAL_DEPTH:
                yield _line(depth, f"# {name}: {_default(field)}".rstrip(), _sentence(field))

    def _active(self, name: str, field: FieldInfo, value: str, depth: int) -> Iterator[str]:
        models = variants(field.annotation) or variants(item_annotation(field.annotation))
        model = self.chosen.get(name) if depth == 0 else None
        if model is None and len(models) == 1:
            (model,) = models.values()
        if model is not None:
            yield _line(depth, f"{name}:", _sentence(field))
            yield from self.section(model, self.found.get(name, {}) if depth == 0 else {}, depth + 1)
            return
        choices = _choices(field.annotation)
        if len(choices) == 1:
            value = choices[0]
        if value:
            yield _line(depth, f"{name}: {value}", _sentence(field))
        else:
            one_of = f"one of {', '.join(choices)}: " if choices else ""
            yield _line(depth, f"{name}:", f"{MARK}: {one_of}{_sentence(field)}")


def _line(depth: int, key: str, comment: str) -> str:
    indented = "  " * depth + key
    return f"{indented:<{_COMMENT_COLUMN}}  # {comment}"


def _sentence(field: FieldInfo) -> str:
    """Return the first sentence of a key's description."""
    text = field.description or ""
    first, stop, _ = text.partition(". ")
    return first + stop.rstrip()


def _default(field: FieldInfo) -> str:
    """Return the default as YAML; empty where there is none to show."""
    models = variants(field.annotation)
    if len(models) == 1:
        (model,) = models.values()
        known = {name: each.get_default(call_default_factory=True) for name, each in model.model_fields.items()}
        needed = [name for name, each in model.model_fields.items() if each.is_required()]
        if not needed and field.get_default(call_default_factory=True) is None:
            return ""
        shown = {name: value for name, value in known.items() if name not in needed and value not in (None, (), {})}
        return _yaml({**dict.fromkeys(needed), **shown})
    value = field.get_default(call_default_factory=True)
    return "" if value is None or value in ((), {}) else _yaml(value)


def _yaml(value: Any) -> str:
    text = yaml.safe_dump({"x": value}, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
    return text.strip().removeprefix("{x: ").removesuffix("}")


def _choices(annotation: Any) -> tuple[str, ...]:
    """Return the values of a Literal, also within an Optional or an Annotated."""
    if get_origin(annotation) is Literal:
        return tuple(str(each) for each in get_args(annotation))
    return next((found for each in get_args(annotation) if (found := _choices(each))), ())
