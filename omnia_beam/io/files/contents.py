"""Everything that a destination of files holds, read file by file in the order of time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Final

from omnia_beam.config.kind import options_as
from omnia_beam.core.errors import DestinationError
from omnia_beam.core.text import counted
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import MIN_TIME_NS, parse_time
from omnia_beam.io.contents import SeriesNames
from omnia_beam.io.files.csv import readback as csv_reader
from omnia_beam.io.files.csv.write import CsvOptions
from omnia_beam.io.files.destination_files import list_destination, shown_name
from omnia_beam.io.files.options import CsvSink, ParquetSink
from omnia_beam.io.files.parquet import readback as parquet_reader
from omnia_beam.io.files.series_metadata import read_names
from omnia_beam.io.files.strays import is_of_another_job
from omnia_beam.io.point_block import PointBlock
from omnia_beam.store import is_remote
from omnia_beam.store import within as below

_WINDOW: Final = re.compile(r"-(\d{4})(\d\d)(\d\dT\d\d)(\d\d)(\d\d)Z-\d{8}T\d{6}Z-[0-9a-f]{16}\.")
"""The start of the window in the names that file sinks give."""


@dataclass(frozen=True)
class PointFiles:
    """How the files of a sink are read.

    Args:
        blocks: yields the points of a file; raises as `parquet.readback.read_points`.
        suffixes: of the files' names.
        first_time: returns the earliest time of a file at little cost, ns; None where that is not known.
        hold_statuses: whether points come with their statuses.
    """

    blocks: Callable[[str], Iterator[PointBlock]]
    suffixes: tuple[str, ...]
    first_time: Callable[[str], int | None]
    hold_statuses: bool = True

    @classmethod
    def of(cls, sink: ParquetSink | CsvSink) -> PointFiles:
        """Return how the files that a sink writes are read."""
        if isinstance(sink, ParquetSink):
            return cls(parquet_reader.read_blocks, parquet_reader.SUFFIXES, parquet_reader.first_time)
        options = options_as(CsvOptions, sink)
        return cls(partial(_csv_blocks, options), csv_reader.SUFFIXES, lambda path: None, sink.layout == "long")


@dataclass
class FileContents:
    """The files of a destination, which can be read several times.

    Args:
        place: path of the sink.
        parts: names of the files, relative to the path, by the time of their points.
        files: how they are read.
        prefix: of the names of this job's files.
        within: points outside of it are left out; None for all.

    Attributes:
        problems: what could not be read, a text for each file or folder.
        parts_read, points_read: how far the present pass is.
    """

    place: str
    parts: Sequence[str]
    files: PointFiles
    prefix: str
    within: TimeRange | None = None
    problems: dict[str, str] = field(default_factory=dict)
    parts_read: int = 0
    points_read: int = 0
    part_noun: ClassVar = "file"

    @classmethod
    def of(cls, path: str, files: PointFiles, prefix: str, within: TimeRange | None = None) -> FileContents:
        """List a destination.

        Raises:
            DestinationError: it cannot be listed.
        """
        listing = list_destination(path, files.suffixes)
        problems = {name: f"the folder {shown_name(name)} cannot be listed: {why}" for name, why in listing.closed}
        problems |= {
            each.name: f"{shown_name(each.name)} is {each.what} and no file" for each in listing.files if each.what
        }
        names = [each.name for each in listing.files if not each.what]
        order = {name: (_start_of(below(path, name), files), name) for name in names}
        return cls(path, tuple(sorted(names, key=order.__getitem__)), files, prefix, within, problems)

    @property
    def holds_statuses(self) -> bool:
        return self.files.hold_statuses

    @property
    def warnings(self) -> tuple[str, ...]:
        if not self.parts:
            return (f"{self.place}: holds no data files; run the job first, or correct sink.path",)
        others = sum(is_of_another_job(name, self.prefix) for name in self.parts)
        if not others:
            return ()
        where = f"{counted(others, 'file')} of other jobs at {self.place}"
        return (f"{where} are part of the figures, as readers of that folder read them",)

    def names(self) -> SeriesNames:
        return read_names(self.place)

    def blocks(self) -> Iterator[PointBlock]:
        """Yield all points, one file after the other; what cannot be read is added to `problems`.

        The next block is read on another thread while one is looked at.

        Raises:
            DestinationError: a store cannot be read at all.
        """
        self.parts_read = self.points_read = 0
        blocks = self._blocks()
        with ThreadPoolExecutor(1, thread_name_prefix="omnia-profile") as pool:
            coming = pool.submit(next, blocks, None)
            while (block := coming.result()) is not None:
                coming = pool.submit(next, blocks, None)
                yield block

    def _blocks(self) -> Iterator[PointBlock]:
        for name in self.parts:
            try:
                for block in self.files.blocks(below(self.place, name)):
                    inside = self._inside(block)
                    self.points_read += len(inside.codes)
                    yield inside
            except FileNotFoundError:
                self.problems[name] = f"{shown_name(name)} is not there any more"
            except ValueError as error:
                self.problems[name] = f"{shown_name(name)} cannot be read to its end: {error}"
            except DestinationError as error:
                if is_remote(self.place):  # an unreachable store proves nothing about its files
                    raise
                self.problems[name] = str(error)
            self.parts_read += 1

    def _inside(self, block: PointBlock) -> PointBlock:
        if self.within is None:
            return block
        times = block.points.times
        return block.take((times >= self.within.start_ns) & (times < self.within.end_ns))


def _start_of(path: str, files: PointFiles) -> int:
    """Return the time by which a file is ordered, ns: the start of its window by its name, or its earliest point's."""
    found = _WINDOW.search(path.rpartition("/")[2])
    try:
        if found is not None:
            return parse_time("{}-{}-{}:{}:{}".format(*found.groups()))
        first = files.first_time(path)
    except (FileNotFoundError, ValueError, DestinationError):
        first = None  # reading it reports what is wrong
    return MIN_TIME_NS if first is None else first


def _csv_blocks(options: CsvOptions, path: str) -> Iterator[PointBlock]:
    for name, points in csv_reader.read_csv_points(path, options):
        yield PointBlock.of_one(name, points)
