"""Servers as they are run: with TLS and passwords, with tokens, with a full disk, and such as go away in the middle."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.cli import main
from omnia_beam.core.errors import CredentialError, DestinationError, UnreachableError
from omnia_beam.io.postgresql import connection as product
from omnia_beam.io.postgresql import rows as product_rows
from omnia_beam.io.postgresql.options import PostgresqlSink
from omnia_beam.pipelines.run import run_migrate
from tests.io.postgresql.conftest import Database, Jobs, as_rows, steady
from tests.io.postgresql.server import SETTINGS, Server, as_postgres, programs, running_server
from tests.io.postgresql.test_source import stored
from tests.support import fixtures
from tests.support.leaks import find_leaks
from tests.support.pki import PrivateCa
from tests.support.sign_ins import Stage

private_ca, application_certificate, stage = fixtures.private_ca, fixtures.application_certificate, fixtures.stage

PASSWORD = "p4ss'word \\ of=the test ø"
RULES = b"""
local all all trust
hostssl all writer 127.0.0.1/32 scram-sha-256
host all writer 127.0.0.1/32 reject
host all all 127.0.0.1/32 trust
"""


@pytest.fixture(scope="module")
def secure(private_ca: PrivateCa) -> Iterator[Server]:
    """A server with a certificate of its own authority; the account `writer` needs a password, and TLS."""
    if programs() is None:
        pytest.skip("there is no PostgreSQL server on this machine: apt-get install postgresql")
    pem = private_ca.server_pem("localhost", "127.0.0.1").read_bytes()
    files = {"server.pem": pem, "pg_hba.conf": RULES}
    settings = f"{SETTINGS}ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.pem'\n"
    with running_server(settings, files) as server:
        yield server


@pytest.fixture
def plant(secure: Server) -> Iterator[Database]:
    """A database on that server, in which `writer` may make tables."""
    database = Database(secure, "plant")
    with_all = Database(secure, "postgres")
    with_all.run("create database plant")
    database.run("create role writer login")
    database.run("grant create on schema public to writer")
    with_all.run("select set_config('log_statement', 'none', false)")
    yield database
    with_all.run("drop database plant with (force)")
    with_all.run("drop role writer")


def set_password(database: Database, password: str) -> None:
    database.run("alter role writer password " + "'" + password.replace("'", "''") + "'")


pytestmark = [pytest.mark.services]


def test_tls_and_a_password_of_a_file(
    plant: Database, private_ca: PrivateCa, jobs: Jobs, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_password(plant, PASSWORD)
    secret = jobs.folder / "password"
    secret.write_text(f"{PASSWORD}\n")
    monkeypatch.setenv("PLANT_USER", "writer")
    account = {"kind": "basic", "username_env": "PLANT_USER", "password_file": str(secret)}
    bare = plant.url.replace("postgres@", "")
    sink = plant.sink(url=bare, credential=account, sslmode="verify-full", ca_bundle=str(private_ca.bundle))
    points = steady("ab", 10)
    assert run_migrate(jobs.job(jobs.csv(points), sink), context).status == "complete"
    assert plant.rows() == as_rows(points)
    assert plant.run(
        "select rolname from pg_class c join pg_roles r on r.oid = c.relowner where relname = 'points'"
    ) == [("writer",)]
    source = {**sink, "table": "points"}
    del source["create"]
    parquet = {"kind": "parquet", "path": str(jobs.folder / "out")}
    window = {"start": "2024-01-01", "end": "2024-01-02"}
    assert run_migrate(jobs.job(source, parquet, "out", window=window), context).status == "complete"
    assert stored(jobs.folder / "out") == as_rows(points)
    secret.write_text("another\n")
    with pytest.raises(CredentialError, match="password authentication failed") as refused:
        run_migrate(jobs.job(jobs.csv(points), sink, "other"), context)
    assert PASSWORD not in str(refused.value)


def test_check_says_whether_the_connection_is_encrypted(
    plant: Database, private_ca: PrivateCa, jobs: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    for mode, words in (("verify-full", "with TLS"), ("disable", "without TLS")):
        sink = plant.sink(sslmode=mode, ca_bundle=str(private_ca.bundle))
        assert main(["check", str(jobs.write(jobs.csv(steady("a", 1)), sink))]) == 0
        assert words in " ".join(capsys.readouterr().out.split())


UNTRUSTED: dict[str, tuple[dict[str, Any], str]] = {
    "authority of nobody": ({"sslmode": "verify-full"}, "certificate verify failed"),
    "no bundle": ({"sslmode": "verify-ca", "ca_bundle": "/nowhere/ca.pem"}, "sslmode and ca_bundle|does not exist"),
}


@pytest.mark.parametrize("which", UNTRUSTED)
def test_a_certificate_that_is_not_trusted_is_refused(
    plant: Database, jobs: Jobs, context: RunContext, which: str
) -> None:
    keys, words = UNTRUSTED[which]
    with pytest.raises(UnreachableError, match=words):
        run_migrate(jobs.job(jobs.csv(steady("a", 1)), plant.sink(**keys)), context)


def test_a_certificate_of_another_name_is_refused_by_verify_full_alone(
    private_ca: PrivateCa, jobs: Jobs, context: RunContext
) -> None:
    files = {"server.pem": private_ca.server_pem("db.example.com").read_bytes()}
    settings = f"{SETTINGS}ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.pem'\n"
    if programs() is None:
        pytest.skip("there is no PostgreSQL server on this machine: apt-get install postgresql")
    with running_server(settings, files) as server:
        other = Database(server, "postgres")
        keys = {"ca_bundle": str(private_ca.bundle)}
        with pytest.raises(UnreachableError, match="does not match host name"):
            run_migrate(jobs.job(jobs.csv(steady("a", 1)), other.sink(sslmode="verify-full", **keys)), context)
        job = jobs.job(jobs.csv(steady("a", 1)), other.sink(sslmode="verify-ca", **keys))
        assert run_migrate(job, context).status == "complete"


def test_a_server_without_tls_is_refused_where_tls_is_wanted(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    with pytest.raises(UnreachableError, match=r"does not support SSL.*sslmode"):
        run_migrate(jobs.job(jobs.csv(steady("a", 1)), database.sink(sslmode="require")), context)


def test_a_token_is_the_password(
    plant: Database,
    private_ca: PrivateCa,
    stage: Stage,
    jobs: Jobs,
    context: RunContext,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The server is told which token to expect: that it can check one itself is a part of Azure's service."""
    sign_in = stage.sign_in("client_secret")
    fixtures.put_into_environment(sign_in, monkeypatch)
    sink = plant.sink(
        url=plant.url.replace("postgres@", "writer@"),
        credential=sign_in.keys,
        resource_id=stage.resource_id,
        sslmode="verify-full",
        ca_bundle=str(private_ca.bundle),
    )
    options = PostgresqlSink.model_validate(sink)
    token = product.token_provider(options.credential, stage.resource_id).token() or ""
    assert stage.authority.mint.check(token, stage.resource_id)
    set_password(plant, token)
    points = steady("ab", 10)
    path = jobs.write(jobs.csv(points), sink)
    assert main(["migrate", str(path)]) == 0
    assert plant.rows() == as_rows(points)
    set_password(plant, "another")
    assert main(["check", str(path)]) == 3
    shown = capsys.readouterr()
    assert "password authentication failed" in " ".join(shown.out.split()) + shown.err
    state = [(str(each), each.read_bytes()) for each in (jobs.folder / "state").rglob("*") if each.is_file()]
    assert not find_leaks([("out", shown.out), ("err", shown.err), *state], [token, *stage.secrets(sign_in)])


