"""The interface of a destination for verification: fingerprints of what it holds for receipts, and points where they differ."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from omnia_beam.beam.context import RunContext
from omnia_beam.core.chunk import Points
from omnia_beam.core.fingerprint import Fingerprint
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.difference import Difference
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.store import Placing


@dataclass(frozen=True)
class ReadingPlace:
    """Where pipelines that read windows for a comparison run, and leave what they found.

    Args:
        state_dir: whose folder `runs` the workers write to.
        run_id: names this comparison; a part of the name, where several readings belong to one.
        context: runner and terminal.
    """

    state_dir: StateDir
    run_id: str
    context: RunContext


@dataclass(frozen=True)
class Observation:
    """What a destination holds of one receipt.

    Args:
        prints: by stored id; an id without an entry has no points. It may hold ids that the receipt does not name.
        problems: files that are missing or cannot be read; then the fingerprints are of the rest.
        failure: why nothing could be read; empty where it could.
        series_failures: by stored id, why this series could not be read while others of the window could.
        gone: stored ids of series that the destination does not know any more; they hold nothing.
        unchecked_files: files whose pages carry no checksums.
    """

    prints: Mapping[str, Fingerprint] = field(default_factory=dict)
    problems: tuple[Difference, ...] = ()
    failure: str = ""
    series_failures: Mapping[str, str] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    unchecked_files: int = 0

    @property
    def count(self) -> int:
        """Number of points found."""
        return sum(each.count for each in self.prints.values())


@dataclass(frozen=True)
class Stray:
    """A file that no receipt names and that a reader of the destination includes.

    Args:
        name: relative to the destination, as the file system spells it.
        difference: how it is reported.
        span: the time of its points; None where it cannot be read or holds none.
        outside: whether it lies outside of the destination, behind a link: then only its owner may move it.
        is_own: whether its name is exactly one that this job gives, so that a run may take it for its own and delete it.
    """

    name: str
    difference: Difference
    span: TimeRange | None = None
    outside: bool = False
    is_own: bool = False

    @property
    def shown(self) -> str:
        """The name in printable form."""
        return self.difference.file


@dataclass(frozen=True)
class Surplus:
    """Files at a destination that no receipt names.

    Args:
        strays: files that should not be there.
        others: further differences: links, folders that could not be listed.
        foreign: the number of files that belong to other jobs.
    """

    strays: tuple[Stray, ...] = ()
    others: tuple[Difference, ...] = ()
    foreign: int = 0


@dataclass(frozen=True)
class Aside:
    """A file that was renamed so that no reader of its directory reads it.

    Args:
        name: the new one, relative to the destination, as the file system spells it.
        shown: the same in printable form.
    """

    name: str
    shown: str


@dataclass(frozen=True)
class ReadableFiles:
    """Files of a job that DuckDB and pyarrow read as they are, with the columns of this project's Parquet files.

    Args:
        pattern: the glob that names them, and no file of another job.
        texts: whether they have a column of texts.
    """

    pattern: str
    texts: bool = False


class FileMoves(Protocol):
    """The files of a destination, and their renaming for a repair. Names are relative to it, as the file system spells them."""

    @property
    def readable(self) -> ReadableFiles | None:
        """How others read the job's points from the files as they are; None where they cannot."""

    def set_aside(self, name: str, run_id: str, placing: Placing) -> Aside:
        """Rename a file so that no reader reads it. It is not deleted, because it may be the only copy.

        Args:
            name: of the file.
            run_id: makes the new name unique.
            placing: wraps each step that changes what is there; it looks at the lease.

        Raises:
            DestinationError: it cannot be renamed.
        """

    def put_back(self, aside: Aside, name: str, placing: Placing) -> bool:
        """Give a file its old name again; return False where that name is taken meanwhile, or the file cannot be renamed."""

    def is_there(self, name: str) -> bool:
        """Return whether a name is taken, also by a link that leads nowhere."""

    def is_blocked(self, name: str) -> bool:
        """Return whether something else than a file has the name, so that no file can be put there."""


class Destination(Protocol):
    """A destination whose content can be read back."""

    @property
    def files(self) -> FileMoves | None:
        """The renaming of its files; None for a destination that is not made of files."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing shows progress while it is observed, so that the caller has to."""

    @property
    def holds_statuses(self) -> bool:
        """Whether points are read back with their statuses; otherwise all of them have the same one."""

    def observe(self, receipts: Sequence[Receipt]) -> Iterator[Observation]:
        """Yield for each receipt, in order, what the destination holds.

        Raises:
            DestinationError, ServiceError: nothing can be read.
        """

    def points(self, receipt: Receipt, stored_ids: Collection[str]) -> dict[str, Points]:
        """Return the stored points of some series of a receipt, in any order of time."""

    def surplus(self, live: Collection[str]) -> Surplus:
        """Return what the destination holds besides the files that receipts name."""
