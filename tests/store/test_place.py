"""The spellings of places, the settings that belong to them, and what is refused."""

from __future__ import annotations

import pickle

import pytest

from omnia_beam.core.errors import UsageError
from omnia_beam.store import Place, StorageEntry, store_of, within
from omnia_beam.store.client import Container
from omnia_beam.store.place import Location, identity_of, with_settings

SPELLINGS = [
    "abfss://lake@acme.dfs.core.windows.net/raw/x",
    "https://acme.blob.core.windows.net/lake/raw/x",
    "https://acme.dfs.core.windows.net/lake/raw/x/",
    "azfs://acme/lake/raw/x",
]


@pytest.mark.parametrize("path", SPELLINGS)
def test_all_spellings_of_azure_are_one_place(path: str) -> None:
    assert identity_of(path) == "az://acme/lake/raw/x"
    assert Location.of(path).short == "az://lake/raw/x"
    assert Container.of(Location.of(path)).account == "acme"


def test_the_account_comes_from_settings_or_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    assert identity_of(with_settings("az://lake/x", [StorageEntry("az://", account="acme")])) == "az://acme/lake/x"
    with pytest.raises(UsageError, match=r"az://lake/x: the storage account is not known: give storage: \{for"):
        identity_of("az://lake/x")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "other")
    assert identity_of("az://lake/x/") == "az://other/lake/x"


def test_the_longest_prefix_wins_whatever_the_spelling() -> None:
    entries = [StorageEntry(prefix) for prefix in ("az://", "az://lake/raw/", "az://lake/", "s3://")]
    for path in (*SPELLINGS, "az://lake/raw/x"):
        place = with_settings(path, entries)
        assert isinstance(place, Place)
        assert place.entry == StorageEntry("az://lake/raw/")
    other = with_settings("az://pond/x", entries)
    assert isinstance(other, Place)
    assert other.entry == StorageEntry("az://")
    nowhere = with_settings("gs://bucket/x", entries)
    assert isinstance(nowhere, Place)
    assert nowhere.entry is None
    assert type(with_settings("/data/x", entries)) is str


def test_settings_travel_with_a_place() -> None:
    place = Place("s3://bucket/x/", StorageEntry("s3://", region="r"))
    inner = within(place, "y")
    assert isinstance(inner, Place)
    assert (inner, inner.entry) == ("s3://bucket/x/y", place.entry)
    again = pickle.loads(pickle.dumps(inner))
    assert (type(again), again, again.entry) == (Place, inner, inner.entry)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("hdfs://host/x", "HDFS is not read or written any more"),
        ("ftp://host/x", "no store is known for ftp://"),
        ("https://example.com/x", "no store is known for https://"),
        ("file:///x", "without file://"),
        ("abfss://lake/x", "is no storage account of Azure"),
        ("abfss://lake@evil.example.com/x", "evil.example.com is no storage account of Azure"),
        ("s3://", "names no container"),
        ("https://acme.blob.core.windows.net/", "names no container"),
        ("s3://bucket/../other", "object stores do not have"),
        ("s3://bucket/a\tb", "holds a control character"),
    ],
)
def test_what_is_refused(path: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Location.of(path)


def test_plain_http_goes_to_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place("s3://bucket/x", StorageEntry("s3://", endpoint="http://storage.example.com"))
    with pytest.raises(UsageError, match="plain http would carry keys"):
        store_of(place).open(place)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://storage.example.com:9000")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    with pytest.raises(UsageError, match="plain http would carry keys"):
        store_of("s3://another/x").open("s3://another/x")


def test_a_variable_that_is_not_set() -> None:
    place = Place("az://lake/x", StorageEntry("az://", account="acme", account_key_env="NO_SUCH_VARIABLE"))
    with pytest.raises(
        UsageError, match=r"storage.account_key_env: the environment variable NO_SUCH_VARIABLE is not set"
    ):
        store_of(place).open(place)
