"""Keep files as objects of Azure, S3 or Google Cloud Storage: one PUT is one file, whole or not there.

Nothing is locked. A write that must not undo another's is conditional instead: it names the version that it replaces, and
the store refuses it where another version is there. A response that was lost is not guessed at: the object is read again,
and the write has succeeded where it holds what was sent.
"""

from __future__ import annotations

import errno
import glob
import io
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, Final, cast

from omnia_beam.core.errors import OmniaBeamError
from omnia_beam.core.file_stamp import FileStamp
from omnia_beam.store.base import Appender, ChangedMeanwhile, Placing, StoredFile, VersionedFile
from omnia_beam.store.client import Container
from omnia_beam.store.errors import WHOLE_TRIES, StoreError, T, fail, is_broken_off, naming, whole
from omnia_beam.store.place import Location, Place, within

_TRIES: Final = 8
_DELETED_AT_ONCE: Final = 1_000
_BUFFER_BYTES: Final = 1 << 20
_SPOOLED_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """One container or bucket. It can be pickled: each process builds its own client.

    Args:
        container: which, and how it is reached.
    """

    container: Container

    @property
    def on_disk(self) -> bool:
        return False

    @property
    def can_append(self) -> bool:
        return False

    @property
    def is_conditional(self) -> bool:
        return True

    def make_folder(self, path: str) -> None:
        """Do nothing: folders are parts of names."""

    def list(self, folder: str) -> list[StoredFile]:
        files = (each for each in self._of_folder(folder) if not each.name.startswith("."))
        return sorted(files, key=lambda each: each.name)

    def walk(self, folder: str) -> Iterator[str]:
        for each in self._below(folder):
            yield each.name

    def scan(self, folder: str, prefixes: Sequence[str]) -> Iterator[StoredFile]:
        for each in self._below(folder):
            *folders, _ = each.name.split("/")
            if len(folders) == len(prefixes) and all(map(str.startswith, folders, prefixes)):
                yield each

    def find(self, pattern: str) -> Sequence[tuple[str, StoredFile]]:
        location = Location.of(pattern)
        exact = self._head(pattern)
        if exact is not None:
            return [(pattern, _stored(exact, ""))]
        if not glob.has_magic(location.key):
            return []
        parts = location.key.split("/")
        fixed = next(at for at, part in enumerate(parts) if glob.has_magic(part))
        root = _like(pattern, "/".join([location.base.rstrip("/"), *parts[:fixed]]))
        matches = re.compile(_pattern(parts[fixed:])).fullmatch
        of_one_folder = fixed == len(parts) - 1 and parts[-1] != "**"
        found = [each for each in (self._of_folder(root) if of_one_folder else self._below(root)) if matches(each.name)]
        return [(within(root, each.name), each) for each in found if not self._is_marker(root, each)]

    def is_there(self, path: str) -> bool:
        return self._head(path) is not None

    def is_no_file(self, path: str) -> bool:
        return False

    def open(self, path: str) -> BinaryIO:
        """Open an object; see `Store.open`. Its first MiB is read at once, so that a small one takes one request."""
        try:
            with naming(path):
                meta, begin = self._got(path, {"range": (0, _BUFFER_BYTES)})
        except StoreError:  # of an empty object no range can be read
            facts = self._head(path)
            if facts is None or int(facts["size"]):
                raise
            return io.BytesIO()
        size = int(meta["size"])
        if len(begin) == size:
            return io.BytesIO(begin)
        raw = _ObjectFile(self, path, size, meta.get("e_tag"), begin)
        return io.BufferedReader(raw, _BUFFER_BYTES)

    def put(
        self, path: str, data: bytes | memoryview, *, known_dirs: set[str] | None = None, placing: Placing = nullcontext
    ) -> FileStamp:
        """Put an object in place; see `Store.put`.

        The version to be replaced is looked up *before* `placing` is entered, which checks the lease: an object of a
        successor, which can only have been written after the lease was lost, has another version, and is not replaced.
        """
        content = memoryview(data).cast("B")  # obstore takes unsigned bytes alone, and Arrow's buffers are signed
        version: Any = None
        for _ in range(_TRIES):
            with placing():
                done, version = self._tried(path, content, version)
            if done:
                return FileStamp(content.nbytes)
        raise StoreError(errno.EBUSY, "others write it all the time", path)

    @contextmanager
    def create(self, path: str, placing: Placing = nullcontext) -> Iterator[BinaryIO]:
        import obstore

        with tempfile.SpooledTemporaryFile(_SPOOLED_BYTES) as spool:
            yield cast(BinaryIO, spool)  # it has all of the methods
            if placing is not nullcontext:
                spool.seek(0)
                self.put(path, spool.read(), placing=placing)
                return
            spool.seek(0)
            with naming(path, writing=True):  # in parts, where it is large
                obstore.put(self._client, _key(path), spool)

    def read(self, path: str) -> VersionedFile:
        try:
            with naming(path):
                meta, content = self._got(path)
        except FileNotFoundError:
            return VersionedFile(None)
        return VersionedFile(content, _version(meta))

    def replace(self, path: str, data: bytes | memoryview, version: Any) -> Any:
        done, found = self._tried(path, data, version)
        if not done:
            raise ChangedMeanwhile(path)
        return found

    def _tried(self, path: str, data: bytes | memoryview, version: Any) -> tuple[bool, Any]:
        """Write an object in place of one version, and return whether that was done, and the version that is there now."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        mode: Any = "create" if version is None else version
        try:
            return True, _version(obstore.put(self._client, _key(path), data, mode=mode, use_multipart=False))
        except (AlreadyExistsError, PreconditionError):
            return self._landed(path, data)
        except (BaseError, FileNotFoundError) as error:  # there is no such container
            landed, found = self._landed(path, data)
            if not (landed or is_broken_off(error)):  # the response may have been that another version is there
                fail(error, path)
            return landed, found

    def append(self, path: str) -> Appender:
        raise OSError(f"{path}: this store cannot append")

    def rename(self, old: str, new: str, placing: Placing = nullcontext) -> None:
        import obstore

        with naming(old):
            with placing():
                obstore.copy(self._client, _key(old), _key(new))
            with placing():  # by now another writer may have taken over, and put a file of that name in place
                obstore.delete(self._client, _key(old))

    def delete(self, path: str) -> None:
        import obstore

        with suppress(FileNotFoundError), naming(path):
            whole(lambda: obstore.delete(self._client, _key(path)))

    def delete_all(self, paths: Iterable[str]) -> None:
        import obstore

        left = list(paths)
        for at in range(0, len(left), _DELETED_AT_ONCE):
            some = left[at : at + _DELETED_AT_ONCE]
            try:
                with naming(some[0]):
                    whole(partial(obstore.delete, self._client, [_key(each) for each in some]))
            except FileNotFoundError:  # some services stop there, and the rest remains
                for path in some:
                    self.delete(path)

    def delete_temporaries(self, folder: str) -> None:
        """Do nothing, because an object exists completely or not at all."""

    @contextmanager
    def lock(self, path: str, *, shared: bool = False) -> Iterator[bool]:
        yield False

    @property
    def _client(self) -> Any:
        return self.container.client()

    def _head(self, path: str) -> Any:
        """Return the facts of an object; None where it does not exist."""
        import obstore

        try:
            with naming(path):
                return self._unless_missing(path, lambda: obstore.head(self._client, _key(path)))
        except FileNotFoundError:
            return None

    def _is_marker(self, root: str, found: StoredFile) -> bool:
        """Return whether what was listed only stands for a folder: `in/`, or `in` with a mark, both without content.

        Consoles make the first, and a listing does not show its slash; Hadoop and blobfuse make the second on Azure.
        """
        import obstore

        if found.size:
            return False
        path = within(root, found.name)
        try:
            with naming(path):
                facts = self._unless_missing(
                    path, lambda: obstore.get(self._client, _key(path), options={"head": True})
                )
        except FileNotFoundError:
            return True
        return facts.attributes.get("hdi_isfolder") == "true"

    def _of_folder(self, folder: str) -> Sequence[StoredFile]:
        import obstore

        prefix = _key(folder)
        with naming(folder):
            answer = whole(lambda: obstore.list_with_delimiter(self._client, f"{prefix}/" if prefix else None))
        return [each for found in answer["objects"] if (each := _stored(found, prefix)).name]

    def _below(self, folder: str) -> Iterator[StoredFile]:
        import obstore

        prefix = _key(folder)
        seen: set[str] = set()
        for left in range(WHOLE_TRIES, 0, -1):
            try:
                with naming(folder):
                    for some in obstore.list(self._client, f"{prefix}/" if prefix else None):
                        new = [found for each in some if (found := _stored(each, prefix)).name not in seen]
                        seen.update(each.name for each in new)
                        yield from (each for each in new if each.name)
                return
            except StoreError as error:  # begun anew: where it broke off can be said where names come in order alone
                if left == 1 or not is_broken_off(error):
                    raise

    def _landed(self, path: str, data: bytes | memoryview) -> tuple[bool, Any]:
        """Return whether an object holds just this content, and its version; None where there is none, or it cannot be read."""
        with suppress(OSError), naming(path):
            meta, content = self._got(path, only=memoryview(data).nbytes)
            return int(meta["size"]) == len(content) and memoryview(content) == memoryview(data), _version(meta)
        return False, None

    def _got(
        self, path: str, options: dict[str, Any] | None = None, only: int | None = None
    ) -> tuple[dict[str, Any], bytes]:
        """Return facts and content of an object; no content where `only` is given and it has another size."""
        import obstore

        def get() -> tuple[dict[str, Any], bytes]:
            found = obstore.get(self._client, _key(path), options=cast(Any, options))
            meta = cast(dict[str, Any], found.meta)
            return meta, bytes(found.bytes()) if only in (None, int(meta["size"])) else b""

        return whole(lambda: self._unless_missing(path, get))

    def _unless_missing(self, path: str, request: Callable[[], T]) -> T:
        """Return the response of a request for an object.

        S3 says 403 instead of 404 to those who may not list the whole bucket, such as by a policy with a condition on the prefix.
        So where a request is refused and the folder may be listed, the listing tells.

        Raises:
            FileNotFoundError: there is no such object.
        """
        from obstore.exceptions import BaseError, PermissionDeniedError

        try:
            return request()
        except PermissionDeniedError:
            folder, _, name = path.rpartition("/")
            try:
                is_there = any(each.name == name for each in self._of_folder(_like(path, folder)))
            except (BaseError, OSError, OmniaBeamError):
                is_there = True
            if not is_there:
                raise FileNotFoundError(path) from None
            raise


class _ObjectFile(io.RawIOBase):
    """One version of an object, read by ranges; that it changes meanwhile is an error. Its beginning is known."""

    def __init__(self, store: ObjectStore, path: str, size: int, e_tag: str | None, begin: bytes) -> None:
        super().__init__()
        self._begin = begin
        self._store = store
        self._path = path
        self._size = size
        self._e_tag = e_tag
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, "a position before the file's start", self._path)
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        if known := self._begin[self._at : end]:
            buffer[: len(known)] = known
            self._at += len(known)
            return len(known)
        options: Any = {"range": (self._at, end)}
        if self._e_tag is not None:
            options["if_match"] = self._e_tag
        with naming(self._path):
            _, data = self._store._got(self._path, options)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _key(path: str) -> str:
    return Location.of(path).key


def _stored(found: Any, prefix: str) -> StoredFile:
    """Return what was listed; its name is empty where it only stands for the folder itself."""
    name = found["path"][len(prefix) + 1 :] if prefix else found["path"]
    changed_ns = int(found["last_modified"].timestamp() * 1_000_000) * 1_000
    # Services quote the tag in a header, and some, such as Azure, not in a listing.
    return StoredFile(name, int(found["size"]), changed_ns, (found.get("e_tag") or "").removeprefix("W/").strip('"'))


def _version(found: Any) -> dict[str, str]:
    """Return the tokens that a service gives a version, without those that it does not: obstore refuses None."""
    return {name: found[name] for name in ("e_tag", "version") if found.get(name) is not None}


def _pattern(parts: Sequence[str]) -> str:
    """Return a glob over whole keys as a regular expression; `**` stands for any number of folders."""
    *folders, last = parts
    text = "".join("(?:[^/]+/)*" if each == "**" else f"{_segment(each)}/" for each in folders)
    return text + (".*" if last == "**" else _segment(last))


def _segment(part: str) -> str:
    pieces = re.split(r"(\*+|\?|\[!?\]?[^\]]*\])", part)
    return "".join(_piece(each) for each in pieces)


def _piece(piece: str) -> str:
    if piece.startswith("*"):
        return "[^/]*"
    if piece == "?":
        return "[^/]"
    if piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
        inside = piece[1:-1].replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
        return f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
    return re.escape(piece)


def _like(path: str, other: str) -> str:
    """Return another path with the settings of a place."""
    return Place(other, path.entry) if isinstance(path, Place) else other
