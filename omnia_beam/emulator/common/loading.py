"""Filling a store from everything that the command line and a program can name: specifications, files, arrays."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from omnia_beam.emulator.common.files import load_files
from omnia_beam.emulator.common.hostile import add_hostile
from omnia_beam.emulator.common.memory import add_memory_series
from omnia_beam.emulator.common.plant import add_plant
from omnia_beam.emulator.common.store import Clock, Store
from omnia_beam.emulator.common.synthetic import add_kind, parse_spec


def load_store(
    data: Iterable[str] = (),
    synthetic: Iterable[str] = (),
    *,
    facility: str = "EMU",
    seed: int = 0,
    series: Mapping[str, Any] | None = None,
    now: Clock = time.time_ns,
) -> Store:
    """Return the store that an emulator started with the same arguments would serve.

    Args:
        data: files and globs.
        synthetic: specifications as on the command line.
        facility: the facility of series that name none.
        seed: the seed of synthetic points.
        series: names to `(times, values[, statuses])`, times in ns, or to a dict of metadata fields with such a tuple
            under `points`.
        now: the clock, ns since the Unix epoch.

    Raises:
        ValueError, OSError: an argument cannot be used; the message names it.
    """
    store = Store(now)
    add_synthetic(store, synthetic, facility=facility, seed=seed)
    load_files(store, list(data), facility=facility)
    add_memory_series(store, series or {}, facility=facility)
    return store


def add_synthetic(store: Store, specs: Iterable[str], *, facility: str, seed: int) -> None:
    """Add the series of these specifications.

    Raises:
        ValueError: a specification cannot be read.
    """
    seen: Counter[str] = Counter()
    for text in specs:
        spec = parse_spec(text)
        seen[spec.kind] += 1
        label = spec.kind if seen[spec.kind] == 1 else f"{spec.kind}{seen[spec.kind]}"
        if spec.kind == "default":
            add_plant(store, seed=seed)
        elif spec.kind == "hostile":
            add_hostile(store, label, facility=facility, seed=seed)
        else:
            add_kind(store, spec, label, facility=facility, seed=seed)
