"""Load a file as a `JobConfig`, or report every problem in it at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from omnia_beam.config.document import (
    Document,
    Path,
    apply_setting,
    parse_document,
    parse_value,
    remove_setting,
    walk,
)
from omnia_beam.config.job import JobConfig
from omnia_beam.config.places import check_places
from omnia_beam.config.problems import locate, problem_line, problem_lines, shorten
from omnia_beam.config.secrecy import is_secret_key, is_secret_value, secret_problem, secret_value_problem, show_key
from omnia_beam.core.errors import UsageError


def load_config(
    path: str,
    model: type[JobConfig],
    *,
    overrides: Sequence[str] = (),
    start: str | None = None,
    end: str | None = None,
    now_ns: int,
) -> JobConfig:
    """Read and check a configuration.

    Args:
        path: a YAML file.
        model: the model of a job, with all kinds of source and sink.
        overrides: `key.path=value` each, the value as YAML, a number in the path for a place in a list; applied in
            order, before anything is checked. `null` removes an optional key.
        start: replaces `window.start`.
        end: replaces `window.end`.
        now_ns: what `now` means, ns since the Unix epoch.

    Raises:
        UsageError: one line for each problem (also in `problems`): `file:line:column: key.path: what and what instead`.
            No line shows a value that may be a secret.
    """
    document = parse_document(_read(path), path)
    for override in overrides:
        _override(document, override)
    for name, value in (("start", start), ("end", end)):
        if value is not None:
            apply_setting(document, f"window.{name}", value, f"--{name}")
    config = validate(document, model, now_ns)
    try:
        check_places(config)
    except UsageError as error:
        problem = f"{path}: {error}"
    else:
        return config
    raise UsageError(problem, problems=(problem,))


def validate(document: Document, model: type[JobConfig], now_ns: int) -> JobConfig:
    """Check a document's data, and return it as a configuration.

    Raises:
        UsageError: as for `load_config`.
    """
    secrets = _secrets(document)
    config, errors = _model(document, model, now_ns)
    if config is not None and not secrets:
        return config
    found = [(path, line) for path, line in problem_lines(errors, document, model) if not _is_below(path, secrets)]
    found += [(path, problem_line(document, path, text)) for path, text in secrets.items()]
    lines = [line for path, line in sorted(found, key=lambda item: document.place(item[0]))]
    # Raised outside of any except block: a traceback's context would hold the values.
    raise UsageError("\n".join(shorten(lines)), problems=tuple(lines))


def _model(document: Document, model: type[JobConfig], now_ns: int) -> tuple[JobConfig | None, list[Any]]:
    while True:
        try:
            return model.model_validate(document.data, context={"now_ns": now_ns}), []
        except ValidationError as error:
            errors = error.errors(include_url=False)
        if not _take_back(document, model, errors):
            return None, errors


def _take_back(document: Document, model: type[JobConfig], errors: list[Any]) -> bool:
    """Remove the keys that `--set KEY=null` sets and that accept no null. Return whether there was one."""
    paths = {locate(error["loc"], document.data, model).path for error in errors}
    return sum(remove_setting(document, path, "--set") for path in paths) > 0


def _secrets(document: Document) -> dict[Path, str]:
    """Return the path and the message of each key or value that holds a secret itself."""
    found: dict[Path, str] = {}
    for path, value in walk(document.data):
        if not path or _is_below(path, found):
            continue
        last = path[-1]
        if isinstance(last, str) and is_secret_key(last):
            found[path] = secret_problem(last)
        elif is_secret_value(value):
            found[path] = secret_value_problem()
    return found


def _is_below(path: Path, paths: dict[Path, str]) -> bool:
    return any(path[: len(above)] == above for above in paths)


def _read(path: str) -> str:
    problem: str
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except FileNotFoundError:
        problem = "there is no such configuration file: correct the path, or let omnia-beam init write one"
    except IsADirectoryError:
        problem = "is a directory; name the configuration file in it"
    except OSError as error:
        problem = f"the configuration cannot be read: {error.strerror or error}"
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text (byte {error.start}); save it as UTF-8"
    # Raised outside of the except blocks: a UnicodeDecodeError carries the whole file, and would be the context of this error.
    raise UsageError(f"{path}: {problem}")


def _override(document: Document, override: str) -> None:
    dotted, equals, text = override.partition("=")
    if not equals:
        raise UsageError("--set: a setting has the form key.path=value, such as --set source.rate.max_in_flight=4")
    value = parse_value(text, f"--set {show_key(dotted.strip().split('.'))}")
    apply_setting(document, dotted.strip(), value, "--set")
