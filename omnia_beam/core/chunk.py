"""Raw chunk and chunk: the elements that flow through the pipeline.

A chunk **holds every point of its series in its range**. That claim travels with the chunk, so that the result stays
correct in any order, after any shuffle and after any retry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from omnia_beam.core.kept import KeptPoints
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import BodyFormat, ChunkKey

CHUNK_SCHEMA: Final = pa.schema(
    [
        pa.field("series_id", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("time", pa.timestamp("ns", tz="UTC"), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("status", pa.uint32(), nullable=False),
    ]
)
"""The columns of a chunk. Ids are dictionary-encoded, 4 bytes a point instead of 40; files hold them as plain strings."""

TEXT_SCHEMA: Final = CHUNK_SCHEMA.append(pa.field("text", pa.string()))
"""The columns of a chunk in which some points have a text; null where a point has none. The value of a text point is NaN."""


class Points(NamedTuple):
    """Datapoints of one series as columns of equal length n.

    `times` is int64 ns, ascending; `values` is float64; `statuses` is uint32; `texts` is an array of objects, str or None, and
    None itself where no point has a text. The value of a text point is NaN (0x7ff8000000000000).
    """

    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    statuses: npt.NDArray[np.uint32]
    texts: npt.NDArray[np.object_] | None = None

    def take(self, where: slice | npt.NDArray[Any]) -> Points:
        """Return the points that `where` selects: a slice (no copy), a boolean mask or indices."""
        texts = None if self.texts is None else self.texts[where]
        return Points(self.times[where], self.values[where], self.statuses[where], texts)

    def by_time(self) -> Points:
        """Return the points ascending in time; those of one time stay in their order."""
        if (self.times[1:] >= self.times[:-1]).all():
            return self
        return self.take(np.argsort(self.times, kind="stable"))

    @staticmethod
    def concat(parts: Sequence[Points]) -> Points:
        """Return the parts joined in their order; a single part is returned without a copy."""
        if len(parts) == 1:
            return parts[0]
        times, values, statuses, texts = zip(*parts, strict=True) if parts else ([], [], [], [])
        return Points(
            np.concatenate([NO_POINTS.times, *times]),
            np.concatenate([NO_POINTS.values, *values]),
            np.concatenate([NO_POINTS.statuses, *statuses]),
            None if all(each is None for each in texts) else np.concatenate([_texts(each) for each in parts]),
        )


def _texts(points: Points) -> npt.NDArray[np.object_]:
    return np.full(len(points.times), None, object) if points.texts is None else points.texts


NO_POINTS: Final = Points(np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.uint32))


@dataclass(frozen=True, slots=True)
class RawPage:
    """One response of the service, as fetched.

    Args:
        query: the range that this page's query requested. Pages of one query share it: together they are the whole
            response to that query.
        body: the bytes, after any content encoding was undone.
    """

    query: TimeRange
    body: bytes


@dataclass(frozen=True, slots=True)
class RawChunk:
    """The bytes of all pages of one window, complete for its series and range.

    Args:
        key: the series and the range.
        pages: in the order of their queries; the ranges of the queries join without gaps to the range of the key.
        format: `protobuf` or `json`.

    Examples:
        >>> january = TimeRange.parse("2024-01-01", "2024-02-01")
        >>> body = b'{"data": {"items": [{"id": "a", "datapoints": []}]}}'
        >>> RawChunk(ChunkKey(("a",), january), (RawPage(january, body),), "json").nbytes
        52
    """

    key: ChunkKey
    pages: tuple[RawPage, ...]
    format: BodyFormat = "protobuf"

    @property
    def nbytes(self) -> int:
        return sum(len(page.body) for page in self.pages)


@dataclass(frozen=True, eq=False, slots=True)
class Chunk:
    """The points of one window as one Arrow record batch.

    Args:
        key: the series and the range that the chunk claims to hold, in the source's ids.
        batch: a batch of CHUNK_SCHEMA, or of TEXT_SCHEMA where a point has a text, sorted by series and time. The dictionary of
            `series_id` names one series for each id of the key, in the key's order: the same ids, or, after a mapping, the ids
            of the target.
        rejected: the number of the window's points that a mapping has put into the dead letters.
        kept: which points come from the destination, because the source no longer shows them.

    Raises:
        ValueError: the batch does not have CHUNK_SCHEMA's columns, or its dictionary does not fit the key.

    Examples:
        >>> key = ChunkKey(("a", "b"), TimeRange(0, 100))
        >>> points = Points(np.array([10, 20]), np.array([1.5, 2.5]), np.array([192, 192], np.uint32))
        >>> chunk = Chunk.from_points(key, {"a": points})
        >>> chunk.num_points, chunk.series_ids
        (2, ('a', 'b'))
        >>> {source_id: columns.values.tolist() for source_id, _, columns in chunk.by_series()}
        {'a': [1.5, 2.5], 'b': []}
    """

    key: ChunkKey
    batch: Any = field(repr=False)
    rejected: int = 0
    kept: tuple[KeptPoints, ...] = ()

    def __post_init__(self) -> None:
        if not self.batch.schema.equals(CHUNK_SCHEMA) and not self.batch.schema.equals(TEXT_SCHEMA):
            raise ValueError(f"a chunk's batch has the columns of CHUNK_SCHEMA, not {self.batch.schema}")
        if len(self.batch.column(0).dictionary) != len(self.key.series_ids):
            raise ValueError("a chunk's series_id dictionary has one entry for each series of its key")

    @classmethod
    def from_points(cls, key: ChunkKey, points: Mapping[str, Points], series_ids: Sequence[str] | None = None) -> Chunk:
        """Build a chunk from columns by source id; a series of the key without an entry has no points.

        Args:
            key: the series and the range that the chunk claims to hold.
            points: by source id, each ascending in time and inside the key's range.
            series_ids: the ids to store, in the key's order; None stores the source's own.

        Raises:
            ValueError: `points` has a series that the key does not name; its points would be lost.
        """
        strangers = sorted(points.keys() - set(key.series_ids))
        if strangers:
            raise ValueError(f"points of series {strangers[0]!r}, which is not in the chunk's key {key}")
        columns = [points.get(series_id, NO_POINTS) for series_id in key.series_ids]
        codes = np.repeat(np.arange(len(columns), dtype=np.int32), [len(each.times) for each in columns])
        return cls.from_columns(key, codes, Points.concat(columns), series_ids)

    @classmethod
    def from_columns(
        cls, key: ChunkKey, codes: npt.NDArray[np.int32], points: Points, series_ids: Sequence[str] | None = None
    ) -> Chunk:
        """Build a chunk from columns that hold all series one after the other.

        Args:
            key: the series and the range that the chunk claims to hold.
            codes: int32, for each point the index of its series in the key, ascending.
            points: the columns, as long as `codes`.
            series_ids: the ids to store, in the key's order; None stores the source's own.
        """
        stored = list(key.series_ids if series_ids is None else series_ids)
        ids = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(stored, pa.string()))
        times = pa.array(points.times).cast(pa.timestamp("ns", tz="UTC"))
        arrays = [ids, times, pa.array(points.values), pa.array(points.statuses)]
        texts = None if points.texts is None else pa.array(points.texts, pa.string())
        if texts is None or texts.null_count == len(texts):
            return cls(key, pa.RecordBatch.from_arrays(arrays, schema=CHUNK_SCHEMA))
        return cls(key, pa.RecordBatch.from_arrays([*arrays, texts], schema=TEXT_SCHEMA))

    @property
    def num_points(self) -> int:
        return int(self.batch.num_rows)

    @property
    def nbytes(self) -> int:
        return int(self.batch.nbytes)

    @property
    def series_ids(self) -> tuple[str, ...]:
        """The ids as stored, in the key's order."""
        return tuple(self.batch.column(0).dictionary.to_pylist())

    @property
    def codes(self) -> npt.NDArray[np.int32]:
        """The index of each point's series, ascending; int32, shape (n,), no copy."""
        codes: npt.NDArray[np.int32] = self.batch.column(0).indices.to_numpy()
        return codes

    @property
    def points(self) -> Points:
        """All points as numpy columns, no copy but of texts."""
        return Points(
            self.batch.column(1).cast(pa.int64()).to_numpy(),
            self.batch.column(2).to_numpy(),
            self.batch.column(3).to_numpy(),
            self.batch.column(4).to_numpy(zero_copy_only=False) if self.has_texts else None,
        )

    @property
    def has_texts(self) -> bool:
        """Whether a point has a text."""
        return int(self.batch.num_columns) > len(CHUNK_SCHEMA)

    def without_texts(self) -> Chunk:
        """Return the chunk without its texts: their points keep time, value (NaN) and status."""
        if not self.has_texts:
            return self
        batch = pa.RecordBatch.from_arrays(self.batch.columns[:4], schema=CHUNK_SCHEMA)
        return Chunk(self.key, batch, self.rejected, self.kept)

    def by_series(self) -> Iterator[tuple[str, str, Points]]:
        """Yield source id, stored id and points (no copy) for each series of the key, also for those without points."""
        codes, points = self.codes, self.points
        bounds = np.searchsorted(codes, np.arange(len(self.key.series_ids) + 1, dtype=np.int32))
        for i, (source_id, stored_id) in enumerate(zip(self.key.series_ids, self.series_ids, strict=True)):
            part = slice(int(bounds[i]), int(bounds[i + 1]))
            yield source_id, stored_id, points.take(part)
