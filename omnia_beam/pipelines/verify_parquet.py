"""A Parquet destination, read back file by file: memory is that of a few row groups."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from omnia_beam.core.chunk import Points
from omnia_beam.core.receipt import Receipt
from omnia_beam.io.parquet_reader import list_parquet, read_points
from omnia_beam.pipelines.verify_destination import Observation
from omnia_beam.pipelines.verify_difference import Difference
from omnia_beam.pipelines.verify_fingerprint import Fingerprint

_THREADS: Final = 4
_AHEAD: Final = 8
_OF_A_JOB: Final = re.compile(
    r"year=-?\d+/month=\d\d/.*-[0-9a-f]{8}-\d{8}T\d{6}Z-\d{8}T\d{6}Z-[0-9a-f]{16}\.parquet", re.ASCII
)
"""The names that the Parquet sink gives, of any job."""


@dataclass(frozen=True)
class ParquetDestination:
    """Files of one job.

    Args:
        path: the sink's.
        prefix: of this job's files (`destination.file_prefix`).
    """

    path: str
    prefix: str

    def observe(self, receipts: Sequence[Receipt]) -> Iterator[Observation]:
        """Raises DestinationError: a file may not be read at all."""
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="omnia-verify") as pool:
            for at in range(0, len(receipts), _AHEAD):
                yield from pool.map(self._observe, receipts[at : at + _AHEAD])

    def points(self, receipt: Receipt, stored_ids: Collection[str]) -> dict[str, Points]:
        """What can be read of some series; missing and unreadable files give nothing."""
        parts: dict[str, list[Points]] = {}
        for name in receipt.files:
            try:
                for series_id, points in read_points(self._path_of(name)):
                    if series_id in stored_ids:
                        parts.setdefault(series_id, []).append(points)
            except (FileNotFoundError, ValueError):
                continue
        return {series_id: Points.concat(each) for series_id, each in parts.items()}

    def strays(self, live: Collection[str]) -> tuple[list[Difference], int]:
        """Files that a reader of the destination would take in and no receipt names; other jobs' files are let be."""
        found: list[Difference] = []
        foreign = 0
        for name in list_parquet(self.path):
            if name in live:
                continue
            mine = name.rpartition("/")[2].startswith(f"{self.prefix}-")
            if not mine and _OF_A_JOB.fullmatch(name):
                foreign += 1
                continue
            found.append(self._stray(name, mine))
        return found, foreign

    def _stray(self, name: str, mine: bool) -> Difference:
        points = 0
        try:
            points = sum(len(points.times) for _, points in read_points(self._path_of(name)))
            content = f"{points:,} points"
        except (FileNotFoundError, ValueError) as error:
            content = f"unreadable: {error}"
        whose = "of this job" if mine else "not of this job"
        return Difference("stray_file", f"{content}, {whose}, and no receipt names it", file=name, points=points)

    def _observe(self, receipt: Receipt) -> Observation:
        prints: dict[str, Fingerprint] = {}
        problems: list[Difference] = []
        for name in receipt.files:
            found: dict[str, Fingerprint] = {}
            try:
                for series_id, points in read_points(self._path_of(name)):
                    found[series_id] = found.get(series_id, Fingerprint()).plus(Fingerprint.of(points))
            except FileNotFoundError:
                problems.append(self._problem("missing_file", name, receipt, "is not there"))
            except ValueError as error:
                problems.append(self._problem("unreadable_file", name, receipt, f"cannot be read: {error}"))
            else:  # of a file that breaks off half way nothing counts
                for series_id, each in found.items():
                    prints[series_id] = prints.get(series_id, Fingerprint()).plus(each)
        return Observation(prints, tuple(problems))

    def _problem(self, kind: str, name: str, receipt: Receipt, what: str) -> Difference:
        held = f"one of {len(receipt.files)} files of a window of" if len(receipt.files) > 1 else "the file of"
        text = f"{what}: {held} {receipt.count:,} points of {len(receipt.series):,} series"
        points = receipt.count if len(receipt.files) == 1 else 0
        return Difference(kind, text, receipt.series[0].series_id, receipt.key.range, name, points)

    def _path_of(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}"
