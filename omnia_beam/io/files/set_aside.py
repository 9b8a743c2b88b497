"""Rename files so that no reader of their directory reads them. A link is renamed itself, not the file it leads to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from omnia_beam.core.errors import DestinationError
from omnia_beam.io.files.destination_files import shown_name
from omnia_beam.io.observer import Aside
from omnia_beam.store import reason, store_of, within

_NAME_BYTES: Final = 255
"""Most bytes of one part of a path, on every file system in use."""


@dataclass(frozen=True)
class MovedFiles:
    """The files below one path, as a repair renames them; see `FileMoves`.

    Args:
        path: the directory, on a disk or an object store.
    """

    path: str

    def set_aside(self, name: str, run_id: str) -> Aside:
        """Rename a file to `_NAME.RUN.set-aside` in its folder. It is not deleted, because it may be the only copy.

        Args:
            name: the file's name, relative to the directory.
            run_id: makes the new name unique; a name that would get too long is cut.

        Raises:
            DestinationError: it cannot be renamed.
        """
        folder, slash, base = name.rpartition("/")
        ending = f".{run_id}.set-aside"
        cut = os.fsencode(base)[: _NAME_BYTES - len(ending) - 1]
        aside = f"{folder}{slash}_{os.fsdecode(cut)}{ending}"
        try:
            self._rename(name, aside)
        except OSError as error:
            place = shown_name(f"{self.path.rstrip('/')}/{name}")
            raise DestinationError(f"{place}: cannot be set aside: {reason(error)}") from error
        return Aside(aside, shown_name(aside))

    def put_back(self, aside: Aside, name: str) -> bool:
        """Give a file its old name again; return False where that name is taken meanwhile, or the file cannot be renamed."""
        if self.is_there(name):
            return False
        try:
            self._rename(aside.name, name)
        except OSError:
            return False
        return True

    def is_there(self, name: str) -> bool:
        """Return whether a name is taken, also by a link that leads nowhere."""
        return store_of(self.path).is_there(within(self.path, name))

    def is_blocked(self, name: str) -> bool:
        """Return whether something else than a file, such as a folder or a pipe, has a name."""
        return store_of(self.path).is_no_file(within(self.path, name))

    def _rename(self, old: str, new: str) -> None:
        store_of(self.path).rename(within(self.path, old), within(self.path, new))
