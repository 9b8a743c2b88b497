"""A window: the unit of work, of memory, of retry and of the ledger.

Its bounds come from the plan alone, never from how a runner splits, so that file names, ledger keys and retries are the
same on every run and every runner.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from typing import Literal

from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import NS_PER_SECOND, format_time

BodyFormat = Literal["protobuf", "json"]


@dataclass(frozen=True, slots=True)
class ChunkKey:
    """What a chunk claims to hold: every point of these series in this range.

    Args:
        series_ids: the source's ids, ascending, each once.
        range: half-open, ns.

    Raises:
        ValueError: no series, or ids that are not ascending.
    """

    series_ids: tuple[str, ...]
    range: TimeRange

    def __post_init__(self) -> None:
        ids = self.series_ids
        if not ids:
            raise ValueError("a chunk key names at least one series")
        if any(a >= b for a, b in itertools.pairwise(ids)):
            raise ValueError("the series ids of a chunk key must be ascending, each once")

    @property
    def name(self) -> str:
        """A short text that is a function of series and range alone, fit for file names.

        `START-END-DIGEST`: the bounds in seconds for people, and 16 hex digits of the BLAKE2b of the exact bounds and
        all ids, since the bounds alone would not tell two groups of series apart. Hashed is `START END `, in ns, and
        then each id in UTF-8 after its length in bytes and a colon, so that no two keys are the same text.
        """
        digest = hashlib.blake2b(digest_size=8)
        digest.update(f"{self.range.start_ns} {self.range.end_ns} ".encode())
        for series_id in self.series_ids:
            encoded = series_id.encode()
            digest.update(b"%d:%b" % (len(encoded), encoded))
        return f"{_compact(self.range.start_ns)}-{_compact(self.range.end_ns)}-{digest.hexdigest()}"

    def __str__(self) -> str:
        first, rest = self.series_ids[0], len(self.series_ids) - 1
        return f"{first}{f' and {rest} more series' if rest else ''} {self.range}"


@dataclass(frozen=True, slots=True)
class Window:
    """A planned range of one group of series.

    Args:
        key: which series, which range.
        expected_points: what the probe makes the planner expect; an estimate.
        requests: into how many equal sub-ranges the reading is cut, each about a full page.
        recorded: of a window that is read again, points of each series that the ledger has recorded under the same
            configuration, in the order of the key; none at all otherwise.
    """

    key: ChunkKey
    expected_points: int = 0
    requests: int = 1
    recorded: tuple[int, ...] = ()

    @property
    def held(self) -> frozenset[str]:
        """The series of which points are recorded."""
        return frozenset(s for s, points in zip(self.key.series_ids, self.recorded, strict=False) if points)


def _compact(ns: int) -> str:
    """ISO 8601 basic, whole seconds, cut off towards the past."""
    whole = ns // NS_PER_SECOND * NS_PER_SECOND
    return format_time(whole, 0).replace("-", "").replace(":", "")
