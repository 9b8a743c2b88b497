"""A request as the endpoints see it, and its parameters read as the service reads them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from omnia_beam.core.limits import MAX_STATUS
from omnia_beam.emulator.common.serving.response import Refusal
from omnia_beam.emulator.common.timetext import TICK_NS, parse_time
from omnia_beam.emulator.omnia.faults import PageFaults
from omnia_beam.emulator.omnia.response import PROTOBUF_TYPES

if TYPE_CHECKING:
    from multidict import MultiMapping  # comes with aiohttp

FEDERATION_SOURCES: Final = ("IMS", "TSDB", "DataLake")
_LONGEST_STATUS: Final = 10
_ACCEPTED = re.compile(r"[^,;\s]+/[^,;\s]+")


@dataclass(frozen=True, slots=True)
class Call:
    """One request: path values by name, query, body, and the emulator's time when it came (ns)."""

    method: str
    path: str
    values: Mapping[str, str]
    query: MultiMapping[str]
    body: bytes
    accept: str
    now_ns: int
    trace_id: str
    faults: PageFaults = field(default_factory=PageFaults)

    def protobuf_type(self) -> str | None:
        """Return the spelling of protobuf in the client's Accept header, or None where the client takes JSON."""
        for media_type in _ACCEPTED.findall(self.accept.lower()):
            if media_type in PROTOBUF_TYPES:
                return str(media_type)
        return None

    def content(self) -> Any:
        """Return the JSON body; refuse with 400 what is not JSON, NaN and Infinity included."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise Refusal(400, f"The request body is not valid JSON: {error}.") from None

    def text(self, name: str) -> str | None:
        """Return a query parameter, or None where it is absent or empty."""
        return self.query.get(name) or None

    def texts(self, name: str) -> list[str]:
        """Return a list parameter: either repeated, or with its values separated by commas."""
        return [part.strip() for value in self.query.getall(name, []) for part in value.split(",") if part.strip()]

    def federation(self) -> str | None:
        """Return the requested federation source in the service's spelling, or None; refuse an unknown one with 400."""
        given = self.text("federationSource")
        return None if given is None else one_of("federationSource", given, FEDERATION_SOURCES)


def time_of(name: str, given: Any) -> int | None:
    """Return a time parameter in ns, cut to ticks of 100 ns as the service does, or None where none is given.

    Refuses a time that cannot be read with 400.
    """
    if given is None or given == "":
        return None
    if not isinstance(given, str):
        raise Refusal(400, f"The value of '{name}' is not a date-time in RFC 3339.")
    try:
        return parse_time(given, TICK_NS)
    except ValueError:
        raise Refusal(400, f"The value '{given}' of '{name}' is not a date-time in RFC 3339.") from None


def bool_of(name: str, given: Any) -> bool | None:
    """Return a boolean parameter, `True` and `true` alike, or None where none is given; refuse others with 400."""
    if given is None or isinstance(given, bool):
        return given
    if isinstance(given, str) and given.lower() in ("true", "false"):
        return given.lower() == "true"
    raise Refusal(400, f"The value '{given}' of '{name}' is neither true nor false.")


def limit_of(given: Any, default: int, largest: int) -> int:
    """Return a `limit` from 1 to `largest`, or the default where none is given; refuse any other with 400."""
    if given is None or given == "":
        return default
    try:
        limit = int(given)
    except (TypeError, ValueError):
        raise Refusal(400, f"The value '{given}' of 'limit' is not a whole number.") from None
    if isinstance(given, bool | float) or not 1 <= limit <= largest:
        raise Refusal(400, f"The value '{given}' of 'limit' is not between 1 and {largest}.")
    return limit


def statuses_of(name: str, given: list[Any] | None) -> tuple[int, ...] | None:
    """Return a status filter, or None where none is given; refuse with 400 what is not a status."""
    if not given:
        return None
    if not isinstance(given, list):
        raise Refusal(400, f"The value of '{name}' is not a list of statuses.")
    statuses = set()
    for value in given:
        digits = value.isdecimal() and len(value) <= _LONGEST_STATUS if isinstance(value, str) else type(value) is int
        if not digits or not 0 <= int(value) <= MAX_STATUS:
            raise Refusal(400, f"The value '{value}' of '{name}' is not a status.")
        statuses.add(int(value))
    return tuple(sorted(statuses))


def one_of(name: str, given: str, known: tuple[str, ...]) -> str:
    """Return the known value that equals the given one in any case; refuse any other with 400."""
    for value in known:
        if given.lower() == value.lower():
            return value
    raise Refusal(400, f"The value '{given}' of '{name}' is not one of {', '.join(known)}.")


def guid_of(text: str) -> str:
    """Return a series id in its usual spelling, and any other text unchanged: no series will have it."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return text


def refuse_deep(name: str, value: Any, most: int = 16) -> None:
    """Refuse with 400 a value nested deeper than `most`: a stored value must also be written to disk and sent again."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > most:
            raise Refusal(400, f"The value of '{name}' is nested too deeply.")
        inner = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level = [one for each in inner for one in each]
