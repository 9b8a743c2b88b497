"""The endpoints that read values of one point or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from omnia_beam.emulator.common.serving.faults import rejected
from omnia_beam.emulator.common.serving.response import Buffer, Refusal, ServiceResponse
from omnia_beam.emulator.pi.archive import Point
from omnia_beam.emulator.pi.call import Call
from omnia_beam.emulator.pi.events import ANNOTATED, Events, joined_events, state_event
from omnia_beam.emulator.pi.interpolation import snapshot, value_at
from omnia_beam.emulator.pi.rendering import Rows, Shown, number_text, rendered
from omnia_beam.emulator.pi.response import JSON, Fields
from omnia_beam.emulator.pi.service import PiService
from omnia_beam.emulator.pi.summary import BASES, SUMMARIES, Basis, Summary, summaries
from omnia_beam.emulator.pi.times import shown_time
from omnia_beam.emulator.pi.units import converted

BOUNDARIES: Final = ("Inside", "Outside", "Interpolated")
DEFAULT_MAX_COUNT: Final = 1_000
_HOUR_NS: Final = 3_600_000_000_000
_ONLY_ANNOTATED: Final = "isset('.',\"a\")"
_WEB_EXCEPTION: Final = (
    b'{"Errors":["The archive stopped responding while the response was written."],"StatusCode":500}'
)

_Parts: TypeAlias = Sequence[Buffer]
"""A piece of a body in the parts in which it is sent."""


@dataclass(frozen=True, slots=True)
class Span:
    """A requested stretch of time, both ends inclusive; `backwards` where the end was given before the start."""

    start_ns: int
    end_ns: int
    backwards: bool

    @classmethod
    def of(cls, call: Call) -> Span:
        """Return the stretch that a request names: by default the last day."""
        start, end = call.time("startTime", "*-1d"), call.time("endTime", "*")
        return cls(min(start, end), max(start, end), end < start)


@dataclass(frozen=True, slots=True)
class Stream:
    """The values of one point as they are sent."""

    point: Point
    rows: Rows
    broken: bool = False

    def members(self, fields: Fields) -> list[_Parts]:
        """Return the members that a stream has wherever it stands, as far as they are selected."""
        found: list[_Parts] = []
        if not fields or "items" in fields:
            found.append((b'"Items":[', self.rows.joined(), b"]"))
        if not fields or "unitsabbreviation" in fields:
            found.append((b'"UnitsAbbreviation":' + orjson.dumps(self.point.attributes.units),))
        return found


async def get_recorded(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET streams/{webId}/recorded`."""
    found = _recorded(service, call, service.point_of(call.values["webId"]), max_count_of(service, call))
    [stream] = _streams(service, call, [found], call.fields.get("items", {}))
    return _answer(call.fields, stream.members(call.fields), stream.broken, len(stream.rows))


