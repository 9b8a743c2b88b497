"""The demonstration's plant: 60 series of two facilities, 30 days, about ten million points."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from omnia_beam.emulator.common.counterhash import key_of
from omnia_beam.emulator.common.metadata import SeriesMetadata, series_id
from omnia_beam.emulator.common.store import Store
from omnia_beam.emulator.common.synthetic import MEASUREMENTS, SyntheticSpec, signal_of
from omnia_beam.emulator.common.timetext import NS_PER_SECOND

_SECTIONS: Final = (
    # kind, step in seconds, how many series
    ("dense", 1, 2),
    ("dense", 10, 10),
    ("sparse", 60, 28),
    ("bursty", 1, 8),
    ("stepped", 600, 12),
)
_PLACES: Final = ("separator inlet", "export compressor", "well A-12", "produced water", "gas lift manifold")


def add_plant(store: Store, *, seed: int) -> None:
    """Add the plant: its series have names such as 1191-PT-1001 and begin on 2024-01-01."""
    number = 0
    for kind, step_s, count in _SECTIONS:
        spec = replace(SyntheticSpec(kind), step_ns=step_s * NS_PER_SECOND)
        for _ in range(count):
            facility = ("1191", "1219")[number % 2]
            measurement = MEASUREMENTS[-1] if kind == "stepped" else MEASUREMENTS[number % (len(MEASUREMENTS) - 1)]
            name = f"{facility}-{measurement.letters}-{1001 + number // 2}"
            identity = series_id(facility, name)
            metadata = SeriesMetadata(
                identity,
                name,
                facility,
                description=f"{measurement.what}, {_PLACES[number % len(_PLACES)]}",
                step=kind == "stepped",
                unit=measurement.unit,
                assetId=facility,
                externalId=f"PI:{name}",
                source="IMS",
                metadata={"section": kind},
            )
            store.add(metadata, signal_of(kind, spec, key_of(seed, identity), measurement))
            number += 1
