"""Files renamed so that no reader of their directory takes them in. Links are renamed themselves, not what they lead to."""

from __future__ import annotations

import os
from typing import Final

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from omnia_beam.core.errors import DestinationError
from omnia_beam.io.destination_files import shown_name
from omnia_beam.io.durable_file import is_local, reason

_NAME_BYTES: Final = 255
"""Of one part of a path, on every file system in use."""


def set_aside(path: str, name: str, run_id: str) -> str:
    """Rename a file to `_NAME.RUN.set-aside` in its folder; it may be somebody's only copy.

    Args:
        path: the directory, local or of any Beam filesystem.
        name: the file's, relative to it.
        run_id: tells one set aside from another; a name that would get too long is cut.

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
    except (OSError, BeamIOError) as error:
        place = shown_name(f"{path.rstrip('/')}/{name}")
        raise DestinationError(f"{place}: cannot be set aside: {reason(error)}") from error
    return aside


def put_back(path: str, aside: str, name: str) -> bool:
    """Give a file its old name back; False where that is taken meanwhile, or it cannot be."""
    if is_there(path, name):
        return False
    try:
        _rename(path, aside, name)
    except (OSError, BeamIOError):
        return False
    return True


def is_there(path: str, name: str) -> bool:
    """Whether a name is taken, be it by a link that leads nowhere."""
    place = f"{path.rstrip('/')}/{name}"
    return os.path.lexists(place) if is_local(path) else bool(FileSystems.exists(place))


def is_no_file(path: str, name: str) -> bool:
    """Whether something else than a file stands under a name, so that no file can be put there: a folder, a pipe."""
    place = f"{path.rstrip('/')}/{name}"
    return is_local(path) and os.path.lexists(place) and not os.path.isfile(place)


def _rename(path: str, old: str, new: str) -> None:
    root = path.rstrip("/")
    if is_local(path):
        os.rename(f"{root}/{old}", f"{root}/{new}")
    else:
        FileSystems.rename([f"{root}/{old}"], [f"{root}/{new}"])
