"""What stands where in a file: per block and series the first and last time and the number of points.

Made by reading the file once, a block at a time. With it a window reads only the blocks that may hold its points, and a
migration knows beforehand what the target will not take.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import StateError, UsageError
from omnia_beam.core.limits import TIME_RESOLUTION_NS
from omnia_beam.core.receipt import status_histogram
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import MAX_TIME_NS
from omnia_beam.io.csv_blocks import BLOCK_BYTES
from omnia_beam.io.file_source import FileSource
from omnia_beam.io.file_source_audit import Audit
from omnia_beam.io.file_source_blocks import BlockFile, BlockPlace
from omnia_beam.io.file_source_files import SourceFile

_VERSION: Final = 2
_OLDER: Final = 1
_FEW_ROWS: Final = 4
PLACE: Final = np.dtype([("start", np.int64), ("length", np.int64), ("first", np.int64)])
ROW: Final = np.dtype(
    [("block", np.int32), ("series", np.int32), ("first", np.int64), ("last", np.int64), ("points", np.int64)]
)


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What files hold of one series, repeats counted each time.

    Args:
        points: rows with a value.
        not_finite: of them NaN or infinite.
        fine: of them at a time that is no multiple of 100 ns.
        statuses: points by status.
        repeats: of them at a time that an earlier point of the same block has too; those of different blocks and files are
            not compared here (see `FileCatalog.count_repeats`).
        infinite: of them texts of numbers too large for a double, which became infinite.
        inexact: of them whole numbers beyond 2^53 that no double holds.
    """

    points: int = 0
    not_finite: int = 0
    fine: int = 0
    statuses: Mapping[int, int] = field(default_factory=dict, hash=False)
    repeats: int = 0
    infinite: int = 0
    inexact: int = 0

    def plus(self, other: SeriesFacts) -> SeriesFacts:
        statuses = Counter(self.statuses)
        statuses.update(other.statuses)
        return SeriesFacts(
            self.points + other.points,
            self.not_finite + other.not_finite,
            self.fine + other.fine,
            dict(statuses),
            self.repeats + other.repeats,
            self.infinite + other.infinite,
            self.inexact + other.inexact,
        )


@dataclass(frozen=True, slots=True)
class FileShape:
    """What a file as a whole tells beside its points.

    Args:
        layout: `wide`, `long`, or `parquet`.
        guessed: whether the layout was left to the header.
        unread: columns that look like statuses or qualities and are not read.
        rows: with a time; counted in wide files only.
        times: different ones of them, block by block.
    """

    layout: str = ""
    guessed: bool = False
    unread: tuple[str, ...] = ()
    rows: int = 0
    times: int = 0

    @property
    def looks_long(self) -> bool:
        """Whether a file that was taken as wide by its header has each time several times."""
        return self.layout == "wide" and self.guessed and self.rows >= _FEW_ROWS and 2 * self.times <= self.rows


