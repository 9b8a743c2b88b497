"""Stage two of decoding: verify every byte that the row starts depend on, then copy the columns out of the rows.

Verification is by bits: the bitwise AND and OR of all rows show which bits are equal everywhere, so that two reductions
check the headers and the continuation bits of a whole page. Rows must also join: each ends where the next one begins,
the first begins and the last ends where their region does. Rows that pass have been parsed, not guessed. A result of
None always means that the general reading must be used, which finds the values or the error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from omnia_beam.wire import varint
from omnia_beam.wire.layout import (
    DOUBLE,
    HEADER_BYTES,
    MAX_INTEGER_LENGTH,
    MIN_INTEGER_LENGTH,
    VALUES_TAG,
    ColumnLayout,
    RowLayout,
    Segment,
)
from omnia_beam.wire.rows import Rows
from omnia_beam.wire.strides import Matrix, Octets, Positions, windows

CHUNK_ROWS: Final = 24_576
"""Rows processed at a time, so that their bytes stay in the processor's second cache (about 28 bytes a row)."""
FOLD_BYTES: Final = 2048
_PAYLOAD: Final = HEADER_BYTES + 1
"""Bytes before a member's payload: field tag, length, member tag."""


@dataclass(frozen=True, slots=True)
class Bits:
    """One column as the bits that its members carry.

    words: unsigned integers, one a row: a double's bits, an integer's varint value modulo 2^64.
    """

    tag: int
    words: varint.Words


def even_columns(matrix: Matrix, layout: RowLayout) -> list[Bits] | None:
    """Return the columns of rows of one length; None where a row is not of the layout."""
    segment = layout.segments()[0]
    parts: list[list[Bits]] = []
    for first in range(0, len(matrix), CHUNK_ROWS):
        chunk = _segment_columns(matrix[first : first + CHUNK_ROWS], segment, layout, 0)
        if chunk is None:
            return None
        parts.append(chunk)
    return _concatenated(parts)


def uneven_columns(buf: Octets, rows: Rows, begins: Positions, ends: Positions, layout: RowLayout) -> list[Bits] | None:
    """Return the columns of rows of varying length; None where a row is not of the layout or the rows do not join.

    begins, ends: int64[regions], as in `rows.walk`.
    """
    if not (rows.counts > 0).all():
        return None
    followers = _followers(rows, ends)
    firsts = np.cumsum(rows.counts) - rows.counts
    if not (rows.starts[firsts] == begins).all():
        return None
    slack = int((followers - rows.starts).max()) - layout.min_bytes
    tail = min(MIN_INTEGER_LENGTH + max(slack, 0), MAX_INTEGER_LENGTH)
    segments = layout.segments()
    parts: list[list[Bits]] = []
    for first in range(0, len(followers), CHUNK_ROWS):
        chunk = slice(first, first + CHUNK_ROWS)
        part = _uneven_chunk(buf, rows.starts[chunk], followers[chunk], layout, segments, tail)
        if part is None:
            return None
        parts.append(part)
    return _concatenated(parts)


def _uneven_chunk(
    buf: Octets, at: Positions, followers: Positions, layout: RowLayout, segments: tuple[Segment, ...], tail: int
) -> list[Bits] | None:
    """Return the columns of neighbouring rows; None where a row is not of the layout or does not end where it must.

    tail: bytes of the longest varying entry, its member's tag included.
    """
    found: list[Bits] = []
    for segment in segments:
        varying = not layout.columns[segment.columns[-1]].fixed
        matrix = windows(buf, at, segment.length + (tail if varying else 0))
        bits = _segment_columns(matrix, segment, layout, tail)
        if bits is None:
            return None
        found += bits
        at = at + segment.length
        if varying:
            at += matrix[:, segment.offsets[-1] + 1]
    return found if (at == followers).all() else None


def _concatenated(parts: list[list[Bits]]) -> list[Bits]:
    if len(parts) == 1:
        return parts[0]
    return [Bits(column[0].tag, np.concatenate([bits.words for bits in column])) for column in zip(*parts, strict=True)]


