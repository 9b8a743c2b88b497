"""The values of the keys that describe how CSV files are written, and the rules for which of them fit together."""

from __future__ import annotations

from typing import Annotated, Any, Final, Protocol

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from omnia_beam.config.fields import has_control_character
from omnia_beam.config.secrecy import show_value
from omnia_beam.config.section import problem
from omnia_beam.core.limits import MAX_STATUS
from omnia_beam.core.time_pattern import check_zone_words, read_pattern

NUMERIC_TIMES: Final = ("epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "excel")
SKIP: Final = "skip"


def _read_time_column(value: Any) -> Any:
    """Return one header unchanged, several as a tuple; a union of the two types would report every mistake twice."""
    if isinstance(value, str):
        parts: tuple[Any, ...] = (value,)
    elif isinstance(value, list | tuple) and len(value) >= 2:
        parts = tuple(value)
    else:
        raise problem(f"{show_value((), value)} is neither a header nor a list of headers such as [Date, Time]")
    for part in parts:
        if not isinstance(part, str) or not part.strip() or has_control_character(part):
            raise problem(f"{show_value((), part)} is no header of a column")
    return value if isinstance(value, str) else parts


def _read_word_status(value: Any) -> Any:
    if value == SKIP:
        return value
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_STATUS:
        raise problem(f"{show_value((), value)} is not a status, a whole number from 0 to {MAX_STATUS}, and not {SKIP}")
    return number


def _check_comment(text: str) -> str:
    if not text.strip() or text[0].isspace() or has_control_character(text) or '"' in text:
        raise problem(f"{show_value((), text)} cannot begin a comment: use a sign such as # or //")
    if text[0].isalnum() or text[0] in "+-.":
        raise problem(f"{show_value((), text)} may begin a row of points as well: use a sign such as # or //")
    return text


TimeColumn = Annotated[
    str | tuple[str, ...],
    BeforeValidator(_read_time_column),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": ["string", "number"], "title": "text"},
                {"type": "array", "items": {"type": ["string", "number"], "title": "text"}, "minItems": 2},
            ],
            "title": "column or columns",
        }
    ),
]
WordStatus = Annotated[
    int | str,
    BeforeValidator(_read_word_status),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_STATUS}, {"const": SKIP}],
            "title": "status or skip",
        }
    ),
]
CommentMark = Annotated[
    str, AfterValidator(_check_comment), WithJsonSchema({"type": "string", "minLength": 1, "title": "mark"})
]


class CsvKeys(Protocol):
    """The keys of a CSV source that must fit together."""

    @property
    def layout(self) -> str: ...
    @property
    def delimiter(self) -> str: ...
    @property
    def decimal(self) -> str: ...
    @property
    def timezone(self) -> str: ...
    @property
    def missing(self) -> tuple[str, ...]: ...
    @property
    def time_column(self) -> str | tuple[str, ...] | None: ...
    @property
    def series_column(self) -> str | None: ...
    @property
    def time_format(self) -> str | None: ...
    @property
    def dst_fold(self) -> str: ...
    @property
    def comment(self) -> str | None: ...
    @property
    def thousands(self) -> str | None: ...
    @property
    def values(self) -> dict[str, int | str]: ...
    @property
    def status_words(self) -> dict[str, int | str]: ...
    @property
    def series_from(self) -> str | None: ...


def check_csv(source: CsvKeys) -> None:
    """Raise a validation problem where keys contradict each other."""
    _check_layout(source)
    _check_signs(source)
    _check_words(source)
    _check_times(source)


def _check_layout(source: CsvKeys) -> None:
    if source.layout == "wide":
        for name in ("series_column", "value_column", "status_column"):
            if getattr(source, name) is not None:
                raise problem("is for long files; in a wide one every column but the time's is a series", at=name)
    if source.layout == "long":
        for name in ("status_suffix", "quality_columns"):
            if getattr(source, name):
                raise problem("is for wide files; in a long one status_column names the statuses", at=name)
    if source.series_from is None:
        return
    if source.layout == "wide":
        raise problem("is for files of one series: in a wide file the columns are the series", at="series_from")
    if source.series_column is not None:
        raise problem("takes the series from the path, series_column from the file: remove one", at="series_from")


def _check_signs(source: CsvKeys) -> None:
    if source.delimiter == source.decimal:
        raise problem("is the decimal mark too: a value would look like two cells", at="delimiter")
    if source.thousands is not None and source.thousands in (source.decimal, source.delimiter):
        other = "decimal mark" if source.thousands == source.decimal else "delimiter"
        raise problem(f"is the {other} too", at="thousands")
    if source.comment is not None and source.comment.startswith(source.delimiter):
        raise problem("begins with the delimiter: a row whose first cell is empty would be one", at="comment")


def _check_words(source: CsvKeys) -> None:
    for word in source.values:
        if not word.strip():
            raise problem("an empty cell is no point, and needs no word", at="values")
        if word.strip() in source.missing:
            raise problem(f"{show_value((), word)} is in missing too: remove it from one of them", at="values")
    for word, status in source.status_words.items():
        if status == SKIP or not word.strip():
            raise problem(
                f"{show_value((), word)} needs a status: a point cannot be left out by its status", at="status_words"
            )


def _check_times(source: CsvKeys) -> None:
    if source.dst_fold != "refuse" and (source.timezone == "UTC" or source.timezone[0] in "+-"):
        raise problem("has no meaning in a zone whose clocks are never changed: set timezone", at="dst_fold")
    form = source.time_format
    if form in NUMERIC_TIMES and isinstance(source.time_column, tuple):
        raise problem(f"names several columns, whose texts together are no number as {form} is", at="time_column")
    check_time_format(form, source.timezone)


def check_time_format(form: str | None, timezone: str) -> None:
    """Raise a validation problem where a pattern of times has a part that would have no effect.

    Args:
        form: the key `time_format`.
        timezone: the zone of times that name none.
    """
    if form is None or form in NUMERIC_TIMES:
        return
    try:
        read_pattern(form)
        check_zone_words(form, timezone)
    except ValueError as error:
        raise problem(f"{show_value((), form)}: {error}", at="time_format") from None
