"""Read patterns of times, in the notation of `strptime`, of which every directive counts.

`strptime` ignores a weekday, a zone's name, `%p` beside `%H` and a week without its weekday, and invents a day where the
pattern has none. Such a pattern is refused here, and the error names the one to write instead. Names of months and days are
English, in any case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final

from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS, NS_PER_SECOND

_DAY_S: Final = 86_400
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()

MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONG_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_CURES: Final[Mapping[str, str]] = {
    "Z": "names of zones are ambiguous: write %z for offsets; a name that is always the same as plain text, "
    "and set source.timezone to it",
    "s": "use time_format: epoch_s",
    "c": "it differs from country to country: write the parts out, such as %Y-%m-%d %H:%M:%S",
    "x": "it differs from country to country: write the parts out, such as %d.%m.%Y",
    "X": "it differs from country to country: write the parts out, such as %H:%M:%S",
    "F": "write %Y-%m-%d",
    "T": "write %H:%M:%S",
    "R": "write %H:%M",
    "D": "write %m/%d/%y",
    "r": "write %I:%M:%S %p",
    "e": "write %d, which takes one digit too",
    "k": "write %H, which takes one digit too",
    "l": "write %I, which takes one digit too",
    "h": "write %b",
    "P": "write %p, which takes small letters too",
    "N": "write %f, which takes one to nine decimals",
    "L": "write %f, which takes one to nine decimals",
    "-": "leave the sign out: one digit is taken too",
    "#": "leave the sign out: one digit is taken too",
}
_WIDTHS: Final = {
    "Y": "4",
    "y": "2",
    "m": "1,2",
    "d": "1,2",
    "H": "1,2",
    "I": "1,2",
    "M": "1,2",
    "S": "1,2",
    "j": "1,3",
}
_TEXTS: Final = {
    "f": r"\d{1,9}",
    "b": "|".join(MONTHS),
    "B": "|".join(_LONG_MONTHS),
    "a": "|".join(WEEKDAYS),
    "A": "|".join(_LONG_WEEKDAYS),
    "p": r"[ap]\.?m\.?",
    "z": r"[zZ]|[+-]\d\d:?[0-5]\d",
    "G": r"\d{4}",
    "V": r"\d{1,2}",
    "U": r"\d{1,2}",
    "W": r"\d{1,2}",
    "u": "[1-7]",
    "w": "[0-6]",
}
_YEARS, _MONTHS, _HOURS, _WEEKDAYS = "YyG", "mbB", "HI", "aAuw"
_UTC_WORDS: Final = ("z", "utc", "gmt", "zulu")
_ZONE_WORD: Final = re.compile(
    "cet|cest|eet|eest|wet|west|bst|ist|msk|[ecmp][sd]t|akst|hst|jst|kst|sgt|ae[sd]t|acst|awst|nz[sd]t|brt|art|clt"
)
_OFFSET: Final = re.compile(r"[+-]\d\d:?\d\d|(?:utc|gmt)[+-]\d.*", re.ASCII)


@dataclass(frozen=True, slots=True)
class TimePattern:
    """A valid pattern, ready to parse times.

    Args:
        text: the pattern as written.
        regex: the same as a regular expression, with one group for each directive, named by its letter (small letters behind
            `l_`, because some engines need names that differ in more than their case).
        fields: the letters of the directives.
    """

    text: str
    regex: str
    fields: frozenset[str]

    def parse(self, text: str) -> tuple[int, int | None]:
        """Return a time as ns since the Unix epoch on the clock that showed it, and that clock's offset from UTC in seconds.

        The offset is None where the pattern has no `%z`.

        Raises:
            ValueError: the text is not such a time; the message gives the reason.
        """
        found = _compiled(self.regex).fullmatch(text)
        if found is None:
            raise ValueError(f"it does not look like {self.text}")
        parts = {name[-1]: part for name, part in found.groupdict().items()}
        day = _day(parts)
        _check_weekday(parts, day)
        hour, minute, second = _hour(parts), int(parts.get("M", 0)), int(parts.get("S", 0))
        if minute > 59 or second > 59:
            raise ValueError("a minute or second beyond 59; a leap second has no place in a count of seconds")
        ns = int(parts.get("f", "0").ljust(9, "0"))
        total = (day * _DAY_S + hour * 3_600 + minute * 60 + second) * NS_PER_SECOND + ns
        offset = _offset(parts["z"]) if "z" in parts else None
        if not MIN_TIME_NS <= total - (offset or 0) * NS_PER_SECOND <= MAX_TIME_NS:
            raise ValueError("outside what 64-bit nanoseconds can hold (1677-09-21 to 2262-04-11)")
        return total, offset


@lru_cache(maxsize=64)
def read_pattern(text: str) -> TimePattern:
    """Return the pattern of a text.

    Raises:
        ValueError: a directive would not count, or there are too few of them; the message names what to write instead.
    """
    tokens = _tokens(text)
    found = [letter for is_field, letter in tokens if is_field]
    _check_directives(text, found)
    return TimePattern(text, _regex(tokens), frozenset(found))


def check_zone_words(text: str, zone: str) -> None:
    """Check that the plain text of a pattern names no other zone than the one that would be applied.

    Args:
        text: the pattern.
        zone: of times that name none.

    Raises:
        ValueError: the plain text names another zone or an offset, which would be ignored.
    """
    literal = "".join("\0" if is_field else letter for is_field, letter in _tokens(text))
    for word in re.findall(r"[A-Za-z]+(?:[+-]\d[\d:]*)?|[+-]\d\d:?\d\d", literal.split("\0", 1)[-1]):
        plain = word.lower()
        if plain in _UTC_WORDS and zone not in ("UTC", "Etc/UTC", "+00:00", "GMT"):
            raise ValueError(
                f"{word!r} is plain text in the pattern and means UTC, while source.timezone is {zone}: write %z in its place, or "
                "leave the pattern out if times are in RFC 3339"
            )
        if _OFFSET.fullmatch(plain):
            raise ValueError(f"{word!r} is plain text in the pattern, which would be ignored: write %z in its place")
        if _ZONE_WORD.fullmatch(plain) and zone == "UTC":
            raise ValueError(
                f"{word!r} is plain text in the pattern, which would be ignored: set source.timezone to that zone"
            )


def _tokens(text: str) -> list[tuple[bool, str]]:
    """Return the tokens of a pattern: (True, the letter) for a directive, (False, the character) for plain text.

    Raises:
        ValueError: a directive is not supported.
    """
    tokens: list[tuple[bool, str]] = []
    at = 0
    while at < len(text):
        if text[at] != "%":
            tokens.append((False, text[at]))
            at += 1
            continue
        letter = text[at + 1 : at + 2]
        if letter == "%":
            tokens.append((False, "%"))
        elif letter in _WIDTHS or letter in _TEXTS:
            tokens.append((True, letter))
        else:
            cure = _CURES.get(letter, "use %Y %m %d %H %M %S %f %z")
            raise ValueError(f"%{letter} is not read: {cure}")
        at += 2
    return tokens


def _regex(tokens: list[tuple[bool, str]]) -> str:
    parts: list[str] = []
    for at, (is_field, letter) in enumerate(tokens):
        if not is_field:
            if letter.isspace():
                if not parts or parts[-1] != r"\s+":
                    parts.append(r"\s+")
            else:
                parts.append(re.escape(letter))
            continue
        # Directives whose digits touch can be separated only by a fixed number of digits.
        beside = [tokens[i] for i in (at - 1, at + 1) if 0 <= i < len(tokens)]
        fixed = any(each[0] and each[1] not in "bBaApz" for each in beside)
        if letter in _WIDTHS:
            width = _WIDTHS[letter]
            body = r"\d{%s}" % (width.split(",")[-1] if fixed else width)
        elif fixed and letter in "VUW":
            body = r"\d{2}"
        else:
            body = _TEXTS[letter]
        parts.append(f"(?P<{group(letter)}>{body})")
    return "".join(parts)


def group(letter: str) -> str:
    """Return the name of the regular expression's group for a directive."""
    return letter if letter.isupper() else f"l_{letter}"


