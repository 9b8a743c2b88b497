"""A server for the session, a database for each test, and jobs that read and write its tables."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from omnia_beam.config import JobConfig
from omnia_beam.pipelines.config import load_config
from tests.io.postgresql.server import Server, programs, running_server

psycopg = pytest.importorskip("psycopg", reason="the extra postgresql is not installed")
pytest.importorskip("adbc_driver_postgresql", reason="the extra postgresql is not installed")

DAY = 86_400 * 10**9
T0 = 1_704_067_200 * 10**9  # 2024-01-01
_numbers = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here wants a server."""
    missing = pytest.mark.skip(reason="there is no PostgreSQL server on this machine: apt-get install postgresql")
    for item in items:
        if Path(__file__).parent in item.path.parents and "server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.services)
            if programs() is None:
                item.add_marker(missing)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@dataclass
class Database:
    """A database of its own for one test."""

    server: Server
    name: str

    @property
    def url(self) -> str:
        return f"{self.server.base}/{self.name}"

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Carry out a statement, and return its rows."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def sink(self, **keys: Any) -> dict[str, Any]:
        return {
            "kind": "postgresql",
            "url": self.url,
            "credential": {"kind": "anonymous"},
            "table": "points",
            "create": True,
            **keys,
        }

    def source(self, **keys: Any) -> dict[str, Any]:
        return {"kind": "postgresql", "url": self.url, "credential": {"kind": "anonymous"}, "table": "points", **keys}

    def rows(self, time: str = "timestamptz", table: str = "points") -> list[tuple[str, int, bytes, int]]:
        """All rows, sorted: series, ns, the bits of the value, status."""
        ns = "time" if time == "bigint_ns" else "(extract(epoch from time) * 1000000)::bigint * 1000"
        return self.run(f"select series_id, {ns}, float8send(value), status from {table} order by 1, 2")


@pytest.fixture
def database(server: Server) -> Database:
    name = f"test_{next(_numbers)}"
    with psycopg.connect(f"{server.base}/postgres", autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return Database(server, name)


@dataclass
class Jobs:
    """Writes CSV sources and configurations below one folder."""

    folder: Path

    def csv(self, points: dict[str, list[tuple[int, float, int]]], name: str = "in.csv") -> dict[str, Any]:
        """A source of a long file of (ns, value, status) by series."""
        lines = [f"{series},{ns},{value!r},{status}" for series, rows in points.items() for ns, value, status in rows]
        path = self.folder / name
        path.write_text("\n".join(["series_id,time,value,status", *lines]) + "\n")
        return {"kind": "csv", "path": str(path), "layout": "long", "time_format": "epoch_ns"}

    def write(self, source: dict[str, Any], sink: dict[str, Any], name: str = "job", **keys: Any) -> Path:
        """The file of a configuration."""
        job = {"name": name, "source": source, "sink": sink, "state": str(self.folder / "state"), **keys}
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(job))
        return path

    def job(self, source: dict[str, Any], sink: dict[str, Any], name: str = "job", **keys: Any) -> JobConfig:
        return load_config(str(self.write(source, sink, name, **keys)), now_ns=time.time_ns())


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path)


def bits(value: float) -> bytes:
    return np.array(value, ">f8").tobytes()


def steady(
    series: Sequence[str], count: int, step_ns: int = 10**9, start: int = T0
) -> dict[str, list[tuple[int, float, int]]]:
    """So many points of each series, all different."""
    return {name: [(start + i * step_ns, i + at / 7, 192) for i in range(count)] for at, name in enumerate(series)}


def as_rows(points: dict[str, list[tuple[int, float, int]]]) -> list[tuple[str, int, bytes, int]]:
    return sorted((name, ns, bits(value), status) for name, rows in points.items() for ns, value, status in rows)