def chain_lengths(buf: Octets, rows: Rows, begins: Positions, ends: Positions, layout: RowLayout) -> bool:
    """Return whether the rows' entries, by tag and length alone, fill the regions, which is enough to count them."""
    if not (rows.counts > 0).all():
        return False
    at = rows.starts
    for _column in layout.columns:
        if (buf.take(at, mode="clip") != VALUES_TAG).any():
            return False
        lengths = buf.take(at + 1, mode="clip")
        if (lengths >= 0x80).any():
            return False
        at = at + HEADER_BYTES + lengths
    return _join(rows, at, begins, ends)


def even_chain(matrix: Matrix, layout: RowLayout) -> bool:
    """Return whether the entries of rows of one length, by tag and length alone, fill the rows."""
    at = 0
    for column in layout.columns:
        if (matrix[:, at] != VALUES_TAG).any() or (matrix[:, at + 1] != column.length).any():
            return False
        at += HEADER_BYTES + column.length
    return True


def _followers(rows: Rows, ends: Positions) -> Positions:
    """Return where each row must end: where the next one begins, or where its region ends."""
    followers = np.empty_like(rows.starts)
    followers[:-1] = rows.starts[1:]
    followers[np.cumsum(rows.counts) - 1] = ends
    return followers


def _join(rows: Rows, row_ends: Positions, begins: Positions, ends: Positions) -> bool:
    """Return whether the rows tile the regions: every byte of every region is in exactly one row."""
    firsts = np.cumsum(rows.counts) - rows.counts
    return bool((row_ends == _followers(rows, ends)).all() and (rows.starts[firsts] == begins).all())


@dataclass(frozen=True, slots=True)
class _Common:
    """The bitwise AND and OR of all rows: a bit is the same everywhere where the two agree."""

    ones: bytes
    any: bytes

    def equal(self, at: int, expected: int) -> bool:
        return self.ones[at] == self.any[at] == expected

    def constant(self, begin: int, end: int) -> bool:
        return self.ones[begin:end] == self.any[begin:end]


def _common_bits(matrix: Matrix) -> _Common:
    return _Common(_reduce(np.bitwise_and, matrix).tobytes(), _reduce(np.bitwise_or, matrix).tobytes())


