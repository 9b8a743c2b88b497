"""The key `storage:`: how object stores are reached, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from omnia_beam.config import JobConfig, scope_parts
from omnia_beam.core.errors import UsageError
from omnia_beam.pipelines.config import load_config
from omnia_beam.store import Place

JOB: dict[str, Any] = {
    "name": "job",
    "source": {"kind": "csv", "path": ["az://lake/in/*.csv", "/data/x.csv"]},
    "sink": {"kind": "parquet", "path": "az://lake/out"},
    "state": "s3://bucket/state",
}
ENTRY = {"for": "az://lake/", "account": "acme", "account_key_env": "LAKE_KEY"}


def load(folder: Path, **more: Any) -> JobConfig:
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump({**JOB, **more}))
    return load_config(str(path), now_ns=0)


def test_every_place_of_a_job_gets_its_settings(tmp_path: Path) -> None:
    config = load(tmp_path, storage=[ENTRY, {"for": "s3://", "region": "eu-north-1"}])
    source: Any = config.source
    sink: Any = config.sink
    assert isinstance(source.path[0], Place)
    assert isinstance(sink.path, Place)
    assert isinstance(config.state, Place)
    assert source.path[0].entry == sink.path.entry != config.state.entry
    assert source.path[1] == "/data/x.csv"
    assert config.state.entry is not None
    assert config.state.entry.region == "eu-north-1"
    placed = config.placed("az://lake/report")
    assert isinstance(placed, Place)
    assert placed.entry == sink.path.entry


def test_one_entry_may_stand_without_its_list(tmp_path: Path) -> None:
    assert load(tmp_path, storage=ENTRY).storage == load(tmp_path, storage=[ENTRY]).storage


def test_endpoint_and_credential_are_no_part_of_the_scope(tmp_path: Path) -> None:
    first = scope_parts(load(tmp_path, storage=ENTRY))
    other = {"for": "az://", "account": "acme", "endpoint": "http://127.0.0.1:10000/acme", "anonymous": True}
    assert scope_parts(load(tmp_path, storage=other)) == first
    assert first["sink"] == "parquet az://acme/lake/out"
    spelled = {**JOB["sink"], "path": "abfss://lake@acme.dfs.core.windows.net/out"}
    assert scope_parts(load(tmp_path, storage=ENTRY, sink=spelled)) == first


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"for": "azfs://lake"}, "is the beginning of places in their short spelling"),
        ({"account": "acme"}, "storage.for: required key is missing"),
        ({**ENTRY, "sas_token_env": "SAS"}, "excludes account_key_env"),
        ({"for": "s3://", "account": "acme"}, "is a key of Azure"),
        ({"for": "gs://", "region": "x"}, "is a key of S3"),
        ({"for": "s3://", "endpoint": "http://storage.example.com"}, "plain http would carry keys"),
        ({"for": "s3://", "key": "x"}, "unknown key"),
        (
            {"for": "az://", "account_key_env": "c2VjcmV0IGtleSBvZiBhbiBhY2NvdW50Cg=="},
            "must be the name of an environment",
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, entry: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        load(tmp_path, storage=entry)
    assert "c2VjcmV0" not in str(caught.value)


@pytest.mark.parametrize("path", ["hdfs://host/x", "nosuch://x/y"])
def test_stores_that_are_not_known(tmp_path: Path, path: str) -> None:
    with pytest.raises(UsageError, match=r"job.yaml:\d+:\d+: state: .*(HDFS|no store is known)"):
        load(tmp_path, state=path, storage=ENTRY)


def test_an_account_that_nobody_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(UsageError, match="the storage account is not known"):
        load(tmp_path)
