"""Plan windows for series and ranges: request the counts from the service, then pack."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

from omnia_beam.core.limits import MAX_SERIES_PER_REQUEST
from omnia_beam.core.time_range import TimeRange
from omnia_beam.net.api.raw_data import probe_counts
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.plan.packing import PackedWindow, PackLimits, pack_windows
from omnia_beam.plan.plan import Counted, Plan, Wanted


def plan_windows(
    session: ServiceSession,
    wanted: Iterable[Wanted],
    *,
    statuses: tuple[int, ...] = (),
    limits: PackLimits = PackLimits(),
    newest_first: bool = False,
    on_probed: Callable[[int], None] = lambda series: None,
) -> Plan:
    """Return windows that cover what is wanted, each instant of each series once.

    Args:
        session: of the service; one request returns the counts of up to 100 series.
        wanted: (series ids, range) pairs; an empty range gives no windows and costs no request.
        statuses: the filter that the reading will use, which changes the counts.
        limits: of requests and chunks.
        newest_first: whether the plan begins with the newest windows.
        on_probed: called with the number of series each time some have been counted.

    Raises:
        SelectionError: the service does not know a series.
        ServiceError: a request to the service failed.
    """
    counted: list[Counted] = []
    plan = Plan.of(_packed(session, wanted, statuses, limits, on_probed, counted), newest_first=newest_first)
    return replace(plan, counted=tuple(counted))


def _packed(
    session: ServiceSession,
    wanted: Iterable[Wanted],
    statuses: tuple[int, ...],
    limits: PackLimits,
    on_probed: Callable[[int], None],
    counted: list[Counted],
) -> Iterator[PackedWindow]:
    with ThreadPoolExecutor(session.settings.threads, thread_name_prefix="omnia-probe") as pool:
        for series_ids, time_range in wanted:
            if not time_range:
                continue
            counts: dict[str, int] = {}

            def ask(ids: Sequence[str], requested: TimeRange = time_range) -> dict[str, int]:
                return probe_counts(session, tuple(ids), requested.start_ns, requested.end_ns, statuses=statuses)

            try:
                for found in pool.map(ask, _batches(sorted(set(series_ids)))):
                    counts.update(found)
                    on_probed(len(found))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            counted.append(Counted(time_range, counts))
            yield from pack_windows(counts.items(), time_range, limits)


def _batches(series_ids: Sequence[str]) -> Iterator[tuple[str, ...]]:
    rest = iter(series_ids)
    while batch := tuple(islice(rest, MAX_SERIES_PER_REQUEST)):
        yield batch
