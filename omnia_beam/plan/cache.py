"""Keep plans in the state directory, so that a run that continues has to count only what is new.

A window of a stored plan is used again where all of it is still missing. That saves the probing, one request for each
hundred series, and gives the same windows, hence the same files, as if the job had never been interrupted. Whatever else is
missing is left to the planner. A stored density is an estimate, as a probed one is: all that a window holds is read.
"""

from __future__ import annotations

import hashlib
import logging
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import orjson

from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.plan.packing import PackLimits
from omnia_beam.plan.plan import ROW, Counted, Plan, Wanted

_log = logging.getLogger(__name__)

_FORMAT: Final = 2
_FRESH_NS: Final = 7 * 86_400 * 1_000_000_000
"""Age up to which a plan is used, ns: densities change as data arrives late."""


class PlanCache:
    """One stored plan: `plan/<digest>`, for a scope and its limits.

    Args:
        state_dir: the job's state directory.
        scope: digest of the scope, which covers everything that changes the points.
        limits: the limits by which windows are packed.
        clock: wall clock, ns since the Unix epoch.
    """

    def __init__(
        self, state_dir: StateDir, scope: str, limits: PackLimits, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._state_dir = state_dir
        key = f"{scope} {limits.series} {limits.page_points} {limits.chunk_points}"
        self._name = f"plan/{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}"
        self._clock = clock

    def load(self) -> Plan | None:
        """Return the stored plan; None where there is none that is fresh and undamaged.

        Raises:
            StateError: the directory cannot be read.
        """
        data = self._state_dir.read(self._name)
        try:
            return None if data is None else self._decoded(data)
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            _log.warning("%s is damaged (%s): planning again", self._state_dir.path(self._name), error)
            return None

    def store(self, plan: Plan) -> None:
        """Store a plan in place of the one before.

        Raises:
            StateError: the directory cannot be written.
        """
        body = zlib.compress(plan.rows.tobytes(), 1)
        header = {
            "format": _FORMAT,
            "made_ns": self._clock(),
            "body": hashlib.blake2b(body, digest_size=16).hexdigest(),
            "groups": plan.groups,
            "counted": [[each.range.start_ns, each.range.end_ns, each.points] for each in plan.counted],
        }
        self._state_dir.write(self._name, orjson.dumps(header) + b"\n" + body)

    def forget(self) -> None:
        """Delete the stored plan, so that the next run plans again.

        Raises:
            StateError: the directory cannot be written.
        """
        self._state_dir.delete(self._name)

    def _decoded(self, data: bytes) -> Plan | None:
        text, _, body = data.partition(b"\n")
        header: dict[str, Any] = orjson.loads(text)
        if header["format"] != _FORMAT or not 0 <= self._clock() - header["made_ns"] <= _FRESH_NS:
            return None
        if hashlib.blake2b(body, digest_size=16).hexdigest() != header["body"]:
            raise ValueError("its checksum is wrong")
        rows = np.frombuffer(zlib.decompress(body), ROW)
        counted = tuple(Counted(TimeRange(start, end), points) for start, end, points in header["counted"])
        return Plan(tuple(tuple(group) for group in header["groups"]), rows, counted=counted)


def still_wanted(plan: Plan, wanted: Iterable[Wanted]) -> tuple[Plan, list[Wanted]]:
    """Return the windows of a plan that are wanted completely, by every one of their series, and what else is wanted.

    Args:
        plan: has no instant of a series in two windows.
        wanted: (series ids, range) pairs; no instant of a series in two of them.
    """
    missing: dict[str, list[TimeRange]] = {}
    for series_ids, time_range in wanted:
        for series_id in series_ids:
            missing.setdefault(series_id, []).append(time_range)
    known: dict[tuple[TimeRange, ...], TimeRangeSet] = {}
    sets = {series_id: known.setdefault(tuple(ranges), TimeRangeSet(ranges)) for series_id, ranges in missing.items()}
    order = np.argsort(plan.rows["group"], kind="stable")
    bounds = np.searchsorted(plan.rows["group"][order], np.arange(len(plan.groups) + 1))
    taken = np.zeros(len(plan), bool)
    rest = dict(sets)
    for group, series_ids in enumerate(plan.groups):
        common = _common([sets.get(series_id) for series_id in series_ids])
        if common is None:
            continue
        rows = order[bounds[group] : bounds[group + 1]]
        inside = rows[_inside(plan.rows[rows], common)]
        taken[inside] = True
        bounds_ns = zip(plan.rows["start"][inside].tolist(), plan.rows["end"][inside].tolist(), strict=True)
        covered = TimeRangeSet(TimeRange(start, end) for start, end in bounds_ns)
        left: dict[TimeRangeSet, TimeRangeSet] = {}
        for series_id in series_ids:
            before = rest[series_id]
            if before not in left:
                left[before] = before.subtract(covered)
            rest[series_id] = left[before]
    again = plan.rows[taken]
    # A window that was empty may have points by now, so a response that names no series must not be trusted at once.
    again["points"] = np.maximum(again["points"], 1)
    return plan.having(again), _grouped(rest)


def _common(sets: Sequence[TimeRangeSet | None]) -> TimeRangeSet | None:
    """Return the ranges that all sets contain; None where there are none."""
    found = sets[0]
    for other in sets[1:]:
        if found is None or other is None:
            return None
        if other is not found:
            found = TimeRangeSet(part for each in other for part in found.intersect(each))
    return found if found else None


def _inside(rows: Any, wanted: TimeRangeSet) -> Any:
    inside = np.zeros(len(rows), bool)
    for each in wanted:
        inside |= (rows["start"] >= each.start_ns) & (rows["end"] <= each.end_ns)
    return inside


def _grouped(sets: dict[str, TimeRangeSet]) -> list[Wanted]:
    """Group series by range, as the planner takes them, so that a probe counts many series."""
    groups: dict[TimeRange, list[str]] = {}
    for series_id, ranges in sets.items():
        for each in ranges:
            groups.setdefault(each, []).append(series_id)
    return [(tuple(series_ids), each) for each, series_ids in sorted(groups.items())]