def _check_directives(text: str, found: list[str]) -> None:
    there = set(found)
    if not there:
        raise ValueError("has no directive: write it like %Y-%m-%d %H:%M:%S (%d.%m.%Y, %d/%m/%y, %H:%M:%S.%f …)")
    for letter in found:
        if found.count(letter) > 1:
            raise ValueError(f"%{letter} is given twice: one of them would not count")
    for letters, what in (
        (_YEARS, "years"),
        (_MONTHS, "months"),
        (_HOURS, "hours"),
        ("aAuw", "weekdays"),
        ("UWV", "weeks"),
    ):
        if len(there & set(letters)) > 1:
            names = " and ".join(f"%{each}" for each in letters if each in there)
            raise ValueError(f"{names} are both {what}: one of them would not count")
    _check_date(there)
    _check_clock(there)
    if re.search(r"%f%[YymdHIMSjGVUWuw]", text):
        raise ValueError("the digits of %f have no clear end: a number follows them")


def _check_date(there: set[str]) -> None:
    weekday = there & set(_WEEKDAYS)
    month = there & set(_MONTHS)
    if "p" in there and "H" in there:
        raise ValueError("%p has no effect beside %H, the hour of 24: write %I, the hour of 12")
    if there & set("UWVG"):
        _check_week(there, weekday, month)
        return
    if "j" in there:
        if month or "d" in there:
            raise ValueError("%j is the day of the year: month and day beside it would not count")
        if not there & set("Yy"):
            raise ValueError("needs the year beside the day of the year: write %Y-%j")
        return
    if not (there & set("Yy") and month and "d" in there):
        missing = [
            name for name, has in (("year", there & set("Yy")), ("month", month), ("day", "d" in there)) if not has
        ]
        raise ValueError(
            f"needs year, month and day, and has no {' and no '.join(missing)}: write it like %Y-%m-%d; where date and time "
            "are in two columns, name both: time_column: [Date, Time]"
        )
    if weekday & set("uw"):
        raise ValueError(
            f"%{weekday.pop()} would not count beside a date: leave the column's weekday out, or write %a or %A"
        )


