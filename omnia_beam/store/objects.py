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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, NoReturn, cast

from omnia_beam.core.file_stamp import FileStamp
from omnia_beam.core.redaction import redact
from omnia_beam.store.base import Appender, ChangedMeanwhile, Placing, StoredFile, VersionedFile
from omnia_beam.store.client import Container
from omnia_beam.store.place import Location, Place, within

_TRIES: Final = 8
_DELETED_AT_ONCE: Final = 1_000
_BUFFER_BYTES: Final = 1 << 20
_SPOOLED_BYTES: Final = 64 << 20
_REASON_CHARACTERS: Final = 300


class StoreError(OSError):
    """A request to an object store failed; `strerror` is one line without secrets."""


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
        import obstore

        prefix = _key(folder)
        with _naming(folder):
            found = obstore.list_with_delimiter(self._client, f"{prefix}/" if prefix else None)["objects"]
        files = (_stored(each, prefix) for each in found)
        return sorted((each for each in files if not each.name.startswith(".")), key=lambda each: each.name)

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
        root = "/".join([location.base.rstrip("/"), *parts[:fixed]])
        matches = re.compile(_pattern(parts[fixed:])).fullmatch
        return [(within(_like(pattern, root), each.name), each) for each in self._below(root) if matches(each.name)]

    def is_there(self, path: str) -> bool:
        return self._head(path) is not None

    def is_no_file(self, path: str) -> bool:
        return False

    def open(self, path: str) -> BinaryIO:
        """Open an object; see `Store.open`. Its first MiB is read at once, so that a small one takes one request."""
        import obstore

        try:
            with _naming(path):
                found = obstore.get(self._client, _key(path), options={"range": (0, _BUFFER_BYTES)})
                begin = bytes(found.bytes())
        except StoreError:  # of an empty object no range can be read
            facts = self._head(path)
            if facts is None or int(facts["size"]):
                raise
            return io.BytesIO()
        size = int(found.meta["size"])
        if len(begin) == size:
            return io.BytesIO(begin)
        raw = _ObjectFile(self._client, path, size, found.meta.get("e_tag"), begin)
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
            with _naming(path, writing=True):  # in parts, where it is large
                obstore.put(self._client, _key(path), spool)

    def read(self, path: str) -> VersionedFile:
        import obstore

        try:
            with _naming(path):
                found = obstore.get(self._client, _key(path))
                return VersionedFile(bytes(found.bytes()), _version(found.meta))
        except FileNotFoundError:
            return VersionedFile(None)

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
            if not landed:
                _fail(error, path)
            return True, found

    def append(self, path: str) -> Appender:
        raise OSError(f"{path}: this store cannot append")

    def rename(self, old: str, new: str) -> None:
        import obstore

        with _naming(old):
            obstore.copy(self._client, _key(old), _key(new))
            obstore.delete(self._client, _key(old))

    def delete(self, path: str) -> None:
        import obstore

        with suppress(FileNotFoundError), _naming(path):
            obstore.delete(self._client, _key(path))

    def delete_all(self, paths: Iterable[str]) -> None:
        import obstore

        left = list(paths)
        for at in range(0, len(left), _DELETED_AT_ONCE):
            some = left[at : at + _DELETED_AT_ONCE]
            try:
                with _naming(some[0]):
                    obstore.delete(self._client, [_key(each) for each in some])
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
            with _naming(path):
                return obstore.head(self._client, _key(path))
        except FileNotFoundError:
            return None

    def _below(self, folder: str) -> Iterator[StoredFile]:
        import obstore

        prefix = _key(folder)
        with _naming(folder):
            for some in obstore.list(self._client, f"{prefix}/" if prefix else None, chunk_size=1_000):
                yield from (_stored(each, prefix) for each in some)

    def _landed(self, path: str, data: bytes | memoryview) -> tuple[bool, Any]:
        """Return whether an object holds just this content, and its version; None where there is none, or it cannot be read."""
        import obstore

        with suppress(OSError), _naming(path):
            found = obstore.get(self._client, _key(path))
            same = int(found.meta["size"]) == memoryview(data).nbytes and memoryview(found.bytes()) == memoryview(data)
            return same, _version(found.meta)
        return False, None


class _ObjectFile(io.RawIOBase):
    """One version of an object, read by ranges; that it changes meanwhile is an error. Its beginning is known."""

    def __init__(self, client: Any, path: str, size: int, e_tag: str | None, begin: bytes) -> None:
        super().__init__()
        self._begin = begin
        self._client = client
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
        import obstore

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
        with _naming(self._path):
            data = memoryview(obstore.get(self._client, _key(self._path), options=options).bytes())
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _key(path: str) -> str:
    return Location.of(path).key


def _stored(found: Any, prefix: str) -> StoredFile:
    name = found["path"][len(prefix) + 1 :] if prefix else found["path"]
    return StoredFile(name, int(found["size"]), int(found["last_modified"].timestamp() * 1_000_000) * 1_000)


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


@contextmanager
def _naming(path: str, *, writing: bool = False) -> Iterator[None]:
    """Convert obstore's errors to OSErrors with the path and one line of what happened."""
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        if writing:  # there is no such container
            _fail(error, path)
        raise FileNotFoundError(errno.ENOENT, "No such file", path) from None
    except BaseError as error:
        _fail(error, path)


def _fail(error: Exception, path: str) -> NoReturn:
    from obstore.exceptions import PermissionDeniedError, PreconditionError, UnauthenticatedError

    if isinstance(error, PreconditionError):
        raise StoreError(errno.EBUSY, "it was changed while it was read", path) from None
    number = errno.EACCES if isinstance(error, PermissionDeniedError | UnauthenticatedError) else errno.EIO
    raise StoreError(number, _one_line(str(error)), path) from None


def _one_line(text: str) -> str:
    """Return what happened without queries of URLs, which may hold a signature, and without the markup of a response."""
    text = " ".join(text.partition("\n\nDebug source:")[0].split())
    text = re.sub(r"(https?://[^\s?]*)\?[^\s,)]*", r"\1", text)
    match = re.search(r"<\?xml.*?<Code>(.*?)</Code>\s*(?:<Message>(.*?)</Message>)?", text)
    if match is not None:
        text = f"{text[: match.start()]}{match[1]}: {match[2] or ''}"
    return redact(text)[:_REASON_CHARACTERS]
