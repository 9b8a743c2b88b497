"""Find out whether a Parquet file's pages have checksums. Neither the footer nor pyarrow shows it; the page headers do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

_HEADER_BYTES: Final = 32
"""Most bytes of a page header up to its checksum: four fields, each of one byte and a varint of 32 bits."""

_I32: Final = 5
_BEFORE: Final = 3
"""Number of fields of `PageHeader` in parquet.thrift before crc: type, uncompressed_page_size, compressed_page_size."""


def has_checksums(metadata: Any, read_at: Callable[[int, int], bytes]) -> bool:
    """Return whether the first page of every column chunk has a checksum; True also for a file without any page.

    Args:
        metadata: the file's `pyarrow.parquet.FileMetaData`.
        read_at: given an offset and a count, returns so many bytes of the file, or fewer at its end.

    Raises:
        ValueError: a page header is not what the format says.
    """
    for group in range(metadata.num_row_groups):
        columns = metadata.row_group(group)
        if not columns.num_rows:
            continue
        for number in range(columns.num_columns):
            column = columns.column(number)
            first = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
            if not page_has_checksum(read_at(first, _HEADER_BYTES)):
                return False
    return True


def page_has_checksum(header: bytes) -> bool:
    """Return whether a page header, in Thrift's compact protocol, has the field `crc`.

    Args:
        header: its bytes, at least up to that field.

    Raises:
        ValueError: it does not begin with the three fields that every page header has.
    """
    at = 0
    for _ in range(_BEFORE):
        if header[at : at + 1] != bytes([1 << 4 | _I32]):  # the next field, an i32
            raise ValueError("its page header does not follow the format")
        at += 1
        while header[at : at + 1] and header[at] & 0x80:
            at += 1
        at += 1
    return header[at : at + 1] == bytes([1 << 4 | _I32])