def _check_week(there: set[str], weekday: set[str], month: set[str]) -> None:
    if month or there & set("dj"):
        raise ValueError("has a week beside a month or a day: one of them would not count")
    iso = "G" in there or "V" in there
    if iso and not ("G" in there and "V" in there):
        raise ValueError("%G and %V belong together: write %G-W%V-%u")
    if not iso and not there & set("Yy"):
        raise ValueError("has a week and no year: write %Y-%W-%w")
    if not weekday:
        raise ValueError("a week without its weekday is no date: write %G-W%V-%u, or %Y-%W-%w")


def _check_clock(there: set[str]) -> None:
    if "I" in there and "p" not in there:
        raise ValueError(
            "%I, the hour of 12, does not distinguish morning and afternoon: add %p, or write %H, the hour of 24"
        )
    if "p" in there and "I" not in there:
        raise ValueError("%p has no effect without %I, the hour of 12")
    for finer, coarser in (("M", _HOURS), ("S", "M"), ("f", "S")):
        if finer in there and not there & set(coarser):
            raise ValueError(f"has %{finer} without %{coarser[0]}: the time of day is not whole")
    if "z" in there and not there & set(_HOURS):
        raise ValueError("has %z without %H: the time of day is not whole")


@lru_cache(maxsize=64)
def _compiled(regex: str) -> re.Pattern[str]:
    return re.compile(regex, re.ASCII | re.IGNORECASE)


def year_of(two_digits: int) -> int:
    """Return the year that `%y` means: 69 to 99 belong to the last century, as in POSIX."""
    return two_digits + (1900 if two_digits >= 69 else 2000)


def _day(parts: Mapping[str, str]) -> int:
    """Return the days since the Unix epoch.

    Raises:
        ValueError: the date does not exist.
    """
    try:
        return _date(parts).toordinal() - _EPOCH_DAY
    except ValueError as error:
        raise ValueError(f"a date that does not exist: {error}") from None


def _date(parts: Mapping[str, str]) -> date:
    if "G" in parts:
        return date.fromisocalendar(int(parts["G"]), int(parts["V"]), _weekday(parts) + 1)
    year = int(parts["Y"]) if "Y" in parts else year_of(int(parts["y"]))
    first = date(year, 1, 1)
    if "U" in parts or "W" in parts:
        return _date_of_week(parts, first)
    if "j" in parts:
        found = date.fromordinal(first.toordinal() + int(parts["j"]) - 1)
        if found.year != year:
            raise ValueError(f"the year has no day {parts['j']}")
        return found
    return date(year, _month(parts), int(parts["d"]))


def _date_of_week(parts: Mapping[str, str], first: date) -> date:
    """Return the date of a weekday in a week; week 0 has the days before the first Monday (`%W`) or Sunday (`%U`).

    Raises:
        ValueError: the year has no such day.
    """
    week = int(parts["W"] if "W" in parts else parts["U"])
    shift = 0 if "W" in parts else 1  # days by which the week begins before Monday
    in_week = (_weekday(parts) + shift) % 7
    lead = (first.weekday() + shift) % 7
    week_0 = first.toordinal() - lead - (0 if lead else 7)
    found = date.fromordinal(week_0 + in_week + 7 * week)
    if found.year != first.year:
        raise ValueError(f"the year has no such day in week {week}")
    return found


def _month(parts: Mapping[str, str]) -> int:
    if "m" in parts:
        return int(parts["m"])
    return MONTHS.index(parts["b" if "b" in parts else "B"][:3].lower()) + 1


def _weekday(parts: Mapping[str, str]) -> int:
    """Return the weekday as a number; Monday is 0."""
    if "u" in parts:
        return int(parts["u"]) - 1
    if "w" in parts:
        return (int(parts["w"]) - 1) % 7
    return WEEKDAYS.index(parts["a" if "a" in parts else "A"][:3].lower())


def _check_weekday(parts: Mapping[str, str], day: int) -> None:
    if ("a" in parts or "A" in parts) and _weekday(parts) != (day + 3) % 7:
        raise ValueError("the weekday is not that of the date")


def _hour(parts: Mapping[str, str]) -> int:
    if "I" in parts:
        hour = int(parts["I"])
        if not 1 <= hour <= 12:
            raise ValueError(f"hour {hour} is none of 12")
        return hour % 12 + (12 if parts["p"][0] in "pP" else 0)
    hour = int(parts.get("H", 0))
    if hour > 23:
        raise ValueError(f"hour {hour} is none of 24: write 00:00 of the next day")
    return hour


def _offset(text: str) -> int:
    if text in "zZ":
        return 0
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 23:
        raise ValueError(f"an offset of {hours} hours")
    return (hours * 3_600 + minutes * 60) * (-1 if text[0] == "-" else 1)