async def get_recorded_of_many(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET streamsets/recorded?webId=…&webId=…`: `maxCount` counts each stream, or all (`--streamset-limit`)."""
    points = _points(service, call)
    fields = call.fields.get("items", {})
    left = max_count_of(service, call)
    found = []
    for point in points:
        found.append(_recorded(service, call, point, left))
        if service.settings.streamset_limit == "request":
            left -= _sent(call, found[-1])
    streams = _streams(service, call, found, fields.get("items", {}))
    if call.injection.of("left_out"):
        streams.pop()
    return _stream_set(service, call, streams)


async def get_value(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET streams/{webId}/value`: the current value, or the one at `time`."""
    point = service.point_of(call.values["webId"])
    return _single(service, call, point, _value(call, point))


async def get_end(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET streams/{webId}/end`: the last archived value."""
    point = service.point_of(call.values["webId"])
    count = point.history.count()
    events = point.history.read(count - 1, count) if count else state_event(call.now_ns, "No Data")
    return _single(service, call, point, events)


async def get_values_of_many(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET streamsets/value?webId=…&webId=…`."""
    fields = call.fields.get("items", {})
    items = []
    for point in _points(service, call):
        [row] = _rendered(service, Shown(point, _value(call, point)), fields.get("value", {})).texts()
        items.append(_head(service, call, point) | {"Value": orjson.loads(row)})
    return call.response({"Links": {}, "Items": items}, points=len(items))


async def get_interpolated(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET streams/{webId}/interpolated`: a value every `interval` from `startTime` on."""
    point, span = service.point_of(call.values["webId"]), Span.of(call)
    step = call.duration("interval") or _HOUR_NS
    count = (span.end_ns - span.start_ns) // step + 1
    if count > service.settings.max_items:
        raise Refusal(400, f"Parameter 'interval' gives more than the maximum allowed ({service.settings.max_items}).")
    times = [span.start_ns + number * step for number in range(count)]
    if span.backwards:
        times = [span.end_ns - number * step for number in range(count)]
    events, point = _in_units(call, point, joined_events(value_at(point, time) for time in times))
    stream = Stream(point, _rendered(service, Shown(point, events), call.fields.get("items", {})))
    return _answer(call.fields, stream.members(call.fields), broken=False, points=count)


async def get_summary(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET streams/{webId}/summary`: one item for each interval and type of summary."""
    point, span = service.point_of(call.values["webId"]), Span.of(call)
    basis = cast(Basis, call.choice("calculationBasis", "TimeWeighted", BASES))
    kinds = _summary_types(call)
    step = call.duration("summaryDuration") or max(1, span.end_ns - span.start_ns)
    count = max(1, -(-(span.end_ns - span.start_ns) // step))
    if count * len(kinds) > service.settings.max_items:
        raise Refusal(400, f"The summaries are more than the maximum allowed ({service.settings.max_items}).")
    items = []
    for number in range(count):
        start = span.start_ns + number * step
        found = summaries(point, start, min(start + step, span.end_ns), basis)
        for kind in kinds:
            items.append({"Type": kind, "Value": _summary_value(point, kind, found.get(kind), start)})
    return call.response({"Links": {}, "Items": items}, points=len(items))


def max_count_of(service: PiService, call: Call) -> int:
    """Return the `maxCount` of a request; refuse with 400 one above what the server allows."""
    most = service.settings.max_items
    return call.number("maxCount", min(DEFAULT_MAX_COUNT, most), 1, most)


def recorded_events(point: Point, span: Span, boundary: str, max_count: int) -> Events:
    """Return the first `max_count` values of a stretch, in the order of the request.

    `Outside` adds the value before the start and after the end where none stands exactly there, `Interpolated` makes one
    up at such an end.
    """
    if max_count < 1:
        return point.history.read(0, 0)
    history = point.history
    first = history.locate(span.start_ns)
    stop = max(history.locate(span.end_ns + 1), first)
    on_start = boundary != "Inside" and history.locate(span.start_ns + 1) > first
    on_end = boundary != "Inside" and history.locate(span.end_ns) < stop
    if boundary == "Outside":
        first -= int(first > 0 and not on_start)
        stop += int(stop < history.count() and not on_end)
    if span.backwards:
        within = history.read(max(first, stop - max_count), stop)
    else:
        within = history.read(first, min(stop, first + max_count))
    if boundary == "Interpolated":
        before = [] if on_start else [value_at(point, span.start_ns)]
        after = [] if on_end or span.end_ns == span.start_ns else [value_at(point, span.end_ns)]
        whole = len(within) == stop - first  # a full page does not reach the made-up value of its far end
        near, far = (after, before) if span.backwards else (before, after)
        far = far if whole else []
        if span.backwards:
            within = joined_events([*far, within, *near]).take(slice(-max_count, None))
        else:
            within = joined_events([*near, within, *far]).take(slice(0, max_count))
    return within.take(slice(None, None, -1)) if span.backwards else within


def _recorded(service: PiService, call: Call, point: Point, max_count: int) -> Shown:
    """Return the values of one stream that a request asks for."""
    span = Span.of(call)
    boundary = call.choice("boundaryType", "Inside", BOUNDARIES)
    events = recorded_events(point, span, boundary, max_count)
    if (wanted := call.text("filterExpression")) is not None:
        if "".join(wanted.split()).lower() != _ONLY_ANNOTATED:
            raise Refusal(400, f"The filter expression '{wanted}' is not one that the emulator can evaluate.")
        events = events.take((events.marks & ANNOTATED) != 0)
    events, shown = _in_units(call, point, events)
    events = _damaged(call, point, span, events)
    return Shown(shown, events, _failed(service, call, point, events))


def _sent(call: Call, found: Shown) -> int:
    """Return how many of the values are sent: half of them where the response breaks off."""
    return len(found.events) // 2 if call.injection.of("web_exception") is not None else len(found.events)


def _streams(service: PiService, call: Call, found: Sequence[Shown], fields: Fields) -> list[Stream]:
    """Return streams as they are sent; they are rendered together, which costs each of them less."""
    broken = call.injection.of("web_exception") is not None
    rows = rendered(service.archive, found, fields)
    return [Stream(each.point, part.first(_sent(call, each)), broken) for each, part in zip(found, rows, strict=True)]


def _rendered(service: PiService, shown: Shown, fields: Fields) -> Rows:
    [rows] = rendered(service.archive, [shown], fields)
    return rows


def _damaged(call: Call, point: Point, span: Span, events: Events) -> Events:
    """Return the values with the faults that change which are sent."""
    if call.injection.of("empty"):
        return events.take(slice(0, 0))
    if call.injection.of("short"):
        events = events.take(slice(0, len(events) // 2))
    if call.injection.of("reorder"):
        events = events.take(np.lexsort((-np.arange(len(events)), events.times)))
    if call.injection.of("outside") and (first := point.history.locate(span.start_ns)):
        events = joined_events([point.history.read(first - 1, first), events])
    return events


def _failed(service: PiService, call: Call, point: Point, events: Events) -> NDArray[np.bool_] | None:
    """Return which values carry errors by the fault `value_errors`, or None where it does not fire."""
    rule = call.injection.of("value_errors")
    if rule is None:
        return None
    failed = rejected(service.settings.seed, f"errors\n{point.name}", events.times, rule.rate)
    service.stats.faults[rule.kind] += int(failed.any())
    return failed


def _in_units(call: Call, point: Point, events: Events) -> tuple[Events, Point]:
    """Return values in the desired units, with a point that shows them; refuse units that do not fit with 400."""
    wanted = call.text("desiredUnits")
    return (events, point) if wanted is None else converted(point, events, wanted)


def _value(call: Call, point: Point) -> Events:
    events = snapshot(point, call.now_ns) if call.text("time") is None else value_at(point, call.time("time", "*"))
    return _in_units(call, point, events)[0]


def _single(service: PiService, call: Call, point: Point, events: Events) -> ServiceResponse:
    failed = _failed(service, call, point, events)
    [row] = _rendered(service, Shown(point, events, failed), call.fields).texts()
    return ServiceResponse(200, (row,), JSON, points=1)


def _answer(fields: Fields, members: list[_Parts], broken: bool, points: int) -> ServiceResponse:
    if not fields or "links" in fields:
        members.insert(0, (b'"Links":{}',))
    if broken and (not fields or "webexception" in fields):
        members.append((b'"WebException":' + _WEB_EXCEPTION,))
    return ServiceResponse(200, (b"{", *_divided(members), b"}"), JSON, points=points)


def _stream_set(service: PiService, call: Call, streams: list[Stream]) -> ServiceResponse:
    fields = call.fields.get("items", {})
    items: list[_Parts] = []
    for stream in streams:
        head = {
            name: value
            for name, value in _head(service, call, stream.point).items()
            if not fields or name.lower() in fields
        }
        members: list[_Parts] = [(orjson.dumps(name) + b":" + orjson.dumps(value),) for name, value in head.items()]
        items.append((b"{", *_divided(members + stream.members(fields)), b"}"))
    selects_items = not call.fields or "items" in call.fields
    members = [(b'"Items":[', *_divided(items), b"]")] if selects_items else []
    broken = any(stream.broken for stream in streams)
    return _answer(call.fields, members, broken, sum(len(stream.rows) for stream in streams))


def _divided(pieces: Sequence[_Parts]) -> list[Buffer]:
    """Return the parts of all pieces, with a comma between two of them."""
    return [part for place, piece in enumerate(pieces) for part in ((b",", *piece) if place else piece)]


def _head(service: PiService, call: Call, point: Point) -> dict[str, Any]:
    path = f"\\\\{service.archive.name}\\{point.name}"
    return {"WebId": service.web_id(point, call.web_id_type), "Name": point.name, "Path": path, "Links": {}}


def _points(service: PiService, call: Call) -> list[Point]:
    given = call.texts("webId")
    if not given:
        raise Refusal(400, "The parameter 'webId' is required.")
    return [service.point_of(each) for each in given]


def _summary_types(call: Call) -> list[str]:
    given = [part.strip() for text in call.texts("summaryType") for part in text.split(",")] or ["Total"]
    kinds: list[str] = []
    known = {kind.lower(): kind for kind in SUMMARIES}
    for each in given:
        if each.lower() == "all":
            kinds += SUMMARIES
        elif each.lower() in known:
            kinds.append(known[each.lower()])
        else:
            raise Refusal(400, f"The value '{each}' of parameter 'summaryType' is not one of {', '.join(SUMMARIES)}.")
    return list(dict.fromkeys(kinds))


def _summary_value(point: Point, kind: str, found: Summary | None, start_ns: int) -> dict[str, Any]:
    number = None if found is None else found.number
    value: Any = {"Name": "No Data", "Value": 248, "IsSystem": True}
    if number is not None:
        value = orjson.Fragment(number_text(number))
    return {
        "Timestamp": shown_time(start_ns if found is None else found.time_ns),
        "UnitsAbbreviation": "" if kind in ("Count", "PercentGood") else point.attributes.units,
        "Good": number is not None,
        "Questionable": False,
        "Substituted": False,
        "Annotated": False,
        "Value": value,
    }
