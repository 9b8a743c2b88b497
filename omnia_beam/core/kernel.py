"""The compiled loops (`_kernel.c`, `_recorded.c`), where this installation has them.

They are optional: setup.py builds them where there is a C compiler, and every caller has a path without them that gives
the same result to the bit. `OMNIA_BEAM_KERNEL=off` in the environment disables them, to compare the two or to exclude the
kernel as a cause.
"""

from __future__ import annotations

import os
from typing import Any, Final, Protocol, cast

import numpy.typing as npt

Bytes = bytes | bytearray | memoryview
Array = npt.NDArray[Any]


class Kernel(Protocol):
    """The functions of the kernel; arrays are contiguous and in the machine's own byte order."""

    def read_rows(self, data: Bytes, begin: int, end: int, tags: bytes, columns: tuple[Array, ...], /) -> int:
        """Read `data[begin:end]` as rows of one plainly encoded protobuf value for each column.

        Args:
            tags: the member's tag of each column, one byte each.
            columns: the arrays to fill, with 4 bytes a row for uint32 and 8 for the others.

        Returns:
            The number of rows; -1 where a row has another form or the rows do not fit into the columns.
        """

    def count_values(self, data: Bytes, begin: int, end: int, /) -> int:
        """Return the number of `values` in `data[begin:end]`, found by tag and length; -1 where anything else lies among them."""

    def hash_points(self, times: Array, values: Array, statuses: Array, /) -> tuple[int, int]:
        """Return the low and the high half of the fingerprint (see core.fingerprint)."""

    def read_recorded(
        self, data: Bytes, many: bool, times: Array, numbers: Array, flags: Array, offsets: Array, streams: Array, /
    ) -> tuple[int, int, bytes] | None:
        """Read the JSON of recorded values of PI Web API (see io.pi.compiled) into columns.

        Args:
            data: the whole body.
            many: whether it has several streams.
            times, numbers, flags: int64, float64 and uint8, the arrays to fill.
            offsets: int32, one entry more: where the text of each row begins, and at the end where the last one ends.
            streams: int64, three entries for each stream: where its WebId begins in the data, its length, and the number of
                rows up to the stream's end.

        Returns:
            The number of rows, the number of streams, and the texts one after the other; None where the body has another
            form or does not fit into the arrays.
        """


_FUNCTIONS: Final = [name for name in vars(Kernel) if not name.startswith("_")]


def _load() -> Kernel | None:
    if os.environ.get("OMNIA_BEAM_KERNEL", "").lower() == "off":
        return None
    try:
        from omnia_beam.core import _kernel
    except ImportError:
        return None
    # A clone that was updated and not built again has an earlier kernel.
    return cast(Kernel, _kernel) if all(hasattr(_kernel, name) for name in _FUNCTIONS) else None


COMPILED: Final = _load()
"""The compiled kernel; None where there is none or it is switched off."""
