"""The two ends of a world: what holds points, how it can be harmed, and what it holds now, read without the product."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pyarrow.parquet as pq

from omnia_beam.core.timestamps import format_time
from omnia_beam.emulator.common.memory import add_memory_series
from omnia_beam.emulator.common.points import Points
from omnia_beam.emulator.thread import EmulatorThread

Truth = dict[str, dict[int, float]]
"""By series, the value at each time in ns."""

COPIES: Final = ("Copy of {0}", "{1} (1){2}", "{1} - Copy{2}", "{1}.bak{2}")
"""How people's programs name a copy that lies beside its file."""


class Place(Protocol):
    """One end of a job."""

    def config(self) -> dict[str, Any]:
        """As the job names it."""

    def close(self) -> None:
        """Let go of what it holds."""


def copy_beside(file: Path, draw: random.Random) -> Path | None:
    """A copy of a file under one of the usual names; None where it has one."""
    copy = file.with_name(draw.choice(COPIES).format(file.name, file.stem, file.suffix))
    if copy.exists():
        return None
    shutil.copyfile(file, copy)
    return copy


_EMULATOR: list[EmulatorThread] = []


def emptied_emulator() -> EmulatorThread:
    """The emulator of this process, without series: one serves all worlds, one after another."""
    if not _EMULATOR:
        _EMULATOR.append(EmulatorThread().start())
    store = _EMULATOR[0].store
    for each in list(store.listed()):
        store.remove(each)
    return _EMULATOR[0]


def stop_emulator() -> None:
    """Behind the last world."""
    while _EMULATOR:
        _EMULATOR.pop().stop()


def service(url: str, **keys: Any) -> dict[str, Any]:
    """A service of this machine, as fast as it goes."""
    rate = {"requests_per_second": None, "max_in_flight": 2}
    retry = {"attempts": 3, "first_wait": "10ms", "max_wait": "20ms"}
    return {"kind": "omnia", "base_url": url, "credential": {"kind": "anonymous"}, "rate": rate, "retry": retry, **keys}


class OmniaSource:
    """A service with the series a, b and c."""

    def __init__(self) -> None:
        self.emulator = emptied_emulator()
        add_memory_series(self.emulator.store, {name: ([], []) for name in "abc"}, facility="EMU")

    def close(self) -> None:
        return None

    def config(self) -> dict[str, Any]:
        return service(self.emulator.url, series={"search": {"name": "*"}})

    def put(self, name: str, points: dict[int, float]) -> None:
        times = np.array(sorted(points), np.int64)
        values = np.array([points[t] for t in sorted(points)])
        times -= times % 100  # what the service can hold
        self._series(name).write(Points(times, values, np.full(len(times), 192, np.uint32)))

    def points(self) -> Truth:
        found = {}
        for each in self.emulator.store.listed():
            held = each.points(None, None)
            found[each.id] = dict(zip(held.times.tolist(), held.values.tolist(), strict=True))
        return found

    def shrink(self, draw: random.Random) -> None:
        """Some points of one series go."""
        series = self._series(draw.choice("ab"))
        times = series.points(None, None).times.tolist()
        if len(times) > 4:
            at = draw.randrange(len(times) - 3)
            series.delete(times[at], times[at + draw.randrange(1, 3)])

    def archive(self, draw: random.Random) -> None:
        """All points of one series go."""
        self._series(draw.choice("abc")).delete(None, None)

    def _series(self, name: str) -> Any:
        return next(each for each in self.emulator.store.listed() if each.metadata.name == name)


