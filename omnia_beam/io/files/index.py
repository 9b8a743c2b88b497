"""Index a file: the first and last time and the number of points for each block and series.

The file is read once, a block at a time. With the index a window reads only the blocks that may hold its points, and a
migration knows beforehand what the target will not accept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import StateError, UsageError
from omnia_beam.core.fingerprint import status_histogram
from omnia_beam.core.limits import TIME_RESOLUTION_NS
from omnia_beam.core.text import load_json
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import MAX_TIME_NS
from omnia_beam.io.facts import FileFacts, Noted, SeriesFacts
from omnia_beam.io.files.blocks import BlockFile, BlockPlace
from omnia_beam.io.files.csv.blocks import BLOCK_BYTES
from omnia_beam.io.files.forms import FileSource
from omnia_beam.io.files.found import SourceFile

_VERSION: Final = 2
PLACE: Final = np.dtype([("start", np.int64), ("length", np.int64), ("first", np.int64)])
ROW: Final = np.dtype(
    [("block", np.int32), ("series", np.int32), ("first", np.int64), ("last", np.int64), ("points", np.int64)]
)


@dataclass(frozen=True, eq=False)
class FileIndex:
    """The index of one file.

    Args:
        file: size, time of change and tag when it was read.
        reading: the `FileSource.reading_digest` under which it was read.
        series: names, in the order in which they first occur.
        facts: facts by name.
        places: array of PLACE: the blocks in the file's order.
        rows: array of ROW: block, index of the series, first and last time (ns), points.
        about: the file's format, and what was not read.
        folds: state of the series before each block, by block (see `BlockPlace.folds`).
        outdated: whether an earlier release made it, so that it has to be made again although the file is the same.
    """

    file: SourceFile
    reading: str
    series: tuple[str, ...]
    facts: Mapping[str, SeriesFacts]
    places: npt.NDArray[Any] = field(repr=False)
    rows: npt.NDArray[Any] = field(repr=False)
    about: FileFacts = field(default_factory=FileFacts)
    outdated: bool = False
    folds: Mapping[int, tuple[tuple[str, int, int], ...]] = field(default_factory=dict, repr=False)

    @property
    def range(self) -> TimeRange | None:
        """Range from the first point to behind the last; None without points."""
        if not len(self.rows):
            return None
        return TimeRange(int(self.rows["first"].min()), int(self.rows["last"].max()) + 1)

    def holds_the_same_as(self, other: FileIndex) -> bool:
        """Return whether both indexes have the same points, as far as an index shows, whatever else differs."""
        mine, others = (
            {n: (f.points, f.not_finite, f.fine, f.statuses) for n, f in each.facts.items()} for each in (self, other)
        )
        return mine == others and self.range == other.range

    @property
    def series_ranges(self) -> dict[str, TimeRange]:
        """Range from the first point to behind the last, by series."""
        if not len(self.rows):
            return {}
        first = np.full(len(self.series), np.iinfo(np.int64).max)
        last = np.full(len(self.series), np.iinfo(np.int64).min)
        np.minimum.at(first, self.rows["series"], self.rows["first"])
        np.maximum.at(last, self.rows["series"], self.rows["last"])
        bounds = zip(self.series, first.tolist(), last.tolist(), strict=True)
        return {name: TimeRange(start, end + 1) for name, start, end in bounds if start <= end}

    def place(self, block: int) -> BlockPlace:
        start, length, first = self.places[block].tolist()
        return BlockPlace(start, length, first, self.folds.get(block, ()))

    def to_bytes(self) -> bytes:
        """Return a header line of JSON, then the arrays, compressed."""
        body = b"".join([self.places.tobytes(), self.rows.tobytes()])
        packed: bytes = pa.compress(body, "zstd", asbytes=True)
        header = {
            "v": _VERSION,
            "file": [self.file.path, self.file.size, self.file.changed_ns, *([self.file.tag] if self.file.tag else [])],
            "reading": self.reading,
            "series": [[name, *self.facts[name].to_json()] for name in self.series],
            "about": self.about.to_json(),
            "folds": [[block, *folds] for block, folds in self.folds.items()],
            "sizes": [len(self.places), len(self.rows), len(body)],
            "digest": hashlib.blake2b(packed, digest_size=16).hexdigest(),
        }
        return json.dumps(header).encode() + b"\n" + packed

    @classmethod
    def from_bytes(cls, data: bytes) -> FileIndex:
        """Read back what `to_bytes` wrote.

        Raises:
            StateError: it is something else, damaged, or of another version, and has to be made again.
        """
        try:
            end = data.index(b"\n")
            header = load_json(data[:end])
            packed = data[end + 1 :]
            outdated = header["v"] == 1  # without notes and facts of the file
            if (
                header["v"] not in (1, _VERSION)
                or header["digest"] != hashlib.blake2b(packed, digest_size=16).hexdigest()
            ):
                raise ValueError("another version, or damaged")
            places, rows, size = header["sizes"]
            body = pa.decompress(packed, size, "zstd", asbytes=True)
            facts = {name: SeriesFacts.from_json([*rest, []] if outdated else rest) for name, *rest in header["series"]}
            return cls(
                SourceFile(*header["file"]),
                header["reading"],
                tuple(facts),
                facts,
                np.frombuffer(body, PLACE, places),
                np.frombuffer(body, ROW, rows, places * PLACE.itemsize),
                FileFacts() if outdated else FileFacts.from_json(header["about"]),
                outdated,
                {block: tuple((name, ns, run) for name, ns, run in folds) for block, *folds in header.get("folds", [])},
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(f"an index of a file cannot be read: {error}") from error


def index_file(source: FileSource, file: SourceFile, block_bytes: int = BLOCK_BYTES) -> FileIndex:
    """Read a file once, and return its index.

    Raises:
        UsageError: something cannot be read; the message has file, line, column and value.
    """
    codes: dict[str, int] = {}
    facts: dict[str, SeriesFacts] = {}
    places: list[BlockPlace] = []
    rows: list[tuple[int, int, int, int, int]] = []
    with BlockFile(source, file.path, block_bytes) as opened:
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
            for name, points in getattr(found, "doubtful", {}).items():
                code = codes.setdefault(name, len(codes))
                facts.setdefault(name, SeriesFacts())
                rows.append((len(places), code, int(points.times.min()), int(points.times.max()), len(points.times)))
                opened.notes.warn(f"{file.path}: {name}: points at local times that came twice become dead letters")
            for name, noted in opened.notes.take_series().items():
                codes.setdefault(name, len(codes))
                facts[name] = facts.get(name, SeriesFacts()).plus(SeriesFacts(noted=noted))
            places.append(place)
        about = opened.notes.file_facts()
    return FileIndex(
        file,
        source.reading_digest,
        tuple(codes),
        facts,
        np.array([(place.start, place.length, place.first) for place in places], PLACE),
        np.array(rows, ROW),
        about,
        folds={number: place.folds for number, place in enumerate(places) if place.folds},
    )


def _facts(points: Points) -> SeriesFacts:
    finite = int(np.count_nonzero(np.isfinite(points.values)))
    fine = int(np.count_nonzero(points.times % TIME_RESOLUTION_NS))
    repeats = count_repeats(points.times)
    noted = {"duplicates": Noted(repeats)} if repeats else {}
    return SeriesFacts(len(points.times), len(points.times) - finite, fine, dict(status_histogram(points)), noted)


def count_repeats(times: npt.NDArray[np.int64]) -> int:
    """Count the times that occur earlier in the array already."""
    if bool((times[1:] > times[:-1]).all() or (times[1:] < times[:-1]).all()):
        return 0
    return len(times) - len(np.unique(times))
