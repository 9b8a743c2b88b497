"""Let Arrow do without pandas in a process that uses none.

Where pandas is installed, pyarrow imports it at its first conversion of any array, whatever is converted, and looks for it
only once. Measured, that takes twice as long as the imports of numpy and pyarrow together.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from types import ModuleType

_PANDAS = "pandas"


def use_arrow_without_pandas() -> bool:
    """Let pyarrow look for pandas now and not find it, and return whether that was done. For programs, never for a library.

    It does nothing where pandas is imported already, or where packages of others add kinds, which may convert to pandas.
    """
    if _PANDAS in sys.modules or entry_points(group="omnia_beam.kinds"):
        return False
    import pyarrow as pa

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)
    return True


class _NoPandas:
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == _PANDAS:
            raise ModuleNotFoundError("pandas is not used by this program", name=_PANDAS)
