"""Every registered kind as a place; the example of another package is installed as long as these tests run."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from omnia_beam.config import JobConfig
from omnia_beam.pipelines.config import load_config
from tests.io.contract.place import Place, places
from tests.support.other_kind import installed


@pytest.fixture(autouse=True, scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The kind of the example, known like any other."""
    with installed(tmp_path_factory.mktemp("site")):
        yield


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    """Makes an open place of a kind; a name tells two of them apart. One that is `only_named` may have no server behind it."""
    opened: list[Place] = []
    numbers = itertools.count()

    def make(kind: str, name: str = "", *, only_named: bool = False) -> Place:
        folder = tmp_path / (name or f"at{next(numbers)}")
        folder.mkdir()
        place = places()[kind](folder)
        if only_named and place.needs_server:
            return place
        place.open()
        opened.append(place)
        return place

    yield make
    for place in opened:
        place.close()


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., JobConfig]:
    """Writes and loads the job that copies from one place to another."""

    def load(source: Place, sink: Place, **keys: Any) -> JobConfig:
        return load_config(str(write_job(tmp_path, source, sink, **keys)), now_ns=time.time_ns())

    return load


def write_job(folder: Path, source: Place, sink: Place, **keys: Any) -> Path:
    """Write the job that copies from one place to another; without a window, all of the week around 1970."""
    plain = {
        "name": "job",
        "source": source.source(),
        "window": {"start": "1969-12-25", "end": "1970-01-08"},
        "sink": sink.sink(),
        "state": str(folder / "state"),
        "accept": [{"nan_values": {"at_most": 1_000}}, "infinite_values", "time_resolution"],
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump({**plain, **sink.into(), **keys}))
    return path
