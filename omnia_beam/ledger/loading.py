"""Read all files of a ledger: snapshots first, then the segments that no snapshot includes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from omnia_beam.core.errors import StateError
from omnia_beam.ledger.index import IndexBuilder, LedgerIndex
from omnia_beam.ledger.record import Scope, is_segment
from omnia_beam.ledger.segment import SegmentCache, SegmentReader
from omnia_beam.ledger.snapshot import (
    Snapshot,
    check_snapshot,
    is_manifest,
    is_snapshot_data,
    read_manifest,
    snapshot_batches,
)
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.table import INDEX_COLUMNS

_LOAD_TRIES: Final = 5  # a run that starts may compact the ledger while another process reads it


@dataclass(frozen=True, slots=True)
class LedgerSource:
    """One file of records, as far as it was read: `length` bytes of a segment, or a snapshot."""

    name: str
    records: int
    length: int = 0
    snapshot: Snapshot | None = None

    def batches(
        self, state_dir: StateDir, columns: Sequence[str] | None = None, cache: SegmentCache | None = None
    ) -> Iterator[Any]:
        """Yield batches of `ledger_table.SCHEMA`, or of some of its columns, in their order."""
        if self.snapshot is not None:
            yield from snapshot_batches(state_dir, self.snapshot, columns)
            return
        for batch in SegmentReader(state_dir, self.name, self.length, cache).batches():
            yield batch if columns is None else batch.select(columns)


@dataclass(frozen=True, slots=True)
class LoadedRecords:
    """The result of `load_records`; see `Ledger` for the members."""

    index: LedgerIndex
    sources: tuple[LedgerSource, ...]
    scopes: Mapping[str, Scope]
    spent: tuple[str, ...]
    notices: tuple[str, ...]


def load_records(state_dir: StateDir, cache: SegmentCache) -> LoadedRecords:
    """Read all files of the ledger.

    Args:
        state_dir: the job's state directory.
        cache: segments that were read before.

    Raises:
        StateError: as `Ledger.load`.
    """
    gone: FileNotFoundError | None = None
    for _ in range(_LOAD_TRIES):
        try:
            loading = _Loading(state_dir, cache)
            loaded = loading.run()
        except FileNotFoundError as error:
            gone = error
            continue
        if loading.is_current():
            return loaded
    raise StateError(
        f"{state_dir.path('ledger')}: {gone or 'its list of files'} changes or disappears while it is read. If no run of "
        "this job is starting just now, a file that a snapshot needs is missing: restore it from a copy",
        path=state_dir.path("ledger"),
    )


class _Loading:
    """One attempt at reading all files that are listed."""

    def __init__(self, state_dir: StateDir, cache: SegmentCache) -> None:
        self._state_dir = state_dir
        self._cache = cache
        self._names = [each.name for each in state_dir.list("ledger")]
        self._builder = IndexBuilder()
        self._sources: list[LedgerSource] = []
        self._scopes: dict[str, Scope] = {}
        self._notices: list[str] = []

    def run(self) -> LoadedRecords:
        snapshots = self._manifests()
        spent = {name for each in snapshots for name in each.includes}
        spent |= self._leftovers(snapshots)
        for each in snapshots:
            if each.manifest_name not in spent:
                self._add_snapshot(each)
        for name in self._names:
            if is_segment(name):
                if name not in spent:
                    self._add_segment(name)
            elif not is_manifest(name) and not is_snapshot_data(name):
                self._notices.append(f"{self._path(name)}: not a file of the ledger; ignored")
        return LoadedRecords(
            self._builder.build(),
            tuple(self._sources),
            self._scopes,
            tuple(name for name in self._names if name in spent),
            tuple(self._notices),
        )

    def is_current(self) -> bool:
        """Return whether no compaction happened meanwhile: a listing may miss both what it adds and what it deletes."""
        names = [each.name for each in self._state_dir.list("ledger")]
        return [*filter(is_manifest, names)] == [*filter(is_manifest, self._names)]

    def _manifests(self) -> list[Snapshot]:
        found = []
        for name in filter(is_manifest, self._names):
            snapshot = read_manifest(self._state_dir, name)
            if snapshot is None:
                self._notices.append(f"{self._path(name)}: was never finished; ignored")
            else:
                found.append(snapshot)
        return found

    def _leftovers(self, snapshots: list[Snapshot]) -> set[str]:
        """Return the files that unfinished compactions left."""
        counted = {name for each in snapshots for name in (each.data_name, each.manifest_name)}
        return {name for name in self._names if is_snapshot_data(name) or is_manifest(name)} - counted

    def _add_snapshot(self, snapshot: Snapshot) -> None:
        check_snapshot(self._state_dir, snapshot)
        for batch in snapshot_batches(self._state_dir, snapshot, INDEX_COLUMNS):
            self._builder.add(batch)
        self._scopes |= {scope.digest: scope for scope in snapshot.scopes}
        self._check_job(snapshot.job)
        self._sources.append(LedgerSource(snapshot.manifest_name, snapshot.records, snapshot=snapshot))

    def _add_segment(self, name: str) -> None:
        reader = SegmentReader(self._state_dir, name, cache=self._cache)
        records = 0
        for batch in reader.batches():
            self._builder.add(batch)
            records += batch.num_rows
        if reader.torn:
            self._notices.append(
                f"{reader.path}: ends in {reader.torn} bytes of a record that was never finished (or is being written "
                "just now): dropped; its window is read again"
            )
        if reader.header is not None:
            self._scopes[reader.header.scope.digest] = reader.header.scope
            self._check_job(reader.header.job)
        self._sources.append(LedgerSource(name, records, reader.length))

    def _check_job(self, job: str) -> None:
        notice = f"{self._state_dir.path('ledger')}: holds records of a job {job!r}; they are used all the same"
        if job != self._state_dir.job_name and notice not in self._notices:
            self._notices.append(notice)

    def _path(self, name: str) -> str:
        return self._state_dir.path(f"ledger/{name}")
