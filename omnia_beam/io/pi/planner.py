"""Plan windows of a data server: by its counts, or by the density of the first values where it does not count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from omnia_beam.core.errors import (
    BadRequestError,
    IncompleteReadError,
    TerminalServiceError,
    UnauthorizedError,
    WireFormatError,
)
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.pi.calls import Counted, PiCalls, Span, allowed_by
from omnia_beam.io.pi.decode import decode_recorded
from omnia_beam.io.pi.values import PiPoint
from omnia_beam.plan.packing import PackedWindow, PackLimits, pack_windows
from omnia_beam.plan.plan import Plan, Wanted

MAX_SERIES: Final = 50
"""Series of one window: their WebIds fit one request. [ours]"""

N = TypeVar("N")

_PROBED: Final = 1_000
_COUNTED: Final = 100

Counts = Mapping[TimeRange, Mapping[str, Counted]]
"""Numbers of values by range and series: what the server counts, or what a first look saw."""


def plan_points(
    calls: PiCalls,
    wanted: Iterable[Wanted],
    points: Mapping[str, PiPoint],
    limits: PackLimits,
    *,
    counts: bool,
    threads: int,
) -> tuple[Plan, Counts]:
    """Return windows that cover what is wanted, each instant of each series once, and the numbers that they were made from.

    Args:
        calls: of the service.
        wanted: (series ids, range) pairs.
        points: by series id; a series without one has no values.
        limits: of requests and chunks.
        counts: whether the server is asked for counts.
        threads: requests at a time.

    Raises:
        ServiceError: a request failed.
    """
    packed: list[PackedWindow] = []
    known: dict[TimeRange, dict[str, Counted]] = {}
    with ThreadPoolExecutor(threads, thread_name_prefix="omnia-probe") as pool:
        for series_ids, requested in wanted:
            if not requested:
                continue
            here = [points[each] for each in sorted(set(series_ids)) if each in points]
            span = Span.of(requested)
            found = dict.fromkeys(series_ids, 0)
            if span is not None:
                counted = _spread(pool, here, _COUNTED, partial(_counted, calls, span)) if counts else {}
                unknown = [each for each in here if each.series_id not in counted]
                found |= {each: counts_of.all for each, counts_of in counted.items()}
                seen = _spread(
                    pool, unknown, MAX_SERIES, partial(_dense, calls, span, min(_PROBED, limits.page_points))
                )
                found |= {each: estimated for each, (_, estimated) in seen.items()}
                at_least = {each: Counted(None, number) for each, (number, _) in seen.items()}
                known[requested] = {**known.get(requested, {}), **at_least, **counted}
            packed += pack_windows(found.items(), requested, limits)
    return Plan.of(packed), known


def find_page_limit(calls: PiCalls, point: PiPoint, span: Span, wanted: int) -> int:
    """Return how many values the server allows in one response, at most as many as wanted.

    Raises:
        BadRequestError: it refuses for another reason.
    """
    try:
        calls.recorded([point.web_id], Span(span.first_ns, span.first_ns), wanted)
    except BadRequestError as error:
        allowed = allowed_by(error)
        if allowed is None or allowed >= wanted:
            raise
        return max(2, allowed)
    except UnauthorizedError:
        raise
    except TerminalServiceError:
        return wanted  # this point cannot be read; the others show it
    return wanted


def _spread(
    pool: ThreadPoolExecutor,
    points: Sequence[PiPoint],
    size: int,
    ask: Callable[[Sequence[PiPoint]], Mapping[str, N]],
) -> dict[str, N]:
    found: dict[str, N] = {}
    for part in pool.map(ask, [points[at : at + size] for at in range(0, len(points), size)]):
        found |= part
    return found


def _counted(calls: PiCalls, span: Span, points: Sequence[PiPoint]) -> Mapping[str, Counted]:
    names = {each.web_id: each.series_id for each in points}
    return {names[web_id]: count for web_id, count in calls.counts(list(names), span).items()}


def _dense(calls: PiCalls, span: Span, probed: int, points: Sequence[PiPoint]) -> Mapping[str, tuple[int, int]]:
    """Return how many of the first thousand values there are, and an estimate of all.

    A window that holds more than that is divided when it is read.
    """
    found = {}
    web_ids = [each.web_id for each in points]
    try:
        streams = decode_recorded(calls.recorded(web_ids, span, probed), web_ids)
    except UnauthorizedError:
        raise
    except (IncompleteReadError, WireFormatError, TerminalServiceError):
        return {}
    for each in points:
        values = streams.get(each.web_id)
        if values is None or not len(values):
            found[each.series_id] = (0, 0)
            continue
        share = 1.0
        if len(values) >= probed:
            share = (span.last_ns - span.first_ns) / max(1, int(values.times[-1]) - span.first_ns)
        within = int(((values.times >= span.first_ns) & (values.times <= span.last_ns)).sum())
        found[each.series_id] = (within, int(min(len(values) * share, 1e12)))
    return found
