"""Object stores in this process's memory, behind the product's own `ObjectStore`: each bucket is one of obstore's MemoryStore."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import obstore
from obstore.exceptions import GenericError
from obstore.store import MemoryStore

from omnia_beam.store import client
from omnia_beam.store.client import Container

SCHEME = "s3"


class Objects(MutableMapping[str, bytes]):
    """The content of all buckets by whole path."""

    def __init__(self) -> None:
        self._stores: dict[str, MemoryStore] = {}

    def store(self, container: Container) -> MemoryStore:
        return self._stores.setdefault(container.name, MemoryStore())

    def __getitem__(self, path: str) -> bytes:
        store, key = self._place(path)
        try:
            return bytes(obstore.get(store, key).bytes())
        except FileNotFoundError:
            raise KeyError(path) from None

    def __setitem__(self, path: str, data: bytes) -> None:
        _PUT(*self._place(path), data)

    def __delitem__(self, path: str) -> None:
        obstore.delete(*self._place(path))

    def __iter__(self) -> Iterator[str]:
        for name, store in self._stores.items():
            for some in obstore.list(store):
                yield from (f"{SCHEME}://{name}/{each['path']}" for each in some)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _place(self, path: str) -> tuple[MemoryStore, str]:
        name, _, key = path.removeprefix(f"{SCHEME}://").partition("/")
        return self._stores.setdefault(name, MemoryStore()), key


_PUT = obstore.put


class MemoryObjects:
    """The buckets of one test, and the faults between them and the product.

    Attributes:
        objects: what is stored, by whole path.
        fail_from: number of the put from which on puts fail; None for never.
        lands: whether a put that fails has stored its object: the response was lost, not the request.
        before_put: called with the key before each put, in place of whatever else happens on the network.
    """

    def __init__(self) -> None:
        self.objects = Objects()
        self.fail_from: int | None = None
        self.lands = False
        self.before_put: Callable[[str], None] = lambda key: None
        self._puts = 0
        self._real = client.open_client

    def install(self) -> None:
        client.open_client = lambda container, pid: self.objects.store(container)  # type: ignore[assignment]
        obstore.put = self._put

    def uninstall(self) -> None:
        client.open_client = self._real
        obstore.put = _PUT

    def _put(self, store: Any, path: str, data: Any, **options: Any) -> Any:
        self.before_put(path)
        fails = self.fail_from is not None and self._puts >= self.fail_from
        self._puts += 1
        if not fails:
            return _PUT(store, path, data, **options)
        if self.lands:
            _PUT(store, path, data, **options)
        raise GenericError("put refused by the store")
