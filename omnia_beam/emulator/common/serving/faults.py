"""Faults by rule, deterministic from the seed.

A rule is a list of words of the form `key=value`, and names one kind of fault:

    path=/data method=GET rate=0.1 count=5 after=2 status=503 retry_after=2 body=html

| filter | meaning (all optional) |
|---|---|
| path=TEXT | the request's path contains it, or matches it as a regular expression |
| method=NAME | the request's method |
| rate=0.1 | this share of the matching requests, drawn by their number (default 1) |
| count=N | at most N times |
| after=N | not the first N matching requests |

| kind of every service | what happens |
|---|---|
| status=NNN | that status instead of a response; retry_after=SECONDS or date; body=json (default), html or empty |
| truncate | the body is cut off half way and the connection closed |
| reset | the connection is reset before the request is looked at |
| reset_after_apply | the request is carried out, then the connection is reset without a response |
| stall=SECONDS | nothing is sent for that long, then the response |
| slow=BYTES | the body trickles at that many bytes a second |
| garbage | random bytes under the right content type |
| redirect=URL | 302 to that scheme, host and port, with the same path and query |

A service adds kinds of its own, which damage the content of its responses.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from omnia_beam.emulator.common.counterhash import hash_one, hashes_of, key_of, unit
from omnia_beam.emulator.common.points import Times


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault: how its value is read, and the value where a rule gives none (None: one must be given).

    The rate of a `per_point` kind is a share of points instead of requests, and such a kind is counted where it is applied.
    """

    read: Callable[[str], Any] = str
    default: Any = ""
    per_point: bool = False


GENERAL: Final[Mapping[str, FaultKind]] = {
    "status": FaultKind(int, None),
    "truncate": FaultKind(),
    "reset": FaultKind(),
    "reset_after_apply": FaultKind(),
    "stall": FaultKind(float, None),
    "slow": FaultKind(float, None),
    "garbage": FaultKind(),
    "redirect": FaultKind(str, None),
}
"""The kinds that every service has."""


@dataclass(frozen=True, slots=True)
class FaultRule:
    """One parsed rule; `value` is the value given for its kind."""

    text: str
    kind: str
    value: Any
    path: str = ""
    method: str = ""
    rate: float = 1.0
    count: int | None = None
    after: int = 0
    retry_after: str = ""
    body: str = "json"
    per_point: bool = False

    @property
    def label(self) -> str:
        """The kind as the stats count it."""
        return f"status_{self.value}" if self.kind == "status" else self.kind

    def concerns(self, method: str, path: str, without: Container[str] = ()) -> bool:
        """Return whether the rule counts such a request, to which the kinds `without` do not apply."""
        if (self.method and self.method != method) or self.kind in without:
            return False
        return self.path in path or re.search(self.path, path) is not None


def parse_rule(text: str, kinds: Mapping[str, FaultKind]) -> FaultRule:
    """Parse one rule of these kinds. Raises ValueError, which names the word that cannot be used."""
    rule = FaultRule(text, "", None)
    for word in shlex.split(text):
        name, equals, value = word.partition("=")
        try:
            rule = _with_word(rule, name, value if equals else None, kinds)
        except ValueError as error:
            raise ValueError(f"--fault {text!r}: {word!r}: {error}") from None
    if not rule.kind:
        raise ValueError(f"--fault {text!r}: no kind of fault; known are {', '.join(kinds)}")
    return rule


def rejected(seed: int, series_id: str, times: Times, rate: float) -> NDArray[np.bool_]:
    """Return which points of a series belong to the fixed set that a kind such as `reject_points rate=…` refuses."""
    drawn = hashes_of(key_of(seed, "reject", series_id), times) >> np.uint64(11)
    chosen: NDArray[np.bool_] = drawn < np.uint64(int(rate * 2.0**53))
    return chosen


@dataclass(frozen=True, slots=True)
class Injection:
    """The rules that fired for one request."""

    rules: tuple[FaultRule, ...] = ()

    def of(self, kind: str) -> FaultRule | None:
        """Return the first fired rule of that kind, or None."""
        return next((rule for rule in self.rules if rule.kind == kind), None)


@dataclass(slots=True)
class FaultBook:
    """The rules in force, and how often each has matched and fired."""

    seed: int
    kinds: Mapping[str, FaultKind]
    rules: tuple[FaultRule, ...] = ()
    _matched: list[int] = field(default_factory=list)
    _fired: list[int] = field(default_factory=list)

    def change(self, texts: Iterable[str]) -> None:
        """Replace the rules in force with these. Raises ValueError, and changes nothing, if one cannot be parsed."""
        self.rules = tuple(parse_rule(text, self.kinds) for text in texts)
        self._matched = [0] * len(self.rules)
        self._fired = [0] * len(self.rules)

    def draw(self, method: str, path: str, without: Container[str] = ()) -> Injection:
        """Return the rules that fire for this request, and count the request for each rule that it concerns.

        Rules of the kinds `without` neither fire nor count it.
        """
        fired = []
        for number, rule in enumerate(self.rules):
            if not rule.concerns(method, path, without):
                continue
            turn = self._matched[number]
            self._matched[number] += 1
            if turn < rule.after or (rule.count is not None and self._fired[number] >= rule.count):
                continue
            key = key_of(self.seed, number, rule.text)
            if rule.per_point or unit(hash_one(key, turn)) < rule.rate:
                self._fired[number] += 1
                fired.append(rule)
        return Injection(tuple(fired))


def _with_word(rule: FaultRule, name: str, value: str | None, kinds: Mapping[str, FaultKind]) -> FaultRule:
    if name in kinds:
        kind = kinds[name]
        if rule.kind:
            raise ValueError(f"a second kind beside {rule.kind!r}; one rule has one")
        if value is None and kind.default is None:
            raise ValueError("a value is needed")
        return replace(
            rule, kind=name, value=kind.default if value is None else kind.read(value), per_point=kind.per_point
        )
    if value is None:
        raise ValueError(f"unknown; the kinds are {', '.join(kinds)}")
    return _with_filter(rule, name, value)


def _with_filter(rule: FaultRule, name: str, value: str) -> FaultRule:
    if name == "path":
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return replace(rule, path=value)
    if name == "method":
        return replace(rule, method=value.upper())
    if name == "rate" and 0 <= float(value) <= 1:
        return replace(rule, rate=float(value))
    if name == "count":
        return replace(rule, count=int(value))
    if name == "after":
        return replace(rule, after=int(value))
    if name == "retry_after" and (value == "date" or float(value) >= 0):
        return replace(rule, retry_after=value)
    if name == "body" and value in ("json", "html", "empty"):
        return replace(rule, body=value)
    known = "path, method, rate (0 to 1), count, after, retry_after (seconds or date), body (json, html, empty)"
    raise ValueError(f"not a usable setting; known are {known}")
