"""Stage one of decoding: where the rows begin, in regions of the page that hold nothing but rows of one layout.

A region is the run of `values` of one item, as far as that can be known beforehand. The result of this stage is a very
likely guess; stage two (gather.py) verifies every byte that it depends on. A compiled kernel would replace `walk`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from omnia_beam.wire.layout import HEADER_BYTES, VALUES_TAG, RowLayout
from omnia_beam.wire.strides import Matrix, Octets, Positions, windows

ROWS_PER_BLOCK: Final = 32


@dataclass(frozen=True, slots=True)
class Rows:
    """Row starts of one or more regions, and how many of them each region holds.

    starts: int64[n], byte offsets, ascending. counts: int64[regions], summing to n.
    """

    starts: Positions
    counts: Positions


def even_rows(buf: Octets, begin: int, end: int, layout: RowLayout) -> Matrix | None:
    """Return a region as a matrix (rows, stride) without a copy; None where its rows cannot all be as long as the first.

    Only the size and the headers of a few rows are checked here, so that uneven regions are rejected at small cost.
    """
    stride = layout.stride
    n_rows, rest = divmod(end - begin, stride)
    if rest:
        return None
    matrix = buf[begin:end].reshape(n_rows, stride)
    samples = matrix[[n_rows // 3, n_rows // 2, n_rows - 1]]
    at = 0
    for column in layout.columns:
        header = [VALUES_TAG, column.length, column.tag]
        if (samples[:, at : at + 3] != header).any():
            return None
        at += HEADER_BYTES + column.length
    return matrix


def walk(buf: Octets, begins: Positions, ends: Positions, layout: RowLayout) -> Rows | None:
    """Find the row starts of all regions together, in lockstep; None where the rows do not line up.

    begins, ends: int64[regions], byte offsets, ascending, none empty. Each region is cut into blocks of about 32
    rows; a block's first row is recognised by its headers, and all blocks walk one row at a time, side by side.
    The cost is about 32 steps over (rows / 32) elements, whatever the page's size.
    """
    spans = ends - begins
    per_region = np.maximum(spans // (ROWS_PER_BLOCK * layout.max_bytes), 1)
    n_blocks = int(per_region.sum())
    last_of_region = np.cumsum(per_region) - 1
    first_of_region = last_of_region - per_region + 1

    block = np.arange(n_blocks) - np.repeat(first_of_region, per_region)
    firsts = np.repeat(begins, per_region) + block * np.repeat(spans, per_region) // np.repeat(per_region, per_region)
    inner = np.ones(n_blocks, np.bool_)
    inner[first_of_region] = False
    found = _first_headers(buf, firsts[inner], layout)
    if found is None:
        return None
    firsts[inner] = found

    stops = np.empty_like(firsts)
    stops[:-1] = firsts[1:]
    stops[last_of_region] = ends
    if not (firsts < stops).all():
        return None
    starts = _lockstep(buf, firsts, stops, layout)
    counts = np.diff(np.searchsorted(starts, np.append(begins, len(buf))))
    return Rows(starts, counts)


def _first_headers(buf: Octets, guesses: Positions, layout: RowLayout) -> Positions | None:
    """Find the first row start at or after each guess, by the headers at known places in a row; None where one has none."""
    if not len(guesses):
        return guesses
    segment = layout.segments()[0]
    window = layout.max_bytes
    width = window + segment.length + 1
    octets = windows(buf, guesses, width)
    hits = np.ones((len(guesses), window), np.bool_)
    # Two headers are enough to make a mistake rarer than one page in millions, and a mistake costs only time.
    for index, at in list(zip(segment.columns, segment.offsets, strict=True))[:2]:
        column = layout.columns[index]
        hits &= octets[:, at : at + window] == VALUES_TAG
        if column.fixed:
            hits &= octets[:, at + 1 : at + 1 + window] == column.length
        hits &= octets[:, at + 2 : at + 2 + window] == column.tag
    first = hits.argmax(axis=1)
    if not hits[np.arange(len(guesses)), first].all():
        return None
    starts: Positions = guesses + first
    return starts


def _lockstep(buf: Octets, firsts: Positions, stops: Positions, layout: RowLayout) -> Positions:
    """Follow the length bytes from each block's first row up to its stop; return all row starts, ascending.

    What a row adds to a position beyond its varying lengths is the same for every row. It is part of the offset of the
    view in which the lengths are looked up, so that a step is one lookup and one addition for each varying column.
    """
    jumps, row_bytes = _jumps(layout)
    n_steps = int((stops - firsts).max()) // layout.min_bytes + 1
    steps = np.empty((n_steps, len(firsts)), np.int64)
    steps[0] = firsts
    lengths = np.empty(len(firsts), np.uint8)
    for index in range(1, n_steps):
        at, behind = steps[index], steps[index - 1]
        if not jumps:
            at[:] = behind
        for jump in jumps:
            shifted = buf[min((index - 1) * row_bytes + jump, len(buf) - 1) :]
            shifted.take(behind, mode="clip", out=lengths)
            np.add(behind, lengths, out=at)
            behind = at
    steps += np.arange(n_steps)[:, None] * row_bytes
    by_block = steps.T
    return by_block[by_block < stops[:, None]]


def _jumps(layout: RowLayout) -> tuple[list[int], int]:
    """Return the distances from a row's start to its length bytes, and to its end, varying entries counted as empty."""
    jumps: list[int] = []
    at = 0
    for column in layout.columns:
        if not column.fixed:
            jumps.append(at + 1)
        at += HEADER_BYTES + column.length
    return jumps, at
