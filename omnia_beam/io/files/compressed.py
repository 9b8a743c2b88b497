"""Read compressed files, and refuse those that are cut short or damaged.

Every member (gz, bz2, xz) or frame (zst) has to reach its own end mark, its check sums have to match, and nothing but another
member may follow. Content is passed on while it is unpacked, so a file is known to be whole only when its end is reached: a
caller that needs to know this reads to the end first. Memory does not grow with the size of the unpacked content.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any, Final, Protocol

import pyarrow as pa

from omnia_beam.core.errors import UsageError

_INPUT_BYTES: Final = 64 << 10
_STEP_BYTES: Final = 1 << 20
_LZMA_MEMORY: Final = 512 << 20
"""Bytes of memory that the dictionary of an .xz file may take; `xz -9` takes 65 MB."""

_SUFFIXES: Final = {
    ".gz": "gzip",
    ".bz2": "bzip2",
    ".xz": "xz",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".deflate": "deflate",
    ".lzma": "lzma",
}
_NOT_UNDONE: Final = (
    ".zip",
    ".7z",
    ".rar",
    ".lz4",
    ".sz",
    ".snappy",
    ".z",
    ".br",
    ".lzo",
    ".tgz",
    ".tar",
    ".xlsx",
    ".xls",
)
_MAGIC: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\x03\x04", "a zip archive (an Excel workbook is one too)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\xff\x06\x00\x00sNaPpY", "snappy"),
    (b"\x1f\x9d", "compress (.Z)"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"),
    (b"PAR1", "a Parquet file"),
    (b"PARE", "an encrypted Parquet file"),
)
_BZIP2_BLOCKS: Final = (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")
_CURE: Final = "fetch or write the file again"


def compression_of(path: str) -> str | None:
    """Return the compression that a file's name indicates, or None for none.

    Raises:
        UsageError: the name indicates a compression that cannot be unpacked.
    """
    name = path.lower()
    for suffix in _NOT_UNDONE:
        if name.endswith(suffix):
            raise UsageError(
                f"{path}: is compressed or packed in a way that is not supported ({suffix}): unpack it, or pack it as .gz, "
                ".bz2, .xz or .zst"
            )
    return next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix)), None)


def unpacked(file: Any, path: str) -> Any:
    """Open a file's content without the compression that its name indicates.

    Args:
        file: binary, seekable and at its start; the returned file closes it.
        path: of the file, for its suffix and for messages.

    Returns:
        A binary, seekable file. Seeking forwards unpacks; seeking backwards starts again from the beginning.

    Raises:
        UsageError: here or while reading: the content is not what the name says, is cut short, is damaged or is followed by other
            bytes. The message has the file, the cause and the remedy.
    """
    kind = compression_of(path)
    begin = file.read(16)
    file.seek(0)
    found = _looks_like(begin)
    if kind is None:
        if found is not None and not (found.endswith("Parquet file") and path.lower().endswith(".parquet")):
            raise UsageError(_misnamed(path, found))
        return file
    if not begin:
        return file  # an empty file is not packed, and nothing of it is missing
    if found != kind and kind not in ("deflate", "lzma"):
        raise UsageError(
            f"{path}: is called {_suffix(kind)} and is not {kind} but {found or _text_or_damage(begin)}: give it the name "
            f"of what it is, or {_CURE}"
        )
    return io.BufferedReader(_Unpacked(file, kind, path), 256 << 10)


def _looks_like(begin: bytes) -> str | None:
    if begin[:3] == b"BZh" and begin[4:10] in _BZIP2_BLOCKS:
        return "bzip2"
    return next((name for magic, name in _MAGIC if begin.startswith(magic)), None)


def _suffix(kind: str) -> str:
    return next(suffix for suffix, each in _SUFFIXES.items() if each == kind)


def _text_or_damage(begin: bytes) -> str:
    printable = all(byte >= 32 or byte in b"\t\r\n" for byte in begin)
    return "plain text" if printable else "damaged at its begin"


def _misnamed(path: str, found: str) -> str:
    if found in _SUFFIXES.values():
        return f"{path}: is compressed ({found}) and its name does not show it: rename it to end with {_suffix(found)}"
    if found.endswith("Parquet file"):
        return f"{path}: is {found} and no text: set source.kind: parquet, or take it out of source.path"
    return (
        f"{path}: is {found}, which is not supported: unpack or export it as text. As .gz, .bz2, .xz or .zst it is read"
    )


class _Unpacked(io.RawIOBase):
    """The content of a compressed file. Seeking forwards unpacks; seeking backwards starts again from the beginning."""

    def __init__(self, file: Any, kind: str, path: str) -> None:
        super().__init__()
        self._file = file
        self._kind = kind
        self._path = path
        self._at = 0
        self._stream = _open_stream(file, kind, path)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        data = self._stream.read(min(len(buffer), _STEP_BYTES))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_CUR:
            offset += self._at
        if whence == io.SEEK_END:
            while self._skip(_STEP_BYTES):
                pass
            offset += self._at
        if offset < self._at:
            self._file.seek(0)
            self._stream = _open_stream(self._file, self._kind, self._path)
            self._at = 0
        while self._at < offset and self._skip(min(offset - self._at, _STEP_BYTES)):
            pass
        return self._at

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def _skip(self, size: int) -> int:
        skipped = len(self._stream.read(size))
        self._at += skipped
        return skipped


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes of content; no bytes at its end."""


