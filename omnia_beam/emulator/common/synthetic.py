"""Synthetic series by specification: the values of `--synthetic`.

    default
    KIND[:series=N,days=D,step=1s,start=2024-01-01]      late also takes lateness=6h,publish=5m

| kind | what it is | default step |
|---|---|---|
| dense | one point every step, exactly | 1s |
| sparse | one point in every step, somewhere in its first nine tenths | 1m |
| bursty | a few bursts of points a step apart, then hours of nothing | 1s |
| stepped | irregular points that hold one of 64 levels for a while | 10m |
| mixed | all the above in turn, at several densities | 1s |
| late | dense, visible only some time after its timestamps (see late.py) | 1s |
| hostile | the catalogue of hostile.py; `series`, `days` and `step` do not apply | |

Series of one spec are named `<kind>-<type>-<number>`; a second spec of the same kind has `<kind>2`, and so on. The
points of a series depend on the seed, its id and its spec, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from omnia_beam.emulator.common.counterhash import hash_one, hashes, key_of, unit
from omnia_beam.emulator.common.grid import TimeGrid, grid_over
from omnia_beam.emulator.common.late import LateSeries
from omnia_beam.emulator.common.metadata import SeriesMetadata, series_id
from omnia_beam.emulator.common.points import Times
from omnia_beam.emulator.common.signal import PlantSignal, Quality, Shape
from omnia_beam.emulator.common.store import Store
from omnia_beam.emulator.common.timetext import parse_duration, parse_time

DEFAULT_START: Final = "2024-01-01"
DAY_NS: Final = 86_400_000_000_000
_SECOND_NS: Final = 1_000_000_000
_MINUTE_NS: Final = 60 * _SECOND_NS


@dataclass(frozen=True, slots=True)
class Measurement:
    """A kind of instrument: its tag letters, what it measures, in which unit, around which level."""

    letters: str
    what: str
    unit: str
    level: float
    swing: float
    noise: float


MEASUREMENTS: Final = (
    Measurement("PT", "Pressure", "bar", 84.0, 6.5, 0.4),
    Measurement("TT", "Temperature", "degC", 61.0, 9.0, 0.2),
    Measurement("FT", "Flow", "m3/h", 410.0, 55.0, 7.0),
    Measurement("LT", "Level", "%", 38.0, 22.0, 0.5),
    Measurement("VT", "Vibration", "mm/s", 1.4, 0.6, 0.9),
    Measurement("JT", "Power", "kW", 950.0, 140.0, 12.0),
    Measurement("ST", "Speed", "rpm", 2980.0, 25.0, 4.0),
    Measurement("ZT", "Valve position", "%", 0.0, 100.0, 0.0),
)


@dataclass(frozen=True, slots=True)
class SyntheticSpec:
    """One `--synthetic` argument, its durations in ns; `step_ns` 0 stands for the kind's own."""

    kind: str
    series: int = 10
    days: float = 30.0
    step_ns: int = 0
    start_ns: int = parse_time(DEFAULT_START)
    lateness_ns: int = 6 * 3600 * _SECOND_NS
    publish_ns: int = 5 * _MINUTE_NS

    @property
    def span_ns(self) -> int:
        return int(self.days * DAY_NS)


def parse_spec(text: str) -> SyntheticSpec:
    """Parse one specification. Raises ValueError, which names what cannot be used and what could be."""
    kind, _, rest = text.partition(":")
    kind = kind.strip()
    if kind not in ("default", "hostile", *_GRIDS):
        known = ", ".join(("default", *_GRIDS, "hostile"))
        raise ValueError(f"--synthetic {text!r}: unknown kind {kind!r}; known are {known}")
    spec = SyntheticSpec(kind)
    for setting in filter(None, (part.strip() for part in rest.split(","))):
        name, equals, value = setting.partition("=")
        try:
            spec = _with_setting(spec, name.strip(), value.strip())
        except ValueError as error:
            raise ValueError(f"--synthetic {text!r}: {setting!r}: {error}") from None
        if not equals:
            raise ValueError(f"--synthetic {text!r}: {setting!r} is not of the form key=value")
    return spec


def signal_of(kind: str, spec: SyntheticSpec, key: int, measurement: Measurement) -> PlantSignal:
    """Return the signal of one series; only `key` distinguishes it from others of the same spec and measurement."""
    grid = _GRIDS[kind](spec, key)
    quality = Quality(hash_one(key, 100), disturbed=30 + hash_one(key, 3) % 40)
    return PlantSignal(grid, _shape(kind, key, measurement), quality)


def add_kind(store: Store, spec: SyntheticSpec, label: str, *, facility: str, seed: int) -> None:
    """Add the series of one specification of a generated kind, named `<label>-<type>-<number>`."""
    variants = [_variant(spec, number) for number in range(len(_MIXTURE))]
    for number in range(spec.series):
        kind, own = variants[number % len(variants)]
        measurement = MEASUREMENTS[number % len(MEASUREMENTS)]
        name = f"{label}-{measurement.letters}-{number + 1:04d}"
        identity = series_id(facility, name)
        key = key_of(seed, identity)
        signal = signal_of(kind, own, key, measurement)
        metadata = SeriesMetadata(
            identity,
            name,
            facility,
            description=f"{measurement.what} {number + 1}, {kind}",
            step=kind == "stepped",
            unit=measurement.unit,
            assetId=facility,
            externalId=f"{facility}:{name}",
            source="IMS",
        )
        if spec.kind == "late":
            store.add(metadata, LateSeries(signal, hash_one(key, 102), spec.publish_ns, spec.lateness_ns))
        else:
            store.add(metadata, signal)


