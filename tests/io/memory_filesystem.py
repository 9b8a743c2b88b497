"""A Beam filesystem in this process's memory, with the manners of an object store: an object is there once its stream is closed."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable
from typing import Any, ClassVar

from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem

SCHEME = "omniamem"


class RemoteError(Exception):
    """What the client library of an object store raises: no OSError, and none of Beam's."""


class MemoryFileSystem(FileSystem):
    """Registered with Beam by being a subclass; paths are `omniamem://…`. One store for all, emptied by `reset`."""

    objects: ClassVar[dict[str, bytes]] = {}
    fail_at: ClassVar[dict[str, int]] = {}
    """`create`, `write` and `close` fail from the call with this number on; `write` after half of its bytes."""
    failing_close_publishes: ClassVar[bool] = True
    _lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def reset(cls) -> None:
        cls.objects.clear()
        cls.fail_at.clear()
        cls.failing_close_publishes = True

    @classmethod
    def call(cls, name: str) -> None:
        with cls._lock:
            left = cls.fail_at.get(name)
            if left is None:
                return
            if left <= 0:
                raise RemoteError(f"{name} refused by the store")
            cls.fail_at[name] = left - 1

    @classmethod
    def scheme(cls) -> str:
        return SCHEME

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath.rstrip("/"), *(path.strip("/") for path in paths)])

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path: str) -> None:
        raise BeamIOError("an object store has no directories")

    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> Iterable[FileMetadata]:
        return [FileMetadata(k, len(v)) for k, v in sorted(self.objects.items()) if k.startswith(dir_or_prefix)]

    def create(self, path: str, mime_type: str = "", compression_type: str = "") -> Any:
        self.call("create")
        return _Upload(path)

    def open(self, path: str, mime_type: str = "", compression_type: str = "") -> Any:
        if path not in self.objects:
            raise BeamIOError(f"not found: {path}")
        return io.BytesIO(self.objects[path])

    def copy(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        for source, destination in zip(source_file_names, destination_file_names, strict=True):
            self.objects[destination] = self.objects[source]

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        self.copy(source_file_names, destination_file_names)
        self.delete(source_file_names)

    def exists(self, path: str) -> bool:
        return path in self.objects

    def size(self, path: str) -> int:
        return len(self.objects[path])

    def last_updated(self, path: str) -> float:
        return 0.0

    def checksum(self, path: str) -> str:
        return str(hash(self.objects[path]))

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, self.size(path))

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            self.objects.pop(path, None)


class _Upload(io.RawIOBase):
    """Publishes what it was given when it is closed, be it all or not: as Beam's uploaders do."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._parts: list[bytes] = []
        self._failed = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        try:
            MemoryFileSystem.call("write")
        except RemoteError:
            self._parts.append(bytes(data)[: len(data) // 2])
            self._failed = True
            raise
        self._parts.append(bytes(data))
        return len(data)

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        MemoryFileSystem.call("close")
        if self._failed and not MemoryFileSystem.failing_close_publishes:
            raise RemoteError("the upload had failed")
        MemoryFileSystem.objects[self._path] = b"".join(self._parts)
