"""Parse value cells and status cells: one by one, which is the definition, and whole columns at once."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from omnia_beam.core.limits import MAX_STATUS
from omnia_beam.io.facts import ReadingNotes
from omnia_beam.io.files.csv.text import is_utf8
from omnia_beam.io.files.csv.times import TimeForm

NAN: Final = float("nan")
_NUMBER: Final = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_WHOLE: Final = re.compile(r"[+-]?\d+", re.ASCII)
_EXACT_INTEGER: Final = 2**53
_SHOWN: Final = 40
_STATUS: Final = re.compile(r"\+?(\d{1,10})(?:\.0*)?|0[xX]([0-9a-fA-F]{1,8})", re.ASCII)
_GROUPS: Final[Mapping[str, str]] = {" ": " \u00a0\u202f\u2009", "'": "'\u2019"}
"""The characters that each configured mark between groups of digits stands for."""


@dataclass(frozen=True, slots=True)
class CsvReading:
    """How cells are parsed.

    Args:
        path: of the file, for messages.
        selects: whether a series is wanted.
        times: format of times.
        missing: texts that mean that there is no point.
        decimal: `.` or `,`.
        encoding: of the file's bytes.
        default_status: of points that come without one.
        comment: prefix of lines that are ignored.
        thousands: mark between groups of three digits.
        words: words in value cells. Each means NaN with the given status, or no point where that is None.
        status_words: words in status cells, and their statuses.
        series: that every row belongs to, where the file's path names it; otherwise None.
    """

    path: str
    selects: Callable[[str], bool]
    times: TimeForm = field(default_factory=TimeForm)
    missing: frozenset[str] = field(default_factory=frozenset)
    decimal: str = "."
    encoding: str = "utf-8"
    default_status: int = 192
    comment: str | None = None
    thousands: str | None = None
    words: Mapping[str, int | None] = field(default_factory=dict)
    status_words: Mapping[str, int] = field(default_factory=dict)
    series: str | None = None

    @property
    def is_utf8(self) -> bool:
        return is_utf8(self.encoding)

    @property
    def plain_numbers(self) -> bool:
        """Whether Arrow's own parser of numbers is all that value cells need."""
        return self.thousands is None and not self.words

    @property
    def group_signs(self) -> str:
        return "" if self.thousands is None else _GROUPS.get(self.thousands, self.thousands)


def parse_value(text: str, reading: CsvReading) -> tuple[float, int | None] | None:
    """Return the value of a cell and the status that a word brings with it (None for a number); None where there is no point.

    Raises:
        ValueError: the cell is no number.
    """
    if not text or text in reading.missing:
        return None
    if text in reading.words:
        status = reading.words[text]
        return None if status is None else (NAN, status)
    plain = _ungrouped(text, reading)
    if reading.decimal == ",":
        plain = plain.replace(",", ".") if "." not in plain else "two marks"
    # float() also takes digits of other scripts and 1_000, which files do not mean as numbers.
    if not _NUMBER.fullmatch(plain):
        raise ValueError("is not a number")
    return float(plain), None


def _ungrouped(text: str, reading: CsvReading) -> str:
    signs = reading.group_signs
    if not signs or not any(sign in text for sign in signs):
        return text
    return without_groups(text, reading) if re.fullmatch(_grouped(reading), text) else text


def without_groups(text: str, reading: CsvReading) -> str:
    """Return a text without the marks between groups of digits."""
    signs = reading.group_signs
    return re.sub(f"[{re.escape(signs)}]", "", text) if signs else text


def _grouped(reading: CsvReading) -> str:
    """Return a pattern of numbers whose digits are grouped by three."""
    sign, mark = f"[{re.escape(reading.group_signs)}]", re.escape(reading.decimal)
    return rf"[+-]?[0-9]{{1,3}}(?:{sign}[0-9]{{3}})+(?:{mark}[0-9]*)?"


def note_value(notes: ReadingNotes, series: str, text: str, value: float, reading: CsvReading) -> None:
    """Note a value that holds less than its text: a finite number that became infinite, or digits that are lost."""
    plain = without_groups(text, reading)
    shown = f"{reading.path}: {text[:_SHOWN]!r}"
    if math.isinf(value):
        if "inf" not in plain.lower():
            notes.about_points("infinite_values", series, 1, shown)
    elif abs(value) >= _EXACT_INTEGER and _WHOLE.fullmatch(plain) and int(plain) != int(value):
        notes.about_points("integer_precision", series, 1, shown)


