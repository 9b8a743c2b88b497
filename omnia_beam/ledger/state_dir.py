"""The state directory of a job: `<state>/<job name>/`, on a disk or an object store.

    lease.json       who runs the job now, and the number of the run; see `lease.py`
    ledger/          receipts; see `ledger.py`
    plan/            plans
    dead_letters/    points that could not be stored
    runs/            one report for each run

`StateDir` is plain data, which can be pickled, so that workers open the same place.
"""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from omnia_beam.core.errors import OmniaBeamError, StateError, UsageError
from omnia_beam.store import Appender, ChangedMeanwhile, Store, StoredFile, VersionedFile, is_remote, store_of

FOLDERS: Final = ("ledger", "plan", "dead_letters", "runs")
_JOB_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_PROBE_BYTES = 4096  # more than a full disk still accepts

_CURES: Final = {
    errno.ENOSPC: "free some space and run the same command again: what was recorded before is intact",
    errno.EDQUOT: "free some of the quota and run the same command again: what was recorded before is intact",
    errno.EACCES: "give this user the right to read and write there, or set `state:` to another place",
    errno.EPERM: "give this user the right to read and write there, or set `state:` to another place",
    errno.EROFS: "the filesystem is mounted read-only: set `state:` to another place",
    errno.ENOTDIR: "a file is in the way: move it, or set `state:` to another place",
    errno.EEXIST: "a file is in the way: move it, or set `state:` to another place",
    errno.EISDIR: "a directory is in the way: move it",
    errno.ENOENT: "it is not there: set `state:` to the place where the job ran",
}


