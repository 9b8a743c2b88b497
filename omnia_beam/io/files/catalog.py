"""Combine the indexes of all files of a source, and keep them beside the ledger, so that only changed files are read again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from omnia_beam.core.errors import StateError, UsageError
from omnia_beam.core.text import load_json
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.facts import SeriesFacts
from omnia_beam.io.files.blocks import BlockPlace
from omnia_beam.io.files.forms import FileSource
from omnia_beam.io.files.found import SourceFile, list_files
from omnia_beam.io.files.index import ROW, FileIndex, index_file
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.store import ChangedMeanwhile, Placing

_PREFIX: Final = "file-"
_CHANGES: Final = "plan/changed-files.json"
_VANISHED: Final = "plan/vanished-points.json"
_TRIES: Final = 8


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A block that may hold points of a window.

    Args:
        file: index of its file; the order of files and blocks decides which repeat wins.
        place: its place in the file.
        first_ns, last_ns: times of the first and last of its points that belong to the window's series.
    """

    file: int
    place: BlockPlace
    first_ns: int
    last_ns: int


@dataclass(frozen=True, eq=False)
class FileCatalog:
    """The content of all files of a source, in about 32 bytes for each pair of a block (a few megabytes) and a series in it.

    Args:
        indexes: in the order of the files' paths.
    """

    indexes: tuple[FileIndex, ...]

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return tuple(index.file for index in self.indexes)

    @cached_property
    def facts(self) -> Mapping[str, SeriesFacts]:
        """Facts by series, ascending by name."""
        found: dict[str, SeriesFacts] = {}
        for index in self.indexes:
            for name, facts in index.facts.items():
                found[name] = found[name].plus(facts) if name in found else facts
        return dict(sorted(found.items()))

    @property
    def series(self) -> tuple[str, ...]:
        """Names of the series, ascending."""
        return tuple(self.facts)

    @cached_property
    def spans(self) -> Mapping[str, tuple[int, int]]:
        """Times (ns) of the first and last point, by series with points."""
        rows = ((name, self._rows_of(name)) for name in self.facts)
        return {name: (int(found["first"].min()), int(found["last"].max())) for name, found in rows if len(found)}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Texts about the files for the person who runs the job."""
        return tuple(text for index in self.indexes for text in index.about.warnings)

    @cached_property
    def range(self) -> TimeRange | None:
        """Range from the first point of all series to behind the last; None without points."""
        ranges = [found for index in self.indexes if (found := index.range) is not None]
        if not ranges:
            return None
        return TimeRange(min(each.start_ns for each in ranges), max(each.end_ns for each in ranges))

    def counts(self, names: Iterable[str], wanted: TimeRange) -> Iterator[tuple[str, int]]:
        """Yield each series with an estimate of its points in a range; repeats are counted each time."""
        for name in names:
            rows = self._rows_of(name)
            first, last = rows["first"], rows["last"]
            whole = (first >= wanted.start_ns) & (last < wanted.end_ns)
            # Differences of int64 could overflow; floats cannot, and are exact enough for an estimate.
            inside = np.minimum(last, wanted.end_ns).astype(float) - np.maximum(first, wanted.start_ns).astype(float)
            share = np.clip(inside / np.maximum(last.astype(float) - first.astype(float), 1.0), 0.0, 1.0)
            yield name, int(np.ceil((rows["points"] * np.where(whole, 1.0, share)).sum()))

    def blocks_for(self, key: ChunkKey) -> tuple[BlockRef, ...]:
        """Return the blocks that may hold points of a window, in the order of files and rows."""
        rows = np.concatenate([self._rows_of(name) for name in key.series_ids])
        rows = rows[(rows["first"] < key.range.end_ns) & (rows["last"] >= key.range.start_ns)]
        blocks, inverse = np.unique(rows["block"], return_inverse=True)
        first = np.full(len(blocks), np.iinfo(np.int64).max)
        last = np.full(len(blocks), np.iinfo(np.int64).min)
        np.minimum.at(first, inverse, rows["first"])
        np.maximum.at(last, inverse, rows["last"])
        return tuple(
            BlockRef(*self._place(block), *times)
            for block, *times in zip(blocks.tolist(), first.tolist(), last.tolist(), strict=True)
        )

    def _place(self, block: int) -> tuple[int, BlockPlace]:
        file = int(np.searchsorted(self._base, block, side="right")) - 1
        return file, self.indexes[file].place(block - int(self._base[file]))

    def _rows_of(self, name: str) -> Any:
        bounds = self._by_series.get(name)
        return np.empty(0, ROW) if bounds is None else self._sorted[bounds]

    @cached_property
    def _base(self) -> Any:
        """Number of each file's first block among all blocks."""
        return np.concatenate([[0], np.cumsum([len(index.places) for index in self.indexes])[:-1]]).astype(np.int64)

    @cached_property
    def _sorted(self) -> Any:
        """All rows with the numbers of block and series among all, ascending by series."""
        codes = {name: code for code, name in enumerate(self.facts)}
        parts = []
        for base, index in zip(self._base, self.indexes, strict=True):
            rows = index.rows.copy()
            rows["block"] += base
            rows["series"] = np.array([codes[name] for name in index.series], np.int32)[rows["series"]]
            parts.append(rows)
        rows = np.concatenate([np.empty(0, ROW), *parts])
        return rows[np.argsort(rows["series"], kind="stable")]

    @cached_property
    def _by_series(self) -> Mapping[str, slice]:
        bounds = np.searchsorted(self._sorted["series"], np.arange(len(self.facts) + 1)).tolist()
        return {name: slice(bounds[i], bounds[i + 1]) for i, name in enumerate(self.facts)}


