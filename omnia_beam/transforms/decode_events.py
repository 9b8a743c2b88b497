"""Decode messages of the platform's event schema to chunks, so that a Kafka or Event Hub reader can feed the same sinks.

    {"schema": "equinor/plant/schemas/ingest/datapoints_v2",
     "data": {"items": [{"id": "…", "datapoints": [{"time": "…", "value": 1.0, "status": 192}]}]}}

**What such a chunk claims.** Any other chunk holds every point of its series in its range. A message does not show what else
happened in its time, so the range of its chunk is empty: the chunk claims nothing, and no ledger counts its points
as copied. Sinks that add or update points by series and time (`WriteToOmnia`) accept it: a message that is delivered twice,
or late, changes nothing. Sinks of files name a file by what it claims, and two messages would overwrite each other: they
refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import apache_beam as beam
import numpy as np
import orjson
from apache_beam.metrics import Metrics

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.errors import WireFormatError
from omnia_beam.core.limits import TIME_RESOLUTION_NS
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import MIN_TIME_NS, format_time
from omnia_beam.core.window import ChunkKey
from omnia_beam.wire import PageItem, decode_json_page

EVENT_SCHEMA: Final = "equinor/plant/schemas/ingest/datapoints_v2"

_USUAL_START: Final = re.compile(rb'\s*\{\s*"schema"\s*:\s*"' + re.escape(EVENT_SCHEMA).encode() + rb'"\s*,')
_COLUMNS: Final = {"time", "value", "status"}


class DecodeEvents(beam.PTransform):
    """A transform that decodes `datapoints_v2` messages to columns.

    Input: bytes or str, one message each (of Kafka records, their values). Output: Chunk, one for each message that holds
    a point; its key names the series that have points, in an empty range (see the module's description).

    Args:
        on_error: `raise` (the default) fails the bundle at the first message that cannot be decoded. `output` returns a tuple
            with the outputs `chunks` and `bad` (BadEvent): no part of such a message is in `chunks`.

    Raises (on the worker):
        WireFormatError: see `event_chunk`; only with `on_error="raise"`.
        TypeError: an element is neither bytes nor str, which is a fault of the reader and not of a message.

    Examples:
        >>> import json
        >>> from apache_beam.runners.portability.fn_api_runner import FnApiRunner
        >>> point = {"time": "2024-01-01T00:00:00Z", "value": 1.5, "status": 192}
        >>> message = {"schema": EVENT_SCHEMA, "data": {"items": [{"id": "a", "datapoints": [point]}]}}
        >>> with beam.Pipeline(runner=FnApiRunner()) as p:
        ...     chunks = p | beam.Create([json.dumps(message)]) | DecodeEvents()
        ...     _ = chunks | beam.Map(lambda chunk: print(chunk.series_ids, chunk.points.values))
        ('a',) [1.5]
    """

    CHUNKS = "chunks"
    BAD = "bad"

    def __init__(self, on_error: str = "raise") -> None:
        super().__init__()
        if on_error not in ("raise", "output"):
            raise ValueError(f"on_error is raise or output, not {on_error!r}")
        self._on_error = on_error

    def expand(self, messages: Any) -> Any:
        if self._on_error == "raise":
            return messages | beam.ParDo(DecodeEventsFn(None)).with_output_types(Chunk)
        decode = beam.ParDo(DecodeEventsFn(self.BAD)).with_output_types(Chunk, **{self.BAD: BadEvent})
        return messages | decode.with_outputs(self.BAD, main=self.CHUNKS)


class DecodeEventsFn(beam.DoFn):
    """The DoFn of `DecodeEvents`; `bad_tag` names the output of bad messages, None raises the first."""

    def __init__(self, bad_tag: str | None) -> None:
        self._bad_tag = bad_tag
        self._points = Metrics.counter("omnia_beam", "points_read")
        self._bad = Metrics.counter("omnia_beam", "messages_bad")

    def process(self, message: Any) -> Iterator[Any]:
        data = _bytes_of(message)
        try:
            chunk = event_chunk(data)
        except WireFormatError as error:
            if self._bad_tag is None:
                raise
            self._bad.inc()
            yield beam.pvalue.TaggedOutput(self._bad_tag, BadEvent(data, type(error).__name__, str(error)))
            return
        if chunk is not None:
            self._points.inc(chunk.num_points)
            yield chunk


def event_chunk(message: bytes) -> Chunk | None:
    """Decode one message and return its chunk; None where it holds no point.

    The points of each series are sorted, and a point that occurs twice is taken once.

    Args:
        message: UTF-8.

    Raises:
        WireFormatError: the message is not JSON, or of another schema or shape; a series has no id; points lack time, value or
            status; or a series has two different points at one time, of which the right one is unknown.
    """
    _check_schema(message)
    parts: dict[str, list[Points]] = {}
    for nth, item in enumerate(decode_json_page(message).items):
        points = _points(item, f"data.items[{nth}]")
        if points is not None:
            parts.setdefault(item.series_id, []).append(points)
    if not parts:
        return None
    series = {series_id: _sorted_unique(series_id, Points.concat(found)) for series_id, found in parts.items()}
    first = min(int(points.times[0]) for points in series.values())
    # Round down: a sink that cuts times to the service's resolution still gets none before the range.
    instant = max(MIN_TIME_NS, first - first % TIME_RESOLUTION_NS)
    return Chunk.from_points(ChunkKey(tuple(sorted(series)), TimeRange(instant, instant)), series)


def _bytes_of(message: Any) -> bytes:
    if isinstance(message, str):
        # A lone surrogate has no UTF-8: passed through, it is reported as invalid JSON, and the message stays complete.
        return message.encode("utf-8", "surrogatepass")
    if isinstance(message, bytes | bytearray | memoryview):
        return bytes(message)
    raise TypeError(
        f"DecodeEvents takes messages as bytes or str, not {type(message).__name__}: of (key, value) records, pass the "
        "values on with beam.Values()"
    )


def _check_schema(message: bytes) -> None:
    if _USUAL_START.match(message):  # the usual form needs no second parse
        return
    try:
        found = orjson.loads(message)
    except ValueError as error:
        raise WireFormatError(f"the message is not JSON: {error}") from None
    if not isinstance(found, dict) or "schema" not in found:
        raise WireFormatError(f"the message names no schema; expected {EVENT_SCHEMA}")
    if found["schema"] != EVENT_SCHEMA:
        raise WireFormatError(f"the message is of the schema {str(found['schema'])[:100]!r}; expected {EVENT_SCHEMA}")


def _points(item: PageItem, place: str) -> Points | None:
    if not item.series_id:
        raise WireFormatError(f"{place}: the series has no id")
    if not item.n_points:
        return None
    times, values, statuses = item.times, item.values, item.statuses
    if times is None or values is None or statuses is None:
        missing = ", ".join(sorted(_COLUMNS - item.columns.keys()))
        raise WireFormatError(f"{place} (series {item.series_id}): its datapoints have no {missing}")
    return Points(times, values, statuses)


def _sorted_unique(series_id: str, points: Points) -> Points:
    order = np.argsort(points.times, kind="stable")
    points = points.take(order)
    times, values, statuses = points[:3]
    repeats = np.zeros(len(times), bool)
    repeats[1:] = times[1:] == times[:-1]
    bits = np.ascontiguousarray(values).view(np.uint64)
    clash = repeats[1:] & ((bits[1:] != bits[:-1]) | (statuses[1:] != statuses[:-1]))
    if clash.any():
        at = format_time(int(times[1:][clash][0]))
        raise WireFormatError(
            f"series {series_id} has two different points at {at}: which of them is right is not known"
        )
    return points.take(~repeats)


class BadEvent(NamedTuple):
    """A message that could not be decoded. None of its points was passed on, so that it can be repaired and sent again.

    It is a NamedTuple of plain types, so that any of Beam's sinks can store it.

    Args:
        message: the bytes as received; a message that was text is encoded as UTF-8.
        error: the error class's name.
        reason: what is wrong, and where in the message, for people.
    """

    message: bytes
    error: str
    reason: str