@dataclass(frozen=True, slots=True)
class StateDir:
    """One job's state. Names are relative to it, with `/`, such as `ledger/x.jsonl`.

    Every method raises StateError, in one line with the path, the cause and the remedy.

    Args:
        root: path of `<state>/<job name>`; absolute where local.
        job_name: as configured.
        store: that reads and writes there.
    """

    root: str
    job_name: str
    store: Store = field(repr=False)

    @classmethod
    def open(cls, path: str, job_name: str, *, create: bool = True) -> StateDir:
        """Return the state of one job.

        Args:
            path: the value of `state:`: a local directory, or a place on an object store (`s3://bucket/state`).
            job_name: letters, digits, `_`, `.` and `-`, since it names a directory.
            create: whether to create it and check that it can be written; False for callers that only read.

        Raises:
            UsageError: the job name cannot name a directory, or the path names no store that is known.
            StateError: it cannot be created or written, or is on an object store that ignores the conditions of writes.
        """
        if not _JOB_NAME.fullmatch(job_name):
            raise UsageError(
                f"name: {job_name!r} cannot name the job's state directory: use up to 128 of A-Z a-z 0-9 _ . -, "
                "and no dot or dash in front"
            )
        whole = path if is_remote(path) else os.path.abspath(path)
        state = cls(f"{whole.rstrip('/')}/{job_name}", job_name, store_of(path))
        if create:
            state._create()
        return state

    def __str__(self) -> str:
        return self.root

    def path(self, name: str) -> str:
        """Return the whole path of a name."""
        return f"{self.root}/{name}" if name else self.root

    @property
    def can_append(self) -> bool:
        """Whether files can grow; where they cannot, each flush makes an object of its own."""
        return self.store.can_append

    @property
    def is_conditional(self) -> bool:
        """Whether `replace` excludes other writers by itself."""
        return self.store.is_conditional

    def list(self, folder: str) -> list[StoredFile]:
        """Return the finished files of a folder, by name; none where there is no such folder."""
        with self.naming("listed", folder):
            return self.store.list(self.path(folder))

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None where it does not exist."""
        return self.read_version(name).content

    def read_version(self, name: str) -> VersionedFile:
        """Return the content of a file with its version, for a later `replace`; content None where it does not exist."""
        with self.naming("read", name):
            return self.store.read(self.path(name))

    def replace(self, name: str, data: bytes, version: Any) -> Any:
        """Write a file in place of one version, None for no file yet, and return the new version.

        Raises:
            ChangedMeanwhile: another process has written the file since; nothing was written.
        """
        try:
            return self.store.replace(self.path(name), data, version)
        except ChangedMeanwhile:
            raise
        except Exception as error:
            raise state_error(self.path(name), "written", error) from error

    def open_file(self, name: str) -> BinaryIO:
        """Open a file for reading, seekable.

        Raises:
            FileNotFoundError: the file does not exist.
            StateError: the file exists, and cannot be opened.
        """
        try:
            return self.store.open(self.path(name))
        except FileNotFoundError:
            raise
        except Exception as error:
            raise state_error(self.path(name), "read", error) from error

    def write(self, name: str, data: bytes) -> None:
        """Put a file in place, whole and durable, over any earlier file of its name."""
        with self.create(name) as out:
            out.write(data)

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Open a file to write, which appears under its name, whole and durable, when the block ends without an error."""
        with self.naming("written", name), self.store.create(self.path(name)) as out:
            yield out

    def append(self, name: str) -> Appender:
        """Create a file that grows; only where `can_append`."""
        with self.naming("created", name):
            return self.store.append(self.path(name))

    def delete(self, name: str) -> None:
        """Delete a file; a file that does not exist is no error."""
        with self.naming("deleted", name):
            self.store.delete(self.path(name))

    def delete_temporaries(self, folder: str) -> None:
        """Delete what dead writers left unfinished in a folder; only for the holder of the lease, before others write."""
        with self.naming("tidied", folder):
            self.store.delete_temporaries(self.path(folder))

    @contextmanager
    def lock(self, name: str, *, shared: bool = False) -> Iterator[bool]:
        """Lock a name against all other processes, or with `shared` against those that do not share it; False where impossible."""
        with ExitStack() as stack:
            with self.naming("locked", name):
                held = stack.enter_context(self.store.lock(self.path(name), shared=shared))
            yield held

    def _create(self) -> None:
        for folder in FOLDERS:
            with self.naming("made", folder):
                self.store.make_folder(self.path(folder))
        probe = f"runs/.probe-{uuid.uuid4().hex}"
        if self.is_conditional:
            self._check_conditions(probe)
            return
        self.write(probe, b"\0" * _PROBE_BYTES)
        self.delete(probe)

    def _check_conditions(self, probe: str) -> None:
        """Check that the store refuses a write whose condition does not hold: the lease relies on that."""
        try:
            first = self._written(probe, b"1", None)
            if first is None:
                return  # it was refused, rightly or not
            self._check_refused(probe, b"2", None)
            if self._written(probe, b"3", first) is not None:
                self._check_refused(probe, b"4", first)
        finally:
            self.delete(probe)

    def _written(self, probe: str, data: bytes, version: Any) -> Any:
        """Return the new version; None where the store has refused the write."""
        with suppress(ChangedMeanwhile):
            return self.replace(probe, data, version)
        return None

    def _check_refused(self, probe: str, data: bytes, version: Any) -> None:
        if self._written(probe, data, version) is None:
            return
        raise StateError(
            f"{self.root}: the store carries out writes whose condition does not hold (If-None-Match, If-Match), so that two runs "
            "could hold the job at once: set `state:` to a disk, or to a store with conditional writes; data may stay here",
            path=self.root,
        )

    @contextmanager
    def naming(self, done: str, name: str) -> Iterator[None]:
        """Convert errors in the block to those of `state_error`; errors of this package pass unchanged."""
        try:
            yield
        except OmniaBeamError:
            raise
        except Exception as error:  # cloud libraries raise errors of any type
            raise state_error(self.path(name), done, error) from error


def state_error(path: str, done: str, error: Exception) -> StateError:
    """Return an error with one line: the path, what could not be done to it, the cause, the remedy.

    Args:
        path: the whole path.
        done: what failed, as a participle: `read`, `written`.
        error: the cause; its `errno` selects the remedy.
    """
    number = getattr(error, "errno", None)
    words = getattr(error, "strerror", None) or " ".join(f"{type(error).__name__}: {error}".split())[:300]
    cure = _CURES.get(number or 0, "fix that and run the same command again: what was recorded before is intact")
    return StateError(f"{path}: cannot be {done}: {words}; {cure}", path=path)
