"""Paths as people write them: `~` is the home directory, and a variable is nobody's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnia_beam.core.errors import UsageError
from omnia_beam.io.files.options import CsvSource, ParquetSink

from .conftest import Files

JOB = "{name: n, source: {kind: csv, path: %s}, sink: {kind: parquet, path: %s}, state: %s}"


def test_the_home_directory(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    config = files.load(JOB % ('["~/in/*.csv", "x/~/y.csv"]', '"~/out/"', '"~"'))
    assert isinstance(config.source, CsvSource)
    assert isinstance(config.sink, ParquetSink)
    assert config.source.path == ("/home/somebody/in/*.csv", "x/~/y.csv")
    assert (config.sink.path, config.state) == ("/home/somebody/out/", "/home/somebody")


@pytest.mark.parametrize("path", ["$STATE_DIR/job", "${STATE_DIR}/job", "gs://bucket/$RUN", "a/$b", "~/$c"])
@pytest.mark.parametrize("key", ["source.path", "sink.path", "state"])
def test_a_variable_is_refused_with_the_cure(files: Files, key: str, path: str, tmp_path: Path) -> None:
    keys = {"source.path": "in.csv", "sink.path": "out", "state": "s"} | {key: path}
    with pytest.raises(UsageError) as caught:
        files.load(JOB % tuple(f'"{value}"' for value in keys.values()))
    (line,) = str(caught.value).splitlines()
    assert f"{key}: holds a variable ($NAME)" in line or f"{key}.0: holds a variable ($NAME)" in line
    assert "--set KEY=" in line


def test_a_sign_that_is_no_variable_stays(files: Files) -> None:
    config = files.load(JOB % ('"cost in $.csv"', '"a$1"', "s$"))
    assert (config.sink.path, config.state) == ("a$1", "s$")  # type: ignore[union-attr]  # of kind parquet


def test_a_secret_by_mistake_is_not_shown(files: Files) -> None:
    text = """
name: n
source:
  kind: omnia
  environment: dev
  credential: {kind: client_secret, client_secret_file: pa$Sw0rd}
  series: {ids: [a]}
sink: {kind: parquet, path: out}
state: s
"""
    with pytest.raises(UsageError) as caught:
        files.load(text)
    assert "Sw0rd" not in str(caught.value)
    assert "client_secret_file: holds a variable" in str(caught.value)
