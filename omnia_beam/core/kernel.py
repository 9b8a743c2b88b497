"""The compiled loops (`_kernel.c`), where this installation has them.

They are optional: setup.py builds them where there is a C compiler, and every caller has a numpy path that gives the same
to the bit. `OMNIA_BEAM_KERNEL=off` in the environment does without them, to compare or to rule them out.
"""

from __future__ import annotations

import os
from typing import Any, Final, Protocol, cast

import numpy.typing as npt

Bytes = bytes | bytearray | memoryview
Array = npt.NDArray[Any]


class Kernel(Protocol):
    """What `_kernel.c` offers; arrays are contiguous and in the machine's own byte order."""

    def read_rows(self, data: Bytes, begin: int, end: int, tags: bytes, columns: tuple[Array, ...], /) -> int:
        """Read `data[begin:end]` as rows of one plainly encoded protobuf value for each column.

        tags: the member's tag of each column, one byte each. columns: where to put them, of 4 bytes a row for uint32,
        of 8 for the others. Returns the rows; -1 where one is of another form or they do not fit into the columns.
        """

    def count_values(self, data: Bytes, begin: int, end: int, /) -> int:
        """Count the `values` in `data[begin:end]` by tag and length; -1 where anything else lies among them."""

    def hash_points(self, times: Array, values: Array, statuses: Array, /) -> tuple[int, int]:
        """Return the low and the high half of the fingerprint (see core.fingerprint)."""


def _load() -> Kernel | None:
    if os.environ.get("OMNIA_BEAM_KERNEL", "").lower() == "off":
        return None
    try:
        from omnia_beam.core import _kernel
    except ImportError:
        return None
    return cast(Kernel, _kernel)


COMPILED: Final = _load()
"""None where there is no compiled kernel."""