class CsvSource:
    """Files of one series each, more with each change; the later name wins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.files: dict[str, tuple[str, dict[int, float]]] = {}
        self.made = 0

    def close(self) -> None:
        return None

    def config(self) -> dict[str, Any]:
        return {"kind": "csv", "path": str(self.folder / "*.csv")}

    def put(self, name: str, points: dict[int, float]) -> None:
        self.made += 1
        self._write(f"{self.made:04d}.csv", name, {t - t % 100: v for t, v in points.items()})

    def points(self) -> Truth:
        found: Truth = {}
        for file in sorted(self.files):
            name, points = self.files[file]
            found.setdefault(name, {}).update(points)
        return found

    def shrink(self, draw: random.Random) -> None:
        """A file is cut short."""
        file = draw.choice(sorted(self.files))
        name, points = self.files[file]
        if len(points) > 3:
            times = sorted(points)[: -draw.randrange(1, 3)]
            self._write(file, name, {t: points[t] for t in times})

    def archive(self, draw: random.Random) -> None:
        """A file goes, unless it is the last one."""
        if len(self.files) > 1:
            file = draw.choice(sorted(self.files))
            del self.files[file]
            (self.folder / file).unlink()

    def copy(self, draw: random.Random) -> None:
        """A file is copied beside itself: it is one more file of the source, and the later name wins."""
        file = draw.choice(sorted(self.files))
        if made := copy_beside(self.folder / file, draw):
            self.files[made.name] = self.files[file]

    def _write(self, file: str, name: str, points: dict[int, float]) -> None:
        self.files[file] = name, points
        lines = [f"{format_time(t)},{v!r}" for t, v in sorted(points.items())]
        (self.folder / file).write_text("\n".join([f"time,{name}", *lines]) + "\n")


class FileTarget:
    """A folder of Parquet files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.strays: dict[Path, bytes] = {}
        self._older: dict[Path, bytes] = {}

    def close(self) -> None:
        return None

    def config(self) -> dict[str, Any]:
        return {"kind": "parquet", "path": str(self.folder)}

    def points(self) -> dict[str, list[tuple[int, float]]]:
        found: dict[str, list[tuple[int, float]]] = {}
        for path in self._files():
            table = pq.ParquetFile(path).read()
            times = table["time"].cast("int64").to_pylist()
            for name, t, v in zip(table["series_id"].to_pylist(), times, table["value"].to_pylist(), strict=True):
                found.setdefault(name, []).append((t, v))
        return found

    def harm(self, draw: random.Random) -> str:
        """A file is lost, cut short, has another time, or is put back as it was some while ago; which of them."""
        if not (files := self._files()):
            return "nothing"
        file = draw.choice(files)
        kind = draw.choice(["lost", "lost", "cut short", "another time", "put back"])
        if kind == "lost":
            file.unlink()
        elif kind == "cut short":
            file.write_bytes(file.read_bytes()[:-3])
        elif kind == "another time":
            os.utime(file, ns=(0, draw.randrange(10**18)))
        elif self._older:
            file = draw.choice(sorted(self._older))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self._older[file])
        return kind

    def remember(self) -> None:
        """What a backup holds that is put back later."""
        self._older |= {file: file.read_bytes() for file in self._files()}

    def copy(self, draw: random.Random) -> None:
        """A file is copied beside itself, as people do; the job did not write it and must not touch it."""
        if files := self._files():
            made = copy_beside(draw.choice(files), draw)
            if made is not None:
                self.strays[made] = made.read_bytes()

    def harmed_strays(self) -> list[str]:
        """Strays that are no longer what they were."""
        return [each.name for each, held in self.strays.items() if not each.exists() or each.read_bytes() != held]

    def reset(self) -> None:
        """Everything is lost."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.strays.clear()

    def _files(self) -> list[Path]:
        return sorted(each for each in self.folder.rglob("*.parquet") if each not in self.strays)


class ServiceTarget:
    """A service; series are made by the job."""

    strays: Final[tuple[()]] = ()

    def __init__(self) -> None:
        self.emulator = emptied_emulator()

    def close(self) -> None:
        return None

    def config(self) -> dict[str, Any]:
        return service(self.emulator.url, create_missing={"facility": "F", "name": "{name}"})

    def points(self) -> dict[str, list[tuple[int, float]]]:
        found = {}
        for each in self.emulator.store.listed():
            held = each.points(None, None)
            found[each.metadata.name] = list(zip(held.times.tolist(), held.values.tolist(), strict=True))
        return found

    def harm(self, draw: random.Random) -> str:
        """A series is deleted, or some of its points; which of them."""
        if not (all_of := list(self.emulator.store.listed())):
            return "nothing"
        series = draw.choice(all_of)
        times = series.points(None, None).times.tolist()
        if draw.random() < 0.5 or len(times) < 5:
            self.emulator.store.remove(series)
            return "series deleted"
        at = draw.randrange(len(times) - 3)
        series.delete(times[at], times[at + 2])
        return "points deleted"

    def remember(self) -> None:
        """Nobody puts a service's points back."""

    def harmed_strays(self) -> list[str]:
        """A service has no files."""
        return []

    def reset(self) -> None:
        """Everything is lost."""
        for each in list(self.emulator.store.listed()):
            self.emulator.store.remove(each)
