"""The types of value that keys take: how each is read, what is refused, and how the JSON Schema describes it.

Values come from YAML as texts. A value that already has the model's type (a duration in ns) is accepted unchanged, so
that a dumped model can be read back.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, ValidationInfo, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from omnia_beam.config.secrecy import is_secret_value, show_value
from omnia_beam.config.section import problem
from omnia_beam.config.template import template_fields
from omnia_beam.config.times import DURATION_PATTERN, MOMENT_PATTERN, parse_duration, parse_moment
from omnia_beam.core.errors import UsageError
from omnia_beam.core.limits import MAX_STATUS
from omnia_beam.store.place import Location, Place, is_remote

T = TypeVar("T")

_JOB_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_OFFSET: Final = re.compile(r"[+-](0\d|1[0-7]):[0-5]\d|[+-]18:00", re.ASCII)
_BLANK: Final = re.compile(r"\s")
_REMOVABLE: Final = re.compile(r"\d{1,18}|\d{1,3}(\.\d{1,6})?%", re.ASCII)
_LEAST_REMOVABLE: Final = 1_000
_SHELL_VARIABLE: Final = re.compile(r"\$(\{|[A-Za-z_])")


def _read_duration(value: Any) -> Any:
    return (
        parse_duration(value)
        if isinstance(value, str)
        else _no_number(value, "a duration: write 90s, 15m, 7d or PT15M")
    )


def _read_moment(value: Any, info: ValidationInfo) -> Any:
    now_ns = (info.context or {}).get("now_ns")
    return (
        parse_moment(value, now_ns)
        if isinstance(value, str)
        else _no_number(value, "a time: write 2024-01-31, now or -7d")
    )


def _no_number(value: Any, what: str) -> Any:
    if value is None:
        raise ValueError(f"is empty; give {what}")
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{show_value((), value)} is not {what}")
    return value


def _positive(ns: int) -> int:
    if ns <= 0:
        raise ValueError("must be longer than 0 s")
    return ns


def _check_job_name(name: str) -> str:
    if not _JOB_NAME.fullmatch(name):
        raise ValueError(
            f"{show_value((), name)} cannot name files: use at most 100 letters, digits, '.', '_' and '-', "
            "a letter or digit first"
        )
    return name


def _check_variable(name: str) -> str:
    mixed = all(any(map(test, name)) for test in (str.islower, str.isupper, str.isdigit))
    if not _VARIABLE.fullmatch(name) or (len(name) >= 20 and mixed):
        raise ValueError(
            "must be the name of an environment variable, such as AZURE_CLIENT_SECRET; the value is none (it is not "
            "shown, since it may be the secret itself: if so, replace the secret, since it was in a file)"
        )
    return name


def has_control_character(text: str) -> bool:
    """Return whether a text holds a control character or a line separator, which no name has and which garbles messages."""
    return _CONTROL.search(text) is not None


def check_series_id(text: str) -> str:
    """Return an id unchanged. The service checks its further syntax.

    Raises:
        ValueError: it is empty, or holds a blank or a control character.
    """
    if not text:
        raise ValueError("an id is empty")
    if _BLANK.search(text) or _CONTROL.search(text):
        raise ValueError(
            f"{show_value((), text)} is not an id: it holds a blank or a control character; one id to an item"
        )
    return text


def _check_text(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; remove the key or give a text")
    if has_control_character(text):
        raise ValueError(f"{show_value((), text)} holds a control character")
    return text


def _check_path(text: str) -> str:
    """Return the path with the home directory in place of `~`.

    Messages do not show the text: below `credential` it may be a secret by mistake.
    """
    if _SHELL_VARIABLE.search(_check_text(text)):
        raise ValueError(
            "holds a variable ($NAME), which is not filled in here: write the path out, or let the shell fill it in: "
            '--set KEY="$NAME/…"'
        )
    if is_remote(text):
        return _check_place(text)
    expanded = os.path.expanduser(text)
    if expanded == text and (text == "~" or text.startswith("~/")):
        raise ValueError("begins with ~, and there is no home directory here (HOME is not set): write the path out")
    return expanded


def _check_place(text: str) -> Place:
    try:
        Location.of(text)
    except UsageError as error:
        problem_text = str(error).removeprefix(f"{text}: ")
    else:
        return Place(text)
    raise ValueError(f"{show_value((), text)}: {problem_text}")


def _check_template(text: str) -> str:
    template_fields(_check_text(text))
    return text


def _check_delimiter(text: str) -> str:
    named = {"tab": "\t", "\\t": "\t", "auto": "auto"}.get(text, text)
    if named != "auto" and (len(named) != 1 or named.isalnum() or named in '"\r\n.-+:'):
        raise ValueError(
            f"{show_value((), text)} is not a delimiter: use one character such as , or ;, or tab, or auto"
        )
    return named


def _read_removable(value: Any) -> Any:
    text = str(value).replace(" ", "").replace("_", "")
    if isinstance(value, bool) or not isinstance(value, str | int) or not _REMOVABLE.fullmatch(text):
        raise ValueError(f"{show_value((), value)} is not a share or a number of points: write 1%, 0.5% or 5000")
    if text.endswith("%") and float(text[:-1]) > 100:
        raise ValueError(f"{show_value((), value)} is too large: write 100% or less")
    return text


def removable_points(allowed: str, recorded: Callable[[], int]) -> int:
    """Return how many points a run may remove.

    Args:
        allowed: as `Removable` reads it.
        recorded: returns how many points are recorded for the job; called only for a percentage.

    Returns:
        The number; a percentage means at least 1,000.
    """
    if not allowed.endswith("%"):
        return int(allowed)
    return max(_LEAST_REMOVABLE, int(Fraction(allowed[:-1]) * recorded() / 100))


def _check_zone(name: str) -> str:
    if _OFFSET.fullmatch(name):
        return name
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, or a path outside of the database, or one of its directories
        raise ValueError(
            f"{show_value((), name)} is not a time zone: use UTC, a name such as Europe/Oslo, or an offset such as +01:00"
        ) from None
    return name


def _check_series_from(pattern: str) -> str:
    if pattern.count("{series}") != 1 or pattern.startswith("/") or "**" in pattern:
        raise ValueError(
            f'{show_value((), pattern)} does not show where the name is: write "{{series}}.csv" for the end of the path, or '
            '"tag={series}/" for a folder'
        )
    return pattern


def check_base_url(text: str) -> str:
    """Return the URL without a slash at its end.

    Raises:
        ValueError: it is not an http or https URL, or it has a user, a password, a query or a fragment. Messages do not show a
            text with a user in it: a password would be beside the user.
    """
    example = "write it like https://api.gateway.equinor.com/plant/timeseries/v1.7"
    try:
        parts = urlsplit(text.strip())
        _ = parts.port
    except ValueError:
        raise ValueError(f"is not a URL; {example}") from None
    if parts.username is not None or parts.password is not None or is_secret_value(text):
        raise ValueError("holds a user name, password or key (not shown): name a credential below `credential` instead")
    if parts.scheme not in ("http", "https") or not parts.hostname or _BLANK.search(text.strip()):
        raise ValueError(f"{show_value((), text)} is not an http or https URL; {example}")
    if parts.query or parts.fragment:
        raise ValueError(f"has a query or a fragment (not shown); {example}")
    return text.strip().rstrip("/")


def _as_list(value: Any) -> Any:
    if value == []:  # a default is a tuple; whether an empty list in YAML asks for nothing or for all is a guess
        raise problem("is an empty list; remove the key or give at least one item")
    if isinstance(value, list):
        return tuple(value)
    return (value,) if isinstance(value, str | dict | int) else value


class _OneOrList:
    """States in the JSON Schema that one item may be given without its list."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        array = {**handler(core), "minItems": 1}
        return {"anyOf": [array["items"], array]}


