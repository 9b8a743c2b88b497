"""Size and time of a file when it was put in place: apart from the ledger, since the store of configured files needs it too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileStamp:
    """Size and time of a file when it was put in place, to compare with the file that is there later.

    Args:
        size: bytes.
        mtime_ns: time of change, ns since the Unix epoch; None on object stores, which set their own.
    """

    size: int
    mtime_ns: int | None = None