@dataclass(frozen=True, eq=False)
class FileIndex:
    """The index of one file.

    Args:
        file: as it was when it was read.
        reading: `FileSource.reading_digest` under which it was read.
        series: names, in the order in which they came up.
        facts: by name.
        places: of PLACE, the blocks in the file's order.
        rows: of ROW: block, index of the series, first and last time (ns), points.
        shape: of the file as a whole.
        is_current: whether it has everything that this release puts there.
        folds: by block, where series stood before it (see `BlockPlace.folds`).
    """

    file: SourceFile
    reading: str
    series: tuple[str, ...]
    facts: Mapping[str, SeriesFacts]
    places: npt.NDArray[Any] = field(repr=False)
    rows: npt.NDArray[Any] = field(repr=False)
    shape: FileShape = FileShape()
    is_current: bool = True
    folds: Mapping[int, tuple[tuple[str, int, int], ...]] = field(default_factory=dict, repr=False)

    @property
    def range(self) -> TimeRange | None:
        """From the first point to behind the last; None without points."""
        if not len(self.rows):
            return None
        return TimeRange(int(self.rows["first"].min()), int(self.rows["last"].max()) + 1)

    def place(self, block: int) -> BlockPlace:
        start, length, first = self.places[block].tolist()
        return BlockPlace(start, length, first, self.folds.get(block, ()))

    def to_bytes(self) -> bytes:
        """A header line of JSON, then the arrays, compressed."""
        body = b"".join([self.places.tobytes(), self.rows.tobytes()])
        packed: bytes = pa.compress(body, "zstd", asbytes=True)
        header = {
            "v": _VERSION,
            "file": [self.file.path, self.file.size, self.file.changed_ns],
            "reading": self.reading,
            "series": [
                [
                    *(name, f.points, f.not_finite, f.fine, sorted([s, n] for s, n in f.statuses.items())),
                    *(f.repeats, f.infinite, f.inexact),
                ]
                for name, f in ((name, self.facts[name]) for name in self.series)
            ],
            "shape": [*astuple(self.shape)],
            "folds": [[block, *folds] for block, folds in self.folds.items()],
            "sizes": [len(self.places), len(self.rows), len(body)],
            "digest": hashlib.blake2b(packed, digest_size=16).hexdigest(),
        }
        return json.dumps(header).encode() + b"\n" + packed

    @classmethod
    def from_bytes(cls, data: bytes) -> FileIndex:
        """Read back what `to_bytes` wrote, in this release or an earlier one.

        Raises:
            StateError: it is something else, damaged, or of another version: to be made again.
        """
        try:
            end = data.index(b"\n")
            header = json.loads(data[:end])
            packed = data[end + 1 :]
            if (
                header["v"] not in (_VERSION, _OLDER)
                or header["digest"] != hashlib.blake2b(packed, digest_size=16).hexdigest()
            ):
                raise ValueError("another version, or damaged")
            places, rows, size = header["sizes"]
            body = pa.decompress(packed, size, "zstd", asbytes=True)
            facts = {
                name: SeriesFacts(points, odd, fine, dict(map(tuple, statuses)), *more)
                for name, points, odd, fine, statuses, *more in header["series"]
            }
            layout, guessed, unread, *counts = header.get("shape", ["", False, []])
            return cls(
                SourceFile(*header["file"]),
                header["reading"],
                tuple(facts),
                facts,
                np.frombuffer(body, PLACE, places),
                np.frombuffer(body, ROW, rows, places * PLACE.itemsize),
                FileShape(layout, guessed, tuple(unread), *counts),
                header["v"] == _VERSION,
                {block: tuple(map(tuple, folds)) for block, *folds in header.get("folds", [])},
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(f"an index of a file cannot be read: {error}") from error


def index_file(source: FileSource, file: SourceFile, block_bytes: int = BLOCK_BYTES) -> FileIndex:
    """Read a file once, and say what stands where.

    Raises:
        UsageError: what cannot be read: file, line, column, value.
    """
    codes: dict[str, int] = {}
    facts: dict[str, SeriesFacts] = {}
    places: list[BlockPlace] = []
    rows: list[tuple[int, int, int, int, int]] = []
    with BlockFile(source, file.path, block_bytes, audit := Audit()) as opened:
        for place, found in opened.blocks():
            for name, points in found.items():
                code = codes.setdefault(name, len(codes))
                first, last = int(points.times.min()), int(points.times.max())
                if last == MAX_TIME_NS:
                    raise UsageError(
                        f"{file.path}: {name}: a point at the last instant there is, which no range can hold"
                    )
                rows.append((len(places), code, first, last, len(points.times)))
                facts[name] = facts.get(name, SeriesFacts()).plus(_facts(points))
            places.append(place)
        shape = FileShape(opened.layout, opened.guessed, opened.unread, audit.rows, audit.times)
    for name in facts:
        facts[name] = replace(facts[name], infinite=audit.infinite[name], inexact=audit.inexact[name])
    return FileIndex(
        file,
        source.reading_digest,
        tuple(codes),
        facts,
        np.array([(place.start, place.length, place.first) for place in places], PLACE),
        np.array(rows, ROW),
        shape,
        folds={number: place.folds for number, place in enumerate(places) if place.folds},
    )


def _facts(points: Points) -> SeriesFacts:
    finite = int(np.count_nonzero(np.isfinite(points.values)))
    fine = int(np.count_nonzero(points.times % TIME_RESOLUTION_NS))
    statuses = dict(status_histogram(points))
    return SeriesFacts(len(points.times), len(points.times) - finite, fine, statuses, count_repeats(points.times))


def count_repeats(times: npt.NDArray[np.int64]) -> int:
    """How many of these times stand there already, further ahead."""
    if bool((times[1:] > times[:-1]).all()):
        return 0
    return len(times) - len(np.unique(times))
