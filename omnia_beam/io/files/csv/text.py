"""Recognise a file's encoding by its byte order mark, by the configuration, or by the zeros of UTF-16."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Final

from omnia_beam.core.errors import UsageError

_MARKS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_UTF32_MARKS: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_SNIFFED: Final = 512
_NO_TEXT: Final = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook (.xlsx): unpack it, or save it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook (.xls): save it as CSV"),
    (b"\x1f\x8b", "compressed by gzip: give its name the suffix .gz"),
    (b"BZh", "compressed by bzip2: give its name the suffix .bz2"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: give its name the suffix .zst"),
    (b"\xfd7zXZ\x00", "compressed by xz: decompress it, or compress it as .gz, .bz2 or .zst"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    (b"PAR1", "Parquet: set source.kind: parquet"),
    (b"SQLite format 3\x00", "an SQLite database: export it as CSV"),
)


@dataclass(frozen=True, slots=True)
class TextForm:
    """The encoding of a file.

    Args:
        encoding: `utf-8`, `utf-16-le`, `utf-16-be`, or another in which a line feed is one byte.
        mark: length of the byte order mark in bytes; 0 for none.
    """

    encoding: str
    mark: int = 0

    @property
    def is_utf16(self) -> bool:
        return self.encoding.startswith("utf-16")

    def view(self, raw: bytes) -> bytes:
        """Return the text with one byte for each character that structures a line; it is not for reading cells."""
        return raw.decode(self.encoding, "replace").encode() if self.is_utf16 else raw

    def raw_length(self, view: bytes) -> int:
        """Return how many bytes of the file the beginning of a view takes."""
        return len(view.decode().encode(self.encoding)) if self.is_utf16 else len(view)


def find_text_form(head: bytes, encoding: str, path: str) -> TextForm:
    """Return a file's encoding by its first bytes and by `source.encoding`.

    Raises:
        UsageError: the file is no text, or its lines cannot be separated in its encoding.
    """
    named = _checked(encoding, path)
    for magic, what in _NO_TEXT:
        if head.startswith(magic):
            raise UsageError(f"{path}: is not text but {what}")
    if head.startswith(_UTF32_MARKS):
        raise UsageError(f"{path}: is UTF-32 text (source.encoding): save it as UTF-8")
    for mark, found in _MARKS:
        if head.startswith(mark):
            return TextForm(found, len(mark))
    if named in ("utf-16-le", "utf-16-be"):
        return TextForm(named)
    if named in ("utf-8", "utf-16"):
        zeros = _zeros_of_utf16(head[:_SNIFFED])
        if zeros is not None or named == "utf-16":
            return TextForm(zeros or "utf-16-le")
    return TextForm(named)


def is_utf8(encoding: str) -> bool:
    """Return whether bytes of an encoding can be read as UTF-8 unchanged."""
    return encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig", "ascii", "us-ascii")


def _checked(encoding: str, path: str) -> str:
    plain = encoding.lower().replace("_", "-")
    if plain in ("utf-16", "utf16", "utf-16-le", "utf-16le", "utf-16-be", "utf-16be"):
        return {"utf16": "utf-16", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be"}.get(plain, plain)
    try:
        feed = "\n".encode(plain.removesuffix("-sig"))
    except (LookupError, UnicodeError):
        raise UsageError(
            f"source.encoding: {encoding!r} is no encoding: use utf-8, utf-16, latin-1, cp1252, …"
        ) from None
    if feed != b"\n":
        raise UsageError(f"source.encoding: {encoding}: lines cannot be separated in it: save {path} as UTF-8")
    return "utf-8" if is_utf8(encoding) and "ascii" not in plain else encoding


def _zeros_of_utf16(head: bytes) -> str | None:
    """Recognise UTF-16 without a mark: every other byte of its digits and delimiters is zero, on one side only."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > 9 * even and 4 * odd > len(head) // 2:
        return "utf-16-le"
    if even > 9 * odd and 4 * even > len(head) // 2:
        return "utf-16-be"
    return None
