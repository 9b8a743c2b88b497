"""The keys of this kind, and the names and rows that its statements are made of; no server is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.errors import UsageError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.postgresql.copy_rows import copy_rows
from omnia_beam.io.postgresql.names import TableName, identifier
from omnia_beam.io.postgresql.source import matches
from omnia_beam.io.postgresql.table import TableForm
from tests.io.postgresql.conftest import Jobs

BASIC = {"kind": "basic", "username_env": "PGUSER", "password_env": "PGPASSWORD"}
TOKEN = {"kind": "managed_identity"}
CSV = {"kind": "csv", "path": "in.csv"}


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"url": "postgresql://me:secret-of-mine@host/plant"}, "(not shown)"),
        ({"url": "postgresql://host"}, "is not the URL of a PostgreSQL database"),
        ({"url": "mysql://host/plant"}, "is not the URL of a PostgreSQL database"),
        ({"url": "postgresql://host/plant?sslmode=disable"}, "TLS is set by sslmode"),
        ({"table": "a.b.c"}, "is not the name of a table"),
        ({"credential": {"kind": "kerberos"}}, "is not for PostgreSQL"),
        ({"credential": TOKEN}, "needs the user before the host"),
        ({"credential": TOKEN, "url": "postgresql://me@host/plant", "sslmode": "prefer"}, "could send the token"),
    ],
)
def test_what_cannot_be_meant_is_refused(jobs: Jobs, keys: dict[str, Any], text: str) -> None:
    sink = {"kind": "postgresql", "url": "postgresql://host/plant", "credential": BASIC, "table": "points", **keys}
    with pytest.raises(UsageError) as refused:
        jobs.job(CSV, sink)
    assert text in str(refused.value)
    assert "secret-of-mine" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "given", "mode"),
    [
        ("postgresql://host/plant", None, "verify-full"),
        ("postgresql://127.0.0.1/plant", None, "prefer"),
        ("postgresql://[::1]:5433/plant", None, "prefer"),
        ("postgresql://localhost/plant", "verify-full", "verify-full"),
        ("postgresql://host/plant", "require", "require"),
    ],
)
def test_the_server_proves_who_it_is_unless_it_is_this_machine(
    jobs: Jobs, url: str, given: str | None, mode: str
) -> None:
    keys = {"url": url, "credential": BASIC, "table": "points"} | ({} if given is None else {"sslmode": given})
    assert jobs.job(CSV, {"kind": "postgresql", **keys}).sink.mode == mode  # type: ignore[attr-defined]  # of this kind


def test_the_scope_is_the_place_and_what_is_stored_and_no_way_to_it(jobs: Jobs) -> None:
    sink = {"kind": "postgresql", "url": "postgresql://host/plant", "credential": BASIC, "table": "points"}

    def parts(**keys: Any) -> dict[str, str]:
        return jobs.job(CSV, {**sink, **keys}).sink.identity()

    same = parts(
        url="postgresql://me@host:5432/plant/", credential={"kind": "anonymous"}, sslmode="require", create=True
    )
    assert same == parts() == parts(commit_points=5, default_status=1)
    assert parts(time="bigint_ns") != parts() != parts(time_resolution="truncate")
    assert parts(table="others") != parts() != parts(url="postgresql://host:5433/plant")


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_name_of_a_table_is_read_back_from_its_sql(name: str) -> None:
    assert TableName.parse(identifier(name)) == TableName(None, name)
    assert TableName.parse(f"{identifier(name)}.{identifier(name)}") == TableName(name, name)


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("27*", "27PT1", True),
        ("27*", "127", False),
        ("a?", "ab", False),
        ("a?", "a?", True),
        ("[a]*", "[a]b", True),
        ("*", "", True),
    ],
)
def test_only_a_star_has_a_meaning_in_a_pattern(pattern: str, name: str, fits: bool) -> None:
    assert matches(pattern, name) is fits


def test_rows_are_in_the_binary_form_to_the_bit() -> None:
    """By hand from PostgreSQL's documentation of COPY: count of columns, then the length and the bytes of each."""
    nan = np.array([0x7FF800000000BEEF], np.uint64).view(np.float64)
    points = Points(np.array([946_684_800_000_001_000]), nan, np.array([2**32 - 1], np.uint32))
    chunk = Chunk.from_points(ChunkKey(("ø",), TimeRange(0, 2**62)), {"ø": points})
    (row,) = copy_rows(chunk, TableForm(TableName(None, "t"), "timestamptz", 192))
    assert row.hex(" ", 2) == (
        "0004 0000 0002 c3b8 0000 0008 0000 0000 0000 0001 0000 0008 7ff8 0000 0000 beef 0000 0008 0000 0000 ffff ffff"
    )