def _open_stream(file: Any, kind: str, path: str) -> _Stream:
    if kind == "zstd":
        return _Frames(file, path)
    return _Members(file, _DECOMPRESSORS[kind], _BEGINS[kind], path)


class _Zlib:
    """zlib's decompressor with the interface of those of bz2 and lzma.

    Args:
        wbits: 31 for gzip, 15 for a bare zlib stream.
    """

    def __init__(self, wbits: int) -> None:
        self._of = zlib.decompressobj(wbits)
        self._rest = b""

    @property
    def eof(self) -> bool:
        return self._of.eof

    @property
    def unused_data(self) -> bytes:
        return self._of.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._rest and not self._of.eof

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._of.decompress(self._rest + data, max_length)
        self._rest = self._of.unconsumed_tail
        return out


_BEGINS: Final = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "xz": b"\xfd7zXZ\x00", "deflate": b"", "lzma": b""}
_DECOMPRESSORS: Final[dict[str, Callable[[], Any]]] = {
    "gzip": lambda: _Zlib(31),
    "deflate": lambda: _Zlib(15),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY),
    "lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_LZMA_MEMORY),
}


class _Members:
    """Compressed members that follow each other, each read up to its end mark."""

    def __init__(self, file: Any, decompressor: Callable[[], Any], begins: bytes, path: str) -> None:
        self._file = file
        self._new = decompressor
        self._begins = begins
        self._path = path
        self._member = 1
        self._current = decompressor()
        self._began = False
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        while True:
            if self._current.eof and not self._next_member():
                return b""
            data = b""
            if self._current.needs_input:
                data = self._rest or self._file.read(_INPUT_BYTES)
                self._rest = b""
                if not data:
                    raise UsageError(
                        f"{self._path}: is cut short: its compressed data ends without an end mark{self._where()}: {_CURE}"
                    )
            try:
                out: bytes = self._current.decompress(data, size)
            except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError) as error:
                raise UsageError(self._damage(error)) from error
            self._began = True
            if out:
                return out

    def _next_member(self) -> bool:
        self._rest = self._current.unused_data or self._rest or self._file.read(_INPUT_BYTES)
        if not self._rest:
            return False
        if not self._rest.startswith(self._begins[: len(self._rest)]):
            raise UsageError(self._stray("they begin like no such part"))
        self._current = self._new()
        self._began = False
        self._member += 1
        return True

    def _where(self) -> str:
        return f" (in the {self._member}. of several parts)" if self._member > 1 else ""

    def _damage(self, error: Exception) -> str:
        if self._member > 1 and not self._began:
            return self._stray(str(error))
        return f"{self._path}: is damaged{self._where()}: {error}: {_CURE}"

    def _stray(self, why: str) -> str:
        return f"{self._path}: has bytes behind the end of its compressed data that are no further part of it ({why}): {_CURE}"


class _Frames:
    """Zstandard frames that follow each other, each read up to its end by Arrow, which needs a bounded amount of memory."""

    def __init__(self, file: Any, path: str) -> None:
        self._path = path
        self._stream = pa.CompressedInputStream(pa.PythonFile(_Held(file), mode="r"), "zstd")

    def read(self, size: int, /) -> bytes:
        try:
            data: bytes = self._stream.read(size)
        except OSError as error:
            if "Truncated" in str(error):
                raise UsageError(
                    f"{self._path}: is cut short: its compressed data ends without an end mark: {_CURE}"
                ) from error
            raise UsageError(f"{self._path}: is damaged, or has bytes behind its end: {error}: {_CURE}") from error
        return data


class _Held:
    """A file that stays open when the stream that reads it is closed."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        return data

    def close(self) -> None: ...
