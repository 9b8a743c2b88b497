"""Configurations to start from, and loading from a text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.config import JobConfig
from omnia_beam.core.errors import UsageError
from omnia_beam.core.timestamps import parse_time
from omnia_beam.pipelines.config import load_config

NOW = "2024-05-06T07:08:09Z"
NOW_NS = parse_time(NOW)

GOOD = """\
name: job
source:
  kind: omnia
  base_url: http://127.0.0.1:8080/plant/timeseries/v1.7
  credential: {kind: anonymous}
  series: {ids: [a, b]}
window: {start: 2023-01-01, end: 2024-01-01}
sink: {kind: parquet, path: out/}
state: state/
"""


class Files:
    """Writes a configuration into a directory and loads it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, text: str, name: str = "job.yaml") -> str:
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def load(self, text: str = GOOD, *overrides: str, **options: Any) -> JobConfig:
        return load_config(self.write(text), overrides=overrides, now_ns=NOW_NS, **options)

    def problems(self, text: str = GOOD, *overrides: str, **options: Any) -> list[str]:
        """The lines of the error, without the directory."""
        with pytest.raises(UsageError) as caught:
            self.load(text, *overrides, **options)
        return self.lines(caught.value)

    def lines(self, error: UsageError) -> list[str]:
        return str(error).replace(f"{self.directory}/", "").splitlines()

    def fails(self, call: Callable[[str], object], text: str, name: str) -> list[str]:
        """The lines of the error of reading `text` as a file called `name`."""
        path = self.write(text, name)
        with pytest.raises(UsageError) as caught:
            call(path)
        return self.lines(caught.value)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)
