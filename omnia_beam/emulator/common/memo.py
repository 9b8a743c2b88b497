"""A memory of results that cost a scan and are needed again for every page."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Memo(Generic[T]):
    """The results of the last `size` keys. A key must hold everything that the result depends on."""

    def __init__(self, size: int = 4096) -> None:
        self._results: OrderedDict[Any, T] = OrderedDict()
        self._size = size

    def get(self, key: Any) -> T | None:
        """Return the result of a key, or None where it is not known."""
        return self._results.get(key)

    def put(self, key: Any, result: T) -> T:
        """Store and return a result, and drop the oldest one above `size`."""
        self._results[key] = result
        if len(self._results) > self._size:
            self._results.popitem(last=False)
        return result
