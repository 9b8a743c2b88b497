"""Receipts: a sink's confirmations that chunks are durably stored. The ledger consists of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.file_stamp import FileStamp
from omnia_beam.core.fingerprint import Fingerprint, hash_points, status_histogram
from omnia_beam.core.kept import KeptPoints
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey


@dataclass(frozen=True, slots=True)
class SeriesReceipt:
    """The points of one series that were stored.

    Args:
        series_id: the source's id.
        target_id: the id under which the series is stored.
        count: points.
        first_ns, last_ns: times of the first and the last point, None where there are no points.
        statuses: (status, points) pairs, ascending by status.
        content_hash: 32 hex digits; see `core.fingerprint`.
    """

    series_id: str
    target_id: str
    count: int
    first_ns: int | None
    last_ns: int | None
    statuses: tuple[tuple[int, int], ...]
    content_hash: str

    @classmethod
    def of(cls, series_id: str, target_id: str, points: Points) -> SeriesReceipt:
        """Return the receipt of points that are ascending in time."""
        count = len(points.times)
        return cls(
            series_id,
            target_id,
            count,
            int(points.times[0]) if count else None,
            int(points.times[-1]) if count else None,
            status_histogram(points),
            hash_points(*points),
        )

    @property
    def fingerprint(self) -> Fingerprint:
        """The fingerprint of what was stored."""
        return Fingerprint(self.count, self.first_ns, self.last_ns, self.statuses, self.content_hash)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A sink's confirmation that a chunk is durably stored.

    Args:
        key: the series (the source's ids) and the range.
        sink: the sink's kind and place, such as `parquet:out/`.
        series: one entry for each series of the key, in its order.
        files: the files that hold the points, relative to the sink's path; empty for sinks without files.
        dead_letters: the number of this chunk's points that went to the dead letters instead.
        stamps: one for each file; empty in receipts of sinks without files, and of earlier releases.
        rejected: the number of the window's points that the mapping put into the dead letters before the sink saw them.
        kept: which of the points the source no longer shows.
    """

    key: ChunkKey
    sink: str
    series: tuple[SeriesReceipt, ...]
    files: tuple[str, ...] = ()
    dead_letters: int = 0
    stamps: tuple[FileStamp, ...] = ()
    rejected: int = 0
    kept: tuple[KeptPoints, ...] = ()

    @classmethod
    def of(
        cls,
        chunk: Chunk,
        sink: str,
        files: tuple[str, ...] = (),
        dead_letters: int = 0,
        stamps: tuple[FileStamp, ...] = (),
    ) -> Receipt:
        """Return the receipt of a chunk that was stored whole."""
        series = tuple(SeriesReceipt.of(*each) for each in chunk.by_series())
        return cls(chunk.key, sink, series, files, dead_letters, stamps, chunk.rejected, chunk.kept)

    @property
    def count(self) -> int:
        """The number of points stored, over all series."""
        return sum(each.count for each in self.series)

    def to_json(self) -> dict[str, Any]:
        """Return plain data that `from_json` reads back.

        What earlier releases did not write is left out where there is none.
        """
        stamps = {"stamps": [[each.size, each.mtime_ns] for each in self.stamps]} if self.stamps else {}
        data: dict[str, Any] = {
            "start": self.key.range.start_ns,
            "end": self.key.range.end_ns,
            "sink": self.sink,
            "series": [
                [
                    s.series_id,
                    s.target_id,
                    s.count,
                    s.first_ns,
                    s.last_ns,
                    [list(p) for p in s.statuses],
                    s.content_hash,
                ]
                for s in self.series
            ],
            "files": list(self.files),
            "dead_letters": self.dead_letters,
            **stamps,
        }
        if self.rejected:
            data["rejected"] = self.rejected
        if self.kept:
            data["kept"] = [each.to_json() for each in self.kept]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Receipt:
        """Build a receipt from plain data that `to_json` returned.

        Raises:
            KeyError, TypeError, ValueError: `data` is not what `to_json` returns.
        """
        series = tuple(
            SeriesReceipt(
                _text(series_id),
                _text(target_id),
                _whole(count),
                None if first is None else _whole(first),
                None if last is None else _whole(last),
                tuple((_whole(s), _whole(n)) for s, n in statuses),
                _text(h),
            )
            for series_id, target_id, count, first, last, statuses, h in data["series"]
        )
        key = ChunkKey(tuple(s.series_id for s in series), TimeRange(_whole(data["start"]), _whole(data["end"])))
        files = tuple(_text(name) for name in data["files"])
        stamps = tuple(
            FileStamp(_whole(size), None if mtime_ns is None else _whole(mtime_ns))
            for size, mtime_ns in data.get("stamps", ())
        )
        if stamps and len(stamps) != len(files):
            raise ValueError(f"a receipt has {len(stamps)} stamps for {len(files)} files")
        kept = tuple(KeptPoints.from_json(each) for each in data.get("kept", ()))
        rejected = _whole(data.get("rejected", 0))
        return cls(key, _text(data["sink"]), series, files, _whole(data["dead_letters"]), stamps, rejected, kept)


def _whole(value: object) -> int:
    if type(value) is not int:  # not isinstance: a bool would pass as an int
        raise TypeError(f"a receipt has {value!r} where a whole number belongs")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a receipt has {value!r} where a text belongs")
    return value
