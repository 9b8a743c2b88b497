"""What a sink can hold of points, and what becomes of the rest: a part of the seam that `io.base` hands on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from omnia_beam.core.chunk import Chunk


@dataclass(frozen=True)
class Loss:
    """What becomes of points that a sink cannot hold, in the words of a finding.

    Args:
        text: behind the number of points, such as `values are NaN, which the service cannot hold: they become dead letters`.
        blocking: whether the run stops unless the finding is accepted.
    """

    text: str
    blocking: bool = True


@dataclass(frozen=True)
class Accepts:
    """What a sink can hold of points: for the loss report, for verify, and for what writes points twice.

    Args:
        not_finite: what becomes of NaN and infinities; None where they are held.
        fine_times: what becomes of times finer than the sink's grid; None where every ns is held.
        grid_ns: the step of the times that it holds, ns; 1 for every ns.
        statuses: why statuses are left out; empty where they are held.
        metadata: whether the sink needs names, units and the like of series, and not ids alone.
        keeps_series: whether it keeps the metadata of series beside their points, as far as the source gives it.
        texts: whether texts are held; otherwise they are the finding `text_values`.
        upserts: whether a point that is written again replaces the one before.
        leaves_out: whether a policy drops points without a dead letter, so that later counts cannot be compared.
        as_held: returns what the sink would hold of a chunk; None for all of it. It is pickled to the workers.
        extra_points: what a person has to know of points that a repair cannot take away; empty where it can.
    """

    not_finite: Loss | None = None
    fine_times: Loss | None = None
    grid_ns: int = 1
    statuses: str = ""
    metadata: bool = False
    keeps_series: bool = False
    texts: bool = False
    upserts: bool = True
    leaves_out: bool = False
    as_held: Callable[[Chunk], Chunk] | None = None
    extra_points: str = ""
