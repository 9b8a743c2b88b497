"""Rename files so that no reader of their directory reads them. A link is renamed itself, not the file it leads to."""

from __future__ import annotations

import os
from typing import Final

from omnia_beam.core.errors import DestinationError
from omnia_beam.io.files.destination_files import shown_name
from omnia_beam.store import reason, store_of, within

_NAME_BYTES: Final = 255
"""Most bytes of one part of a path, on every file system in use."""


def set_aside(path: str, name: str, run_id: str) -> str:
    """Rename a file to `_NAME.RUN.set-aside` in its folder. It is not deleted, because it may be the only copy.

    Args:
        path: the directory, on a disk or an object store.
        name: the file's name, relative to the directory.
        run_id: makes the new name unique; a name that would get too long is cut.

    Returns:
        The new name.

    Raises:
        DestinationError: it cannot be renamed.
    """
    folder, slash, base = name.rpartition("/")
    ending = f".{run_id}.set-aside"
    cut = os.fsencode(base)[: _NAME_BYTES - len(ending) - 1]
    aside = f"{folder}{slash}_{os.fsdecode(cut)}{ending}"
    try:
        _rename(path, name, aside)
    except OSError as error:
        place = shown_name(f"{path.rstrip('/')}/{name}")
        raise DestinationError(f"{place}: cannot be set aside: {reason(error)}") from error
    return aside


def put_back(path: str, aside: str, name: str) -> bool:
    """Give a file its old name again; return False where that name is taken meanwhile, or the file cannot be renamed."""
    if is_there(path, name):
        return False
    try:
        _rename(path, aside, name)
    except OSError:
        return False
    return True


def is_there(path: str, name: str) -> bool:
    """Return whether a name is taken, also by a link that leads nowhere."""
    return store_of(path).is_there(within(path, name))


def is_no_file(path: str, name: str) -> bool:
    """Return whether something else than a file, such as a folder or a pipe, has a name, so that no file can be put there."""
    return store_of(path).is_no_file(within(path, name))


def _rename(path: str, old: str, new: str) -> None:
    store_of(path).rename(within(path, old), within(path, new))
