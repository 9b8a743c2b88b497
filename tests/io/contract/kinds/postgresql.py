"""A table of PostgreSQL, on a server of this machine."""

from __future__ import annotations

import atexit
import itertools
import os
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from omnia_beam.io.postgresql.options import TableColumns
from tests.io.contract.place import RECORD, Place
from tests.pipelines.conftest import Rows, rows

READ, WRITTEN = "readings", "points"
"""The table of the source, in which a time may come twice, and the one that the sink makes."""

_numbers = itertools.count()


@cache
def server_base() -> str:
    """The URL of a server without a database; started by the first that asks, stopped when Python ends."""
    pytest.importorskip("psycopg", reason="the extra postgresql is not installed")
    pytest.importorskip("adbc_driver_postgresql", reason="the extra postgresql is not installed")
    from tests.io.postgresql.server import programs, running_server

    if programs() is None:
        pytest.skip("there is no PostgreSQL server on this machine: apt-get install postgresql")
    stack, owner = ExitStack(), os.getpid()
    server = stack.enter_context(running_server())
    atexit.register(lambda: stack.close() if os.getpid() == owner else None)
    return server.base


class PostgresqlPlace(Place):
    """A database of its own with two tables of `bigint` times. Every bit of a value is kept."""

    kind = "postgresql"
    needs_server = True
    steps = (
        "omnia_beam.io.postgresql.transaction:TableWriter._copy",
        "omnia_beam.io.postgresql.transaction.note_windows",
        "omnia_beam.io.postgresql.transaction:TableWriter._transaction",
        *RECORD,
    )
    _connection: ClassVar = {
        "url": "postgresql://127.0.0.1:9/other",
        "credential": {"kind": "default"},
        "table": "other",
        "sslmode": "require",
        "ca_bundle": "ca.pem",
        "resource_id": "r",
    }
    source_changes: ClassVar = {
        "columns": TableColumns(value="v"),
        "layout": "wide",
        "time_unit": "ms",
        "timezone": "Europe/Oslo",
        "default_status": 0,
        "series": {"ids": ["A"]},
        **_connection,
    }
    sink_changes: ClassVar = {
        "create": False,
        "time": "bigint_ns",
        "time_resolution": "truncate",
        "default_status": 0,
        "text": True,
        "commit_points": 10,
        **_connection,
    }
    sink_base: ClassVar = {"time": "timestamptz"}  # the other one holds every time, so that there is nothing to cut off

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._name = f"contract_{next(_numbers)}"
        self._base = "postgresql://postgres@127.0.0.1:9"  # nobody is there before it is opened

    def open(self) -> None:
        self._base = server_base()
        self._run(f"create database {self._name}", database="postgres")

    def source(self) -> dict[str, Any]:
        return self._place(READ)

    def sink(self) -> dict[str, Any]:
        return {**self._place(WRITTEN), "create": True, "time": "bigint_ns"}

    def put(self, points: Mapping[str, Rows]) -> None:
        import psycopg

        with psycopg.connect(f"{self._base}/{self._name}") as connection:
            connection.execute(
                f"create table if not exists {READ} (series_id text, time bigint, value float8, status bigint)"
            )
            for name, each in points.items():
                connection.execute(f"delete from {READ} where series_id = %s", (name,))
                values = np.ascontiguousarray(each["bits"]).view(np.float64).tolist()
                lines = zip(each["time"].tolist(), values, each["status"].tolist(), strict=True)
                with connection.cursor() as cursor:
                    # %b sends the value's own bits, a NaN's too
                    cursor.executemany(
                        f"insert into {READ} values (%s, %s, %b, %s)", [(name, at, *rest) for at, *rest in lines]
                    )

    def held(self) -> dict[str, Rows]:
        found: dict[str, list[tuple[int, float, int]]] = {}
        for table in (READ, WRITTEN):
            if self._run("select 1 from pg_tables where tablename = %s", (table,)):
                for name, at, value, status in self._run(
                    f"select series_id, time, float8send(value), status from {table}"
                ):
                    point = at, float(np.frombuffer(value, ">f8")[0]), status
                    found.setdefault(name, []).append(point)
        return {name: rows(*zip(*points, strict=True)) for name, points in found.items()}

    def forget(self, name: str) -> None:
        self._run(f"delete from {READ} where series_id = %s", (name,))

    def spoil(self, name: str, time_ns: int) -> None:
        self._run(f"update {WRITTEN} set value = value + 1 where series_id = %s and time = %s", (name, time_ns))

    def _place(self, table: str) -> dict[str, Any]:
        return {
            "kind": "postgresql",
            "url": f"{self._base}/{self._name}",
            "credential": {"kind": "anonymous"},
            "table": table,
        }

    def _run(self, statement: str, parameters: tuple[Any, ...] = (), database: str | None = None) -> list[Any]:
        import psycopg

        with psycopg.connect(f"{self._base}/{database or self._name}", autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []


PLACE = PostgresqlPlace