def very_large(values: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Return where values are so large (2^53 or more) that their texts have to be checked for lost digits."""
    if not len(values) or not (np.fmax.reduce(values) >= _EXACT_INTEGER or np.fmin.reduce(values) <= -_EXACT_INTEGER):
        return np.empty(0, np.intp)
    return np.flatnonzero(np.abs(values) >= _EXACT_INTEGER)


def parse_status(text: str, reading: CsvReading) -> int:
    """Return the status of a cell, or the default where the cell is empty or missing.

    Raises:
        ValueError: the cell is no status.
    """
    if not text or text in reading.missing:
        return reading.default_status
    if text in reading.status_words:
        return reading.status_words[text]
    found = _STATUS.fullmatch(text)
    number = -1 if found is None else int(found[1]) if found[1] is not None else int(found[2], 16)
    if not 0 <= number <= MAX_STATUS:
        raise ValueError("is not a status")
    return number


@dataclass(frozen=True, slots=True)
class ValueColumn:
    """A parsed column of values.

    Args:
        values: float64.
        valid: where there is a point; None for everywhere.
        worded: where the value is a word's NaN; None for nowhere.
        statuses: uint32, the statuses that words bring with them.
    """

    values: npt.NDArray[np.float64]
    valid: npt.NDArray[np.bool_] | None = None
    worded: npt.NDArray[np.bool_] | None = None
    statuses: npt.NDArray[np.uint32] | None = None

    def with_words(self, statuses: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        """Return the rows' statuses, replaced where a word brings its own."""
        if self.worded is None or self.statuses is None:
            return statuses
        return np.where(self.worded, self.statuses, statuses).astype(np.uint32)


def value_column(column: Any, reading: CsvReading) -> ValueColumn:
    """Parse an Arrow column of doubles, null where there is no point, or of texts.

    Raises:
        ValueError: a text is no number, or one that only `parse_value` can parse.
    """
    if pa.types.is_floating(column.type):
        values = column.to_numpy(zero_copy_only=False)
        return ValueColumn(values, _mask(column.is_valid()) if column.null_count else None)
    empty = ["", *reading.missing, *(word for word, status in reading.words.items() if status is None)]
    none = pc.is_in(column, pa.array(empty, pa.string()))
    named = {word: status for word, status in reading.words.items() if status is not None}
    which = pc.index_in(column, pa.array(list(named), pa.string()))
    worded = which.is_valid()
    bare = pc.if_else(pc.or_(none, worded), pa.scalar(None, pa.string()), column)
    numbers = _plain(bare, reading).cast(pa.float64()).to_numpy(zero_copy_only=False)
    statuses = None
    if named:
        statuses = np.array(list(named.values()), np.uint32)[_numpy(which.fill_null(0))]
    return ValueColumn(numbers, ~_mask(none), _mask(worded), statuses)


def _plain(texts: Any, reading: CsvReading) -> Any:
    """Return texts in the notation that Arrow's cast to numbers takes."""
    if reading.thousands is not None:
        signs = re.escape(reading.group_signs)
        has = pc.match_substring_regex(texts, f"[{signs}]")
        whole = pc.match_substring_regex(texts, f"^(?:{_grouped(reading)})$")
        if pc.any(pc.and_not(has, whole)).as_py():
            raise ValueError("a number is not grouped by three digits")
        texts = pc.replace_substring_regex(texts, f"[{signs}]", "")
    if reading.decimal != ".":
        if pc.any(pc.match_substring(texts, ".")).as_py():
            raise ValueError("two decimal marks")
        texts = pc.replace_substring(texts, reading.decimal, ".")
    if pc.any(pc.match_substring_regex(texts, "[^0-9.eE+-]")).as_py():
        raise ValueError("only cell by cell")
    return texts


def status_column(column: Any, reading: CsvReading) -> npt.NDArray[np.uint32]:
    """Parse an Arrow column of whole numbers, null for the default status, or of a dictionary of texts.

    Raises:
        ValueError: a text is no status.
    """
    if pa.types.is_dictionary(column.type):
        table = np.array([parse_status(text.strip(), reading) for text in column.dictionary.to_pylist()], np.uint32)
        statuses: npt.NDArray[np.uint32] = table[_numpy(column.indices)]
        return statuses
    plain: npt.NDArray[np.uint32] = column.fill_null(reading.default_status).to_numpy()
    return plain


def _mask(column: Any) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = column.to_numpy(zero_copy_only=False)
    return mask


def _numpy(column: Any) -> Any:
    return column.to_numpy(zero_copy_only=False)
