"""Write and delete datapoints: batched, committed before the response, refused where the service cannot hold them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from omnia_beam.core.errors import ServiceError, UsageError
from omnia_beam.core.limits import MAX_SERIES_PER_REQUEST, TIME_RESOLUTION_NS
from omnia_beam.core.series_id import canonical_id
from omnia_beam.core.timestamps import format_time
from omnia_beam.net.api import operations as ops
from omnia_beam.net.api.api import ApiClient
from omnia_beam.net.api.datapoints import Datapoint, Datapoints
from omnia_beam.net.api.items import ServiceMessage, message_of
from omnia_beam.net.api.operations import path_of
from omnia_beam.net.api.series_query import Span
from omnia_beam.net.api.time_argument import TimeLike, exact_text
from omnia_beam.net.api.write_response import send_until_committed
from omnia_beam.net.http.response import Response
from omnia_beam.wire import encode_datapoints, encode_series_datapoints

BATCH_POINTS = 10_000
"""Points in one request: about 800 KB of JSON. The service's own limit is unknown; it responds with 413 above it. [ours]"""


@dataclass(frozen=True)
class Written:
    """The result of a write: points and requests, and the service's messages (with their trace ids).

    `queued` means that the service has accepted some of it without having committed it (202), as it does for `asynchronous`.
    """

    points: int
    messages: tuple[ServiceMessage, ...] = ()

    @property
    def requests(self) -> int:
        """The number of successful requests."""
        return len(self.messages)

    @property
    def queued(self) -> bool:
        """Whether some of it is not committed yet."""
        return any(message.status == 202 for message in self.messages)


class DatapointWrites(ApiClient):
    """The writing calls of `OmniaClient`. Common errors: those of `ServiceSession.send`."""

    def write_data(
        self,
        id: str,
        points: Datapoints | Iterable[Datapoint],
        *,
        asynchronous: bool = False,
        batch_points: int = BATCH_POINTS,
    ) -> Written:
        """Write points of one series: they are added, or replace the point that the series has at that time.

        Args:
            asynchronous: let the service respond before it has committed the points.
            batch_points: points in one request.

        Raises:
            UsageError: a NaN or an infinity, which JSON cannot hold, or a time finer than 100 ns; nothing is written then.
            ServiceError: the message names the number of points that were stored before.
        """
        path_of(id)
        columns = points.columns if isinstance(points, Datapoints) else Datapoints.of_points(id, points).columns
        batches = _batches([_writable(Datapoints(id, columns))], batch_points)
        return self._write(list(batches), asynchronous, alone=True)

    def write_multiple(
        self, series: Iterable[Datapoints], *, asynchronous: bool = False, batch_points: int = BATCH_POINTS
    ) -> Written:
        """Write points of many series; as `write_data`, with `batch_points` counting all series of a request."""
        checked = [_writable(points) for points in series]
        for points in checked:
            path_of(points.series_id)
        return self._write(list(_batches(checked, batch_points)), asynchronous, alone=False)

    def delete_data(
        self,
        id: str,
        start_time: TimeLike | None = None,
        end_time: TimeLike | None = None,
        *,
        delete_all_history: bool = False,
    ) -> ServiceMessage:
        """Delete the points of one series in `[start_time, end_time)`.

        Args:
            delete_all_history: deletes every point there is; only without the times.

        Raises:
            UsageError: a bound is missing, which the service may read as the whole history; or a bound is finer than the
                100 ns that the service keeps.
        """
        if delete_all_history:
            if start_time is not None or end_time is not None:
                raise UsageError("delete_data: either a range or delete_all_history=True, not both")
            return message_of(ops.DELETE_DATA.send_delete(self._session, id))
        if start_time is None or end_time is None:
            raise UsageError(
                f"delete_data of series {id} needs start_time and end_time: without one the service may delete the whole "
                "history. If that is meant, pass delete_all_history=True"
            )
        Span.of(start_time, end_time)
        params = [("startTime", exact_text(start_time, "start_time")), ("endTime", exact_text(end_time, "end_time"))]
        return message_of(ops.DELETE_DATA.send_delete(self._session, id, params=params))

    def _write(self, batches: Sequence[Sequence[Datapoints]], asynchronous: bool, *, alone: bool) -> Written:
        params = [("async", str(asynchronous).lower())]
        total = sum(len(points) for batch in batches for points in batch)
        messages: list[ServiceMessage] = []
        stored = 0
        for batch in batches:
            points = sum(map(len, batch))
            send = partial(self._send_alone, batch[0]) if alone else partial(self._send_together, batch)
            try:
                response = send_until_committed(partial(send, params), points, len(batch))
            except ServiceError as error:
                error.message += f" ({stored} of {total} points were stored before)"
                error.args = (error.message,)
                raise
            stored += points
            messages.append(message_of(response))
        return Written(stored, tuple(messages))

    def _send_alone(self, points: Datapoints, params: list[tuple[str, str]]) -> Response:
        body = encode_series_datapoints(points.times, points.values, points.statuses)
        return ops.WRITE_DATA.send(self._session, points.series_id, params=params, json_body=body)

    def _send_together(self, batch: Sequence[Datapoints], params: list[tuple[str, str]]) -> Response:
        body = encode_datapoints([(canonical_id(p.series_id), p.times, p.values, p.statuses) for p in batch])
        return ops.WRITE_MULTIPLE.send(self._session, params=params, json_body=body)


def _writable(points: Datapoints) -> Datapoints:
    """Return the points unchanged.

    Raises:
        UsageError: the service's JSON cannot hold a point; the message names it.
    """
    for name in ("value", "status"):
        if name not in points.columns:
            raise UsageError(f"series {points.series_id}: no column {name!r}; only raw points can be written")
    kinds = {"time": np.int64, "value": np.float64, "status": np.uint32}
    for name, kind in kinds.items():
        if points.columns[name].dtype != kind:
            raise UsageError(
                f"series {points.series_id}: column {name!r} is {points.columns[name].dtype}, not {np.dtype(kind)}: "
                "Datapoints.of makes the right columns"
            )
    odd = ~np.isfinite(points.values)
    if odd.any():
        at = int(odd.argmax())
        raise UsageError(
            f"series {points.series_id}: the value at {format_time(int(points.times[at]))} is {points.values[at]} "
            f"({int(odd.sum())} such of {len(points)}): JSON has no form for it. Leave such points out, or write another "
            "value with a bad status"
        )
    fine = points.times % TIME_RESOLUTION_NS != 0
    if fine.any():
        at = int(fine.argmax())
        raise UsageError(
            f"series {points.series_id}: the time {format_time(int(points.times[at]))} is finer than the 100 ns that the "
            f"service keeps ({int(fine.sum())} such of {len(points)}): round the times first"
        )
    return points


def _batches(series: Iterable[Datapoints], batch_points: int) -> Iterator[list[Datapoints]]:
    """Yield groups of `batch_points` points (the last one fewer) of at most 100 series, in order; a series is cut to fit."""
    if batch_points < 1:
        raise UsageError(f"batch_points is {batch_points}: at least 1")
    batch: list[Datapoints] = []
    count = 0
    for points in series:
        start = 0
        while start < len(points):
            piece = points.rows(start, start + batch_points - count)
            batch.append(piece)
            start, count = start + len(piece), count + len(piece)
            if count == batch_points or len(batch) == MAX_SERIES_PER_REQUEST:
                yield batch
                batch, count = [], 0
    if batch:
        yield batch
