"""Places that get in each other's way: every way of writing them is looked through."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from omnia_beam.core.errors import UsageError
from omnia_beam.pipelines.config import load_config


def load(folder: Path, source: str, sink: str, state: str = "st", kind: str = "parquet") -> Any:
    job = {
        "name": "job",
        "source": {"kind": kind, "path": source},
        "sink": {"kind": kind, "path": sink},
        "state": state,
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    return load_config(str(path), now_ns=0)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "deep").mkdir(parents=True)
    os.symlink(tmp_path / "in", tmp_path / "link")
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "in" / "elsewhere")


@pytest.mark.parametrize(
    ("source", "sink"),
    [
        ("in/**/*.parquet", "in/copy"),
        ("in/**/*", "in/copy/"),
        ("**/*.parquet", "out"),
        ("in/../**/*.parquet", "out"),
        ("link/**/*.parquet", "in/copy"),
        ("in/**/*.parquet", "link/copy"),
        ("in/**/*.parquet", "real/copy"),
        ("in/*/*/*/*.parquet", "in/copy"),
        ("in", "in/copy"),
        ("in/cop[xy]/**/*.parquet", "in/copy"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_destination_that_the_source_takes_in_is_refused(tmp_path: Path, source: str, sink: str, kind: str) -> None:
    with pytest.raises(UsageError, match="is where the source reads"):
        load(tmp_path, source, sink, kind=kind)
    with pytest.raises(UsageError, match="is where the source reads"):
        load(tmp_path, str(tmp_path / source), str(tmp_path / sink), kind=kind)


@pytest.mark.parametrize(
    ("source", "sink", "state"),
    [
        ("in/*.parquet", "in/copy", "st"),
        ("in/**/*.parquet", "in/_copy", "in/.state"),
        ("in/**/*.parquet", "out", "out/_state"),
        ("in/**/*.parquet", "out", "out/.hidden/state"),
        ("in/**/*.parquet", "inner", "st"),
        ("in/a?/**/*.parquet", "in/copy", "st"),
    ],
)
def test_places_beside_each_other_are_taken(tmp_path: Path, source: str, sink: str, state: str) -> None:
    assert load(tmp_path, source, sink, state).name == "job"


@pytest.mark.parametrize("state", ["out", "out/state", "out/a/../b", "./out/deep/er"])
def test_a_state_inside_the_destination_is_refused(tmp_path: Path, state: str) -> None:
    with pytest.raises(UsageError, match="is inside the destination"):
        load(tmp_path, "in/*.parquet", "out", state)


def test_a_state_inside_the_destination_by_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out" / "x").mkdir(parents=True)
    os.symlink(tmp_path / "out" / "x", tmp_path / "side")
    with pytest.raises(UsageError, match="is inside the destination"):
        load(tmp_path, "in/*.parquet", "out", "side/state")


def test_a_state_that_the_source_takes_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^.*state: .* is where the source reads"):
        load(tmp_path, "in/**/*.parquet", "out", "in/state")