def _check_finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def _with_message(check: Callable[[T], T]) -> Callable[[T], T]:
    """Return a check whose ValueError becomes the whole message, without pydantic's preamble."""

    def checked(value: T) -> T:
        try:
            return check(value)
        except ValueError as error:
            raise problem(str(error)) from None

    return checked


def _with_message_and_info(check: Callable[[Any, ValidationInfo], Any]) -> Callable[[Any, ValidationInfo], Any]:
    def checked(value: Any, info: ValidationInfo) -> Any:
        try:
            return check(value, info)
        except ValueError as error:
            raise problem(str(error)) from None

    return checked


def _schema(title: str, **schema: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **schema, "title": title})


Moment = Annotated[
    int, BeforeValidator(_with_message_and_info(_read_moment)), _schema("time", pattern=f"^ *({MOMENT_PATTERN}) *$")
]
"""ns since the Unix epoch, from a text as `parse_moment` reads it."""

Duration = Annotated[
    int,
    BeforeValidator(_with_message(_read_duration)),
    AfterValidator(_with_message(_positive)),
    _schema("duration", pattern=f"^ *({DURATION_PATTERN}) *$"),
]
"""ns, more than 0, from a text as `parse_duration` reads it."""

DurationOrZero = Annotated[
    int, BeforeValidator(_with_message(_read_duration)), _schema("duration", pattern=f"^ *({DURATION_PATTERN}) *$")
]
"""ns, 0 or more."""

JobName = Annotated[
    str, AfterValidator(_with_message(_check_job_name)), _schema("name", pattern=f"^{_JOB_NAME.pattern}$")
]
VariableName = Annotated[
    str,
    AfterValidator(_with_message(_check_variable)),
    _schema("environment variable", pattern=f"^{_VARIABLE.pattern}$"),
]
SeriesId = Annotated[str, AfterValidator(_with_message(check_series_id)), _schema("id", pattern=r"^\S+$")]
Text = Annotated[
    str, AfterValidator(_with_message(_check_text)), WithJsonSchema({"type": ["string", "number"], "title": "text"})
]
"""A text that is not blank; YAML may read it as a number (`facility: 1191`)."""
PathText = Annotated[str, AfterValidator(_with_message(_check_path)), _schema("path", minLength=1)]
"""A local path, where `~` is the home directory, or a place on an object store."""
Template = Annotated[
    str,
    AfterValidator(_with_message(_check_template)),
    WithJsonSchema({"type": ["string", "number"], "title": "template"}),
]
Delimiter = Annotated[str, AfterValidator(_with_message(_check_delimiter)), _schema("delimiter", minLength=1)]
SeriesFrom = Annotated[
    str, AfterValidator(_with_message(_check_series_from)), _schema("pattern", pattern=r"\{series\}")
]
ZoneName = Annotated[str, AfterValidator(_with_message(_check_zone)), _schema("time zone", minLength=1)]
BaseUrl = Annotated[str, AfterValidator(_with_message(check_base_url)), _schema("URL", pattern="^ *https?://[^/?#@]+")]
Removable = Annotated[
    str,
    BeforeValidator(_with_message(_read_removable)),
    WithJsonSchema({"type": ["string", "integer"], "title": "share"}),
]
"""How many points may be removed: a whole number, or a percentage such as `1%`; see `removable_points`."""
Status = Annotated[int, Field(ge=0, le=MAX_STATUS)]
Factor = Annotated[float, AfterValidator(_with_message(_check_finite))]


OneOrMany = Annotated[tuple[T, ...], BeforeValidator(_as_list), _OneOrList()]
"""A tuple, from a list with at least one item or from one item alone; the default is the empty tuple."""
