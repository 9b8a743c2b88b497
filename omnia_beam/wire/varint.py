"""Folding of many varints at once: little-endian words whose bytes hold seven bits each, without a loop per byte.

A word is the first 1, 2, 4 or 8 bytes of a varint as a little-endian unsigned integer. Folding closes the gaps that the
continuation bits leave: first between neighbouring bytes, then between pairs, then between groups of four.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[Any]
"""Unsigned integers of 1, 2, 4 or 8 bytes."""

MAX_VARINT_BYTES: Final = 10

# Each fold has the bits that move and how far down they move, derived from 7 bits a byte as the module describes.
_FOLDS: Final[dict[int, tuple[tuple[int, int, int], ...]]] = {
    1: (),
    2: ((0x007F, 0x7F00, 1),),
    4: ((0x007F007F, 0x7F007F00, 1), (0x00003FFF, 0x3FFF0000, 2)),
    8: (
        (0x007F007F007F007F, 0x7F007F007F007F00, 1),
        (0x00003FFF00003FFF, 0x3FFF00003FFF0000, 2),
        (0x000000000FFFFFFF, 0x0FFFFFFF00000000, 4),
    ),
}
# A fold's dozen operations over one block stay in the processor's first caches; over a whole column they do not.
_BLOCK: Final = 8192


def word_size(n_bytes: int) -> int:
    """Return the smallest word, in bytes, that holds the first 8 bytes of a varint of `n_bytes`."""
    return 1 if n_bytes <= 1 else 2 if n_bytes <= 2 else 4 if n_bytes <= 4 else 8


def fold(words: Words) -> Words:
    """Return the numbers whose varint bytes the words hold; continuation bits are ignored, bytes past the end must be 0.

    Shape and dtype are the words'. `words` is contiguous and is overwritten.
    """
    folds = _FOLDS[words.dtype.itemsize]
    kind = words.dtype.type
    if words.dtype.itemsize == 1:
        words &= kind(0x7F)
        return words
    spare = np.empty(min(len(words), _BLOCK), words.dtype)
    for begin in range(0, len(words), _BLOCK):
        block = words[begin : begin + _BLOCK]
        moved = spare[: len(block)]
        for stay, move, shift in folds:
            np.bitwise_and(block, kind(move), out=moved)
            np.right_shift(moved, kind(shift), out=moved)
            np.bitwise_and(block, kind(stay), out=block)
            np.bitwise_or(block, moved, out=block)
    return words


def high_bits(octets: bytes) -> int:
    """Return what bytes 9 and 10 of a varint add to the number; either may be absent."""
    return sum((byte & 0x7F) << (56 + 7 * index) for index, byte in enumerate(octets)) & (2**64 - 1)


def add_high_bytes(numbers: Words, ninth: Words, tenth: Words | None) -> None:
    """Add bytes 9 and 10 of a varint to the 56 bits that its first 8 bytes gave, in place.

    numbers: uint64. ninth, tenth: uint8, 0 for numbers that have no such byte. Bits above the 64th are dropped, as
    google.protobuf does.
    """
    high = (ninth & np.uint8(0x7F)).astype(np.uint64)
    high <<= np.uint64(56)
    numbers |= high
    if tenth is not None:
        high = (tenth & np.uint8(1)).astype(np.uint64)
        high <<= np.uint64(63)
        numbers |= high


_CONTINUATION: Final = {1: 0x80, 2: 0x8080, 4: 0x80808080, 8: 0x8080808080808080}


def cut_to_length(words: Words, lengths: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Zero in place what follows each varint in its word; return whether its continuation bits fit its length.

    lengths: bytes of each varint, 1..10. Bytes 9 and 10 are not in the word: see `high_bytes_fit`.
    """
    size = words.dtype.itemsize
    kind = words.dtype.type
    spare_bits = np.minimum(lengths, np.uint8(size)).astype(words.dtype)
    np.subtract(kind(size), spare_bits, out=spare_bits)
    spare_bits <<= kind(3)
    own = np.right_shift(kind(2 ** (8 * size) - 1), spare_bits, out=spare_bits)
    words &= own
    # Every byte but the last has its continuation bit; of a varint longer than the word, all that are in the word.
    own >>= np.where(lengths > size, kind(0), kind(8)) if size == 8 else kind(8)
    own &= kind(_CONTINUATION[size])
    fit: npt.NDArray[np.bool_] = (words & kind(_CONTINUATION[size])) == own
    return fit


def high_bytes_fit(
    lengths: npt.NDArray[np.uint8], ninth: npt.NDArray[np.uint8], tenth: npt.NDArray[np.uint8]
) -> npt.NDArray[np.bool_]:
    """Return whether the continuation bits of bytes 9 and 10 fit; both bytes are 0 beyond the varint's length."""
    fit: npt.NDArray[np.bool_] = ((ninth >= 0x80) == (lengths == 10)) & (tenth < 0x80)
    return fit