def _reduce(operation: np.ufunc, matrix: Matrix) -> npt.NDArray[np.uint8]:
    """Reduce over the rows, several rows side by side so that the inner loop is long."""
    n_rows, width = matrix.shape
    abreast = max(FOLD_BYTES // width, 1)
    even = n_rows // abreast * abreast
    parts = [matrix[even:]]
    if even:
        wide = matrix[:even].reshape(-1, abreast * width)
        parts.append(operation.reduce(wide, axis=0).reshape(abreast, width))
    reduced: npt.NDArray[np.uint8] = operation.reduce(np.concatenate(parts), axis=0)
    return reduced


def _header_fits(common: _Common, at: int, column: ColumnLayout) -> bool:
    return (
        common.equal(at, VALUES_TAG)
        and common.equal(at + 2, column.tag)
        and (not column.fixed or common.equal(at + 1, column.length))
    )


def _fixed_payload_fits(common: _Common, at: int, column: ColumnLayout) -> bool:
    """Return whether a varint of fixed length has its continuation bits in every row."""
    if column.tag == DOUBLE:
        return True
    last = at + HEADER_BYTES + column.length - 1
    return all(byte >= 0x80 for byte in common.ones[at + _PAYLOAD : last]) and common.any[last] < 0x80


def _segment_columns(matrix: Matrix, segment: Segment, layout: RowLayout, tail: int) -> list[Bits] | None:
    """Return the columns of one segment from a matrix of its bytes, one row each; None where a row is not of the layout."""
    common = _common_bits(matrix)
    found: list[Bits] = []
    for index, at in zip(segment.columns, segment.offsets, strict=True):
        column = layout.columns[index]
        if not _header_fits(common, at, column):
            return None
        if column.fixed:
            if not _fixed_payload_fits(common, at, column):
                return None
            found.append(_fixed_bits(matrix, common, at, column))
        else:
            words = _varying_words(matrix, at, tail)
            if words is None:
                return None
            found.append(Bits(column.tag, words))
    return found


def _fixed_bits(matrix: Matrix, common: _Common, at: int, column: ColumnLayout) -> Bits:
    """Return one column of fixed length: a strided copy, and for integers the fold of the varint's bytes."""
    begin, n_bytes = at + _PAYLOAD, column.length - 1
    if column.tag == DOUBLE:
        return Bits(DOUBLE, _words(matrix, begin, 8))
    size = varint.word_size(n_bytes)
    if common.constant(begin, begin + n_bytes):
        only = np.frombuffer(common.ones, np.uint8).reshape(1, -1)
        number = varint.fold(_word_of(only, begin, n_bytes, size))
        number |= number.dtype.type(varint.high_bits(common.ones[begin + 8 : begin + n_bytes]))
        return Bits(column.tag, np.repeat(number, len(matrix)))
    numbers = varint.fold(_word_of(matrix, begin, n_bytes, size))
    if n_bytes > 8:
        _add_fixed_high_bytes(numbers, matrix, common, begin + 8, n_bytes)
    return Bits(column.tag, numbers)


def _word_of(matrix: Matrix, begin: int, n_bytes: int, size: int) -> varint.Words:
    """Copy the first `n_bytes` of each row's varint, eight at most, into words of `size` bytes."""
    if n_bytes >= size:
        return _words(matrix, begin, size)
    # With 3, 5, 6 or 7 bytes a whole word would reach into the next row, and past the page in the last one.
    padded = np.zeros((len(matrix), size), np.uint8)
    padded[:, :n_bytes] = matrix[:, begin : begin + n_bytes]
    return _words(padded, 0, size)


def _add_fixed_high_bytes(numbers: varint.Words, matrix: Matrix, common: _Common, ninth: int, n_bytes: int) -> None:
    """Add bytes 9 and 10, which rarely change: byte 9 every two years of ns, byte 10 with the sign."""
    last = ninth + n_bytes - 8
    if common.constant(ninth, last):
        numbers |= np.uint64(varint.high_bits(common.ones[ninth:last]))
    else:
        varint.add_high_bytes(numbers, matrix[:, ninth], matrix[:, ninth + 1] if n_bytes > 9 else None)


def _words(matrix: Matrix, begin: int, size: int) -> varint.Words:
    """Copy `size` bytes of each row as one little-endian word."""
    return matrix[:, begin : begin + size].view(f"<u{size}")[:, 0].copy()


def _varying_words(matrix: Matrix, at: int, tail: int) -> varint.Words | None:
    """Return a column of varying length, in which each row's own length byte gives the end of its varint.

    tail: bytes that the longest entry has in the matrix, its member's tag included.
    """
    lengths = matrix[:, at + 1].copy()
    if int(lengths.min()) < MIN_INTEGER_LENGTH or int(lengths.max()) > tail:
        return None
    lengths -= np.uint8(1)
    n_bytes = tail - 1
    begin = at + _PAYLOAD
    words = _word_of(matrix, begin, n_bytes, varint.word_size(n_bytes))
    if not varint.cut_to_length(words, lengths).all():
        return None
    numbers = varint.fold(words)
    if n_bytes > 8:
        ninth, tenth = _high_bytes(matrix, begin, lengths)
        if not varint.high_bytes_fit(lengths, ninth, tenth).all():
            return None
        varint.add_high_bytes(numbers, ninth, tenth)
    return numbers


def _high_bytes(
    matrix: Matrix, begin: int, lengths: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return bytes 9 and 10 of each varint that begins at column `begin`, 0 where it is shorter."""
    zero = np.zeros(len(matrix), np.uint8)
    ninth = np.where(lengths >= 9, matrix[:, begin + 8], zero)
    tenth = np.where(lengths >= 10, matrix[:, begin + 9], zero) if matrix.shape[1] > begin + 9 else zero
    return ninth, tenth