def _variant(spec: SyntheticSpec, number: int) -> tuple[str, SyntheticSpec]:
    """Return the kind of one series and the spec with that kind's step; `mixed` cycles through its parts."""
    if spec.kind != "mixed":
        return spec.kind, replace(spec, step_ns=spec.step_ns or _STEPS[spec.kind])
    kind, factor = _MIXTURE[number % len(_MIXTURE)]
    return kind, replace(spec, step_ns=(spec.step_ns or _STEPS["mixed"]) * factor)


def _with_setting(spec: SyntheticSpec, name: str, value: str) -> SyntheticSpec:
    if name == "series" and int(value) >= 0:
        return replace(spec, series=int(value))
    if name == "days" and float(value) > 0:
        return replace(spec, days=float(value))
    if name == "step":
        return replace(spec, step_ns=parse_duration(value))
    if name == "start":
        return replace(spec, start_ns=parse_time(value))
    if name == "lateness":
        return replace(spec, lateness_ns=parse_duration(value))
    if name == "publish":
        return replace(spec, publish_ns=parse_duration(value))
    if name in ("series", "days"):
        raise ValueError("must be positive")
    raise ValueError("unknown key; known are series, days, step, start, lateness, publish")


def _dense(spec: SyntheticSpec, key: int) -> TimeGrid:
    return grid_over(spec.start_ns, spec.span_ns, spec.step_ns, np.zeros(1, np.int64), key=key)


def _sparse(spec: SyntheticSpec, key: int) -> TimeGrid:
    jitter = spec.step_ns * 9 // 10
    return grid_over(
        spec.start_ns,
        spec.span_ns,
        spec.step_ns,
        np.zeros(1, np.int64),
        key=key,
        jitter_ns=jitter,
        jitter_unit_ns=_jitter_unit(jitter),
    )


def _bursty(spec: SyntheticSpec, key: int) -> TimeGrid:
    offsets = _burst_offsets(key % 16, spec.step_ns)
    jitter = spec.step_ns // 4
    return grid_over(
        spec.start_ns,
        spec.span_ns,
        21_600 * spec.step_ns,
        offsets,
        key=key,
        jitter_ns=jitter,
        jitter_unit_ns=_jitter_unit(jitter),
    )


def _stepped(spec: SyntheticSpec, key: int) -> TimeGrid:
    offsets = _scattered_offsets(key % 16, spec.step_ns)
    jitter = spec.step_ns // 2
    return grid_over(
        spec.start_ns,
        spec.span_ns,
        144 * spec.step_ns,
        offsets,
        key=key,
        jitter_ns=jitter,
        jitter_unit_ns=_jitter_unit(jitter),
    )


@lru_cache(maxsize=256)
def _burst_offsets(pattern: int, step_ns: int) -> Times:
    """Return five bursts of 60 to 570 points in 21,600 steps, at least an hour of steps between their starts."""
    drawn = hashes(key_of("bursts", pattern), 0, 10)
    starts = np.arange(5) * 4_320 + (drawn[:5] % np.uint64(3_600)).astype(np.int64)
    sizes = 60 + (drawn[5:] % np.uint64(511)).astype(np.int64)
    return np.concatenate([start + np.arange(size) for start, size in zip(starts, sizes, strict=True)]) * step_ns


@lru_cache(maxsize=256)
def _scattered_offsets(pattern: int, step_ns: int) -> Times:
    """Return about 50 of 144 steps, the first among them."""
    kept = hashes(key_of("scattered", pattern), 0, 144) % np.uint64(3) == 0
    kept[0] = True
    return np.flatnonzero(kept).astype(np.int64) * step_ns


def _jitter_unit(jitter_ns: int) -> int:
    """Return whole milliseconds where the jitter spans some, else the service's 100 ns, else 1 ns."""
    return 1_000_000 if jitter_ns >= 10_000_000 else 100 if jitter_ns >= 1_000 else 1


def _shape(kind: str, key: int, measurement: Measurement) -> Shape:
    """Return the values of one series around the levels of its measurement."""
    factor = 0.6 + 0.8 * unit(hash_one(key, 0))
    return Shape(
        key=hash_one(key, 101),
        level=measurement.level * factor,
        swing=measurement.swing * factor,
        swing_period_ns=DAY_NS,
        ripple=measurement.swing * 0.2,
        ripple_period_ns=(7 + hash_one(key, 1) % 53) * _MINUTE_NS,
        noise=measurement.noise,
        hold=5 + hash_one(key, 2) % 20 if kind == "stepped" else 1,
        single=key % 4 != 0,
    )


_GRIDS: Final[dict[str, Callable[[SyntheticSpec, int], TimeGrid]]] = {
    "dense": _dense,
    "sparse": _sparse,
    "bursty": _bursty,
    "stepped": _stepped,
    "late": _dense,
    "mixed": _dense,  # never called, because a mixed spec is resolved to its parts first
}
_STEPS: Final = {
    "dense": _SECOND_NS,
    "sparse": _MINUTE_NS,
    "bursty": _SECOND_NS,
    "stepped": 10 * _MINUTE_NS,
    "late": _SECOND_NS,
    "mixed": _SECOND_NS,
}
_MIXTURE: Final = (("dense", 1), ("sparse", 60), ("bursty", 1), ("sparse", 3600), ("dense", 10), ("stepped", 600))