@pytest.fixture
def small() -> Iterator[Database]:
    """A database whose tables lie on a file system of 8 MB."""
    if os.getuid():
        pytest.skip("only root may mount a small file system")
    if programs() is None:
        pytest.skip("there is no PostgreSQL server on this machine: apt-get install postgresql")
    with running_server() as server:
        folder = server.folder / "small"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
        done = subprocess.run(mount, check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
        try:
            shutil.chown(folder, "postgres")
            database = Database(server, "postgres")
            database.run(f"create tablespace small location '{folder}'")
            database.run("alter database postgres set default_tablespace = small")
            yield database
        finally:
            server.stop()
            subprocess.run(["umount", folder], check=True)


def test_a_full_disk_of_the_server_ends_the_run_and_what_was_committed_stays(
    small: Database, jobs: Jobs, context: RunContext
) -> None:
    points = steady(["a", "b", "c"], 50_000)
    keys = {"max_chunk_points": 10_000}
    job = jobs.job(jobs.csv(points), small.sink(commit_points=10_000), **keys)
    with pytest.raises(DestinationError, match=r"No space left on device.*the disk of the server is full"):
        run_migrate(job, context)
    [(count,)] = small.run("select count(*) from points")
    assert 0 < count < 150_000
    small.run("alter table points set tablespace pg_default")
    small.run("alter index points_pkey set tablespace pg_default")
    summary = run_migrate(job, context)
    assert summary.status == "complete"
    assert summary.windows_skipped > 0
    assert small.rows() == as_rows(points)


@pytest.mark.parametrize("how", ["restart", "farewell", "terminate"])
def test_a_source_whose_server_goes_away_while_rows_come_in_is_read_again(
    database: Database, jobs: Jobs, context: RunContext, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    database.run(
        "create table points (series_id text, time timestamptz, value float8, status int, primary key (series_id, time))"
    )
    database.run(
        "insert into points select s, timestamptz '2024-01-01Z' + i * interval '1 second', i, 192 "
        "from generate_series(0, 99999) i, unnest(array['a', 'b', 'c']) s"
    )
    ask = product_rows.query
    seen: list[str] = []

    def disturbed(connection: Any, statement: str, most: int | None = None) -> Any:
        seen.append(statement)
        if len(seen) == 2:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                reader = cursor.fetch_record_batch()
                if how == "terminate":
                    database.run(
                        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'omnia-beam'"
                    )
                else:
                    database.server.stop(signal.SIGQUIT if how == "restart" else signal.SIGINT)
                    database.server.start()
                for _ in reader:
                    pass  # what had come in already
        return ask(connection, statement, most)

    monkeypatch.setattr("omnia_beam.io.postgresql.reader.query", disturbed)
    job = jobs.job(
        database.source(),
        {"kind": "parquet", "path": str(jobs.folder / "out")},
        window={"start": "2024-01-01", "end": "2024-01-03"},
        max_chunk_points=50_000,
    )
    summary = run_migrate(job, context)
    assert (summary.status, summary.points_written) == ("complete", 300_000)
    assert len(stored(jobs.folder / "out")) == 300_000


@pytest.fixture
def standby() -> Iterator[tuple[Database, Database]]:
    """A primary, and a standby that cancels queries as soon as they are in the way of its recovery."""
    if programs() is None:
        pytest.skip("there is no PostgreSQL server on this machine: apt-get install postgresql")
    with running_server() as primary:
        copy = Server(primary.bin, primary.folder / "standby", free_port())
        copy.folder.mkdir()
        if not os.getuid():
            shutil.chown(copy.folder, "postgres")
        address = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"]
        backup = [primary.bin / "pg_basebackup", *address, "-D", copy.folder / "data", "-R", "-c", "fast"]
        subprocess.run(as_postgres(backup), check=True)
        with (copy.folder / "data" / "postgresql.conf").open("a") as file:
            file.write("max_standby_streaming_delay = 0\nwal_retrieve_retry_interval = 100\n")
        copy.start()
        try:
            yield Database(primary, "postgres"), Database(copy, "postgres")
        finally:
            copy.stop()


@pytest.mark.long
def test_a_standby_is_read_to_the_end_whatever_it_cancels(
    standby: tuple[Database, Database], jobs: Jobs, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, copy = standby
    primary.run(
        "create table points (series_id text, time timestamptz, value float8, status bigint, primary key (series_id, time))"
    )
    primary.run(
        "insert into points select s, timestamptz '2024-01-01Z' + i * interval '1 second', i, 192 "
        "from generate_series(0, 149999) i, unnest(array['a', 'b']) s"
    )
    caught_up(primary, copy)
    ask = product_rows.query
    seen: list[str] = []

    def disturbed(connection: Any, statement: str, most: int | None = None) -> Any:
        seen.append(statement)
        if len(seen) == 1:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                reader = cursor.fetch_record_batch()
                primary.run("update points set status = 192 where series_id = 'b'")
                primary.run("vacuum points")
                caught_up(primary, copy)
                for _ in reader:
                    pass
        return ask(connection, statement, most)

    monkeypatch.setattr("omnia_beam.io.postgresql.reader.query", disturbed)
    sink = {"kind": "parquet", "path": str(jobs.folder / "out")}
    window = {"start": "2024-01-01", "end": "2024-01-03"}
    summary = run_migrate(jobs.job(copy.source(), sink, window=window, max_chunk_points=200_000), context)
    assert copy.run("select sum(confl_snapshot + confl_lock) > 0 from pg_stat_database_conflicts") == [(True,)]
    assert (summary.status, summary.points_written) == ("complete", 300_000)
    into = jobs.job(jobs.csv(steady("a", 1)), copy.sink(), "in")
    with pytest.raises(DestinationError, match="it is a standby"):
        run_migrate(into, context)


def caught_up(primary: Database, copy: Database) -> None:
    [(at,)] = primary.run("select pg_current_wal_flush_lsn()::text")
    for _ in range(600):
        if copy.run("select coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false)", (at,)) == [(True,)]:
            return
        time.sleep(0.1)
    raise AssertionError("the standby does not follow")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
