"""Windows: the unit of work, of memory, of retry and of the ledger.

The bounds of a window come from the plan alone, never from how a runner splits, so that file names, ledger keys and retries
are the same on every run and every runner.
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
    """The claim of a chunk: it holds every point of these series in this range.

    Args:
        series_ids: the source's ids, ascending, each once.
        range: half-open, ns.

    Raises:
        ValueError: there are no series, or the ids are not ascending.

    Examples:
        >>> ChunkKey(("a", "b"), TimeRange.parse("2024-01-01", "2024-02-01")).name
        '20240101T000000Z-20240201T000000Z-527e0afdea8f6896'
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
        """A short text that depends on series and range alone and is fit for file names.

        It has the form `START-END-DIGEST`: the bounds in seconds for people, and 16 hex digits of the BLAKE2b of the exact bounds
        and all ids, since the bounds alone would not distinguish two groups of series. The hashed text is `START END `, in ns, and
        then each id in UTF-8 after its length in bytes and a colon, so that no two keys give the same text.
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
        key: the series and the range.
        expected_points: the planner's estimate from the probe.
        requests: the number of equal sub-ranges that are read one by one, each about a full page.
        recorded: for a window that is read again, the number of points that the ledger has recorded of each series under the
            same configuration, in the order of the key; empty otherwise.
    """

    key: ChunkKey
    expected_points: int = 0
    requests: int = 1
    recorded: tuple[int, ...] = ()

    @property
    def held(self) -> frozenset[str]:
        """The series that have recorded points."""
        return frozenset(s for s, points in zip(self.key.series_ids, self.recorded, strict=False) if points)


def _compact(ns: int) -> str:
    """Return the time in ISO 8601 basic form with whole seconds, cut off towards the past."""
    whole = ns // NS_PER_SECOND * NS_PER_SECOND
    return format_time(whole, 0).replace("-", "").replace(":", "")