def catalog_files(source: FileSource, on_file: Callable[[SourceFile], None] = lambda file: None) -> FileCatalog:
    """Read all files of a source once, without storing their indexes.

    Args:
        source: what to read.
        on_file: called with each file before it is read.

    Raises:
        UsageError: a path matches no file, or something in a file cannot be read; the message has file, line, column and value.
    """
    found = []
    for file in list_files(source.paths):
        on_file(file)
        found.append(index_file(source, file))
    return FileCatalog(tuple(found))


@dataclass(frozen=True, slots=True)
class FileChange:
    """A range in which files changed after some of their points had been copied, so that it has to be read again.

    Args:
        range: covers what the files held and hold.
        run: receipts of runs before this one are out of date in the range.
    """

    range: TimeRange
    run: int


@dataclass(frozen=True)
class CatalogStore:
    """The indexes of a job's files under `plan/`, one for each file, written as soon as the file was read.

    Args:
        state_dir: the job's.
        source: whose files are indexed.
        placing: wraps each change of what is noted, and raises where the lease is lost.
    """

    state_dir: StateDir
    source: FileSource = field(repr=False)
    placing: Placing = field(default=nullcontext, repr=False)

    def load(self, on_file: Callable[[SourceFile], None] = lambda file: None) -> FileCatalog:
        """Return the stored indexes, with those of new and changed files computed again; nothing is written.

        Raises:
            UsageError: as `catalog_files`.
        """
        return FileCatalog(tuple(index for _, index, _ in self._indexes(on_file)))

    def refresh(self, run: int, recorded: bool, on_file: Callable[[SourceFile], None]) -> FileCatalog:
        """Return what `load` returns, and store what was computed. Only the holder of the job's lease may call this.

        Args:
            run: number of this run.
            recorded: whether the ledger holds anything yet; if so, what changed has to be read again.
            on_file: called with each file before it is read.
        """
        kept: set[str] = set()
        found = []
        for name, index, before in self._indexes(on_file):
            kept.add(name)
            found.append(index)
            if before is not index:
                if recorded and not _only_described_again(index, before):
                    self._note_change([index, before], run)
                    self._note_vanished(before, index)
                self.state_dir.write(name, index.to_bytes())
        for name in [each for each in self._names() if each not in kept]:
            gone = self._read(name)
            if recorded and gone is not None and gone.reading == self.source.reading_digest:
                self._note_change([gone], run)
                self._note_vanished(gone, None)
            self.state_dir.delete(name)
        return FileCatalog(tuple(found))

    def changes(self) -> tuple[FileChange, ...]:
        """Return the changes that were not yet read again."""
        return tuple(FileChange(TimeRange(start, end), run) for start, end, run in self._noted(_CHANGES)[0])

    def vanished(self) -> dict[str, tuple[TimeRange, ...]]:
        """Return, by series, the ranges of points that files held before and that are missing or at other times now.

        They are returned until `forget_changes` is called.
        """
        found: dict[str, list[TimeRange]] = {}
        for name, start, end in self._noted(_VANISHED)[0]:
            found.setdefault(name, []).append(TimeRange(start, end))
        return {name: tuple(ranges) for name, ranges in found.items()}

    def forget_changes(
        self, changes: Iterable[FileChange], vanished: Mapping[str, Sequence[TimeRange]] = MappingProxyType({})
    ) -> None:
        """Forget changes after they were read again; those that another run has noted since are kept."""
        ranges = [[each.range.start_ns, each.range.end_ns, each.run] for each in changes]
        points = [[name, each.start_ns, each.end_ns] for name, held in vanished.items() for each in held]
        if ranges:
            self._note(_CHANGES, lambda noted: [each for each in noted if each not in ranges])
        if points:
            self._note(_VANISHED, lambda noted: [each for each in noted if each not in points])

    def _indexes(self, on_file: Callable[[SourceFile], None]) -> Iterator[tuple[str, FileIndex, FileIndex | None]]:
        """Yield name, current index and stored index of each file; both are the same object where nothing changed."""
        reading = self.source.reading_digest
        for file in list_files(self.source.paths):
            name = f"plan/{_PREFIX}{_digest(file.path)}.idx"
            before = self._read(name)
            if (
                before is not None
                and before.file.is_same_as(file)
                and before.reading == reading
                and not before.outdated
            ):
                index = replace(before, file=file)  # what is stored lacks the settings of the file's store
                yield name, index, index if before.file == file else before
                continue
            on_file(file)
            yield name, index_file(self.source, file), before

    def _names(self) -> list[str]:
        return [f"plan/{each.name}" for each in self.state_dir.list("plan") if each.name.startswith(_PREFIX)]

    def _read(self, name: str) -> FileIndex | None:
        data = self.state_dir.read(name)
        if data is None:
            return None
        try:
            return FileIndex.from_bytes(data)
        except StateError:
            return None  # an index that cannot be read is computed again

    def _note_vanished(self, before: FileIndex | None, now: FileIndex | None) -> None:
        """Note series of which a file no longer shows what it showed: they were removed from it, or it was started again."""
        if before is None or before.reading != self.source.reading_digest:
            return
        shown = {} if now is None else now.series_ranges
        gone = [
            [name, held.start_ns, held.end_ns]
            for name, held in before.series_ranges.items()
            if name not in shown or not shown[name].overlaps(held)
        ]
        if gone:
            self._note(_VANISHED, lambda noted: [*noted, *gone])

    def _note_change(self, indexes: Sequence[FileIndex | None], run: int) -> None:
        ranges = [found for index in indexes if index is not None and (found := index.range) is not None]
        self._note(_CHANGES, lambda noted: [*noted, *([each.start_ns, each.end_ns, run] for each in ranges)])

    def _noted(self, name: str) -> tuple[list[list[Any]], Any]:
        """Return the rows of a file of notes, and its version."""
        found = self.state_dir.read_version(name)
        try:
            return [[*row[:1], *map(int, row[1:])] for row in load_json(found.content or b"[]")], found.version
        except (ValueError, TypeError) as error:
            raise StateError(
                f"{self.state_dir.path(name)}: damaged ({error}): delete it, and set a refresh that covers what changed"
            ) from error

    def _note(self, name: str, change: Callable[[list[list[Any]]], list[list[Any]]]) -> None:
        """Change a file of notes, under the lease, without undoing what another run has noted meanwhile."""
        for _ in range(_TRIES):
            with self.placing():
                rows, version = self._noted(name)
                changed = change(rows)
                if changed == rows:
                    return
                with suppress(ChangedMeanwhile):
                    self.state_dir.replace(name, json.dumps(changed).encode(), version)
                    return
        raise StateError(f"{self.state_dir.path(name)}: others write it all the time: run the same command again")


def _only_described_again(index: FileIndex, before: FileIndex | None) -> bool:
    """Return whether only the index's format differs, or the tag was not recorded, while the file and its points are the same."""
    return (
        before is not None
        and before.file.is_same_as(index.file)
        and before.reading == index.reading
        and index.holds_the_same_as(before)
    )


def check_holds_something(catalog: FileCatalog, source: FileSource) -> None:
    """Raise UsageError where the files hold no point of a series that is wanted."""
    if catalog.range is None:
        chosen = " that include and exclude leave" if source.include or source.exclude else ""
        raise UsageError(f"source.path: {', '.join(source.paths)}: the files hold no points{chosen}")


def _digest(path: str) -> str:
    return hashlib.blake2b(path.encode(), digest_size=12).hexdigest()
