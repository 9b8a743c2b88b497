"""The contract on Azure's own emulator, Azurite: `make test-services` installs it and names its program."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnia_beam.ledger.lease import Lease
from omnia_beam.ledger.lease_file import LeaseOwner
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.store import ChangedMeanwhile, Place, StorageEntry, store_of, within
from tests.store.clouds import ACCOUNT, ACCOUNT_KEY, AZURITE, AzureLake, azurite

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not AZURITE, reason="Azurite is not named: make test-services"),
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with azurite() as url:
        AzureLake(url, "").make_container()
        yield f"{url}/{ACCOUNT}"


@pytest.fixture
def root(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LAKE_KEY", ACCOUNT_KEY)
    entry = StorageEntry("az://", account=ACCOUNT, endpoint=endpoint, account_key_env="LAKE_KEY")
    return Place(f"az://lake/{uuid.uuid4().hex}", entry)


def test_files(root: str) -> None:
    store = store_of(root)
    for name in ("year=2024/month=01/a b~ø%25.parquet", "year=2024/month=02/x.parquet", "empty"):
        store.put(within(root, name), b"" if name == "empty" else name.encode())
    store.put(within(root, "year=2024/month=02/x.parquet"), b"replaced")
    assert sorted(store.walk(root)) == [
        "empty",
        "year=2024/month=01/a b~ø%25.parquet",
        "year=2024/month=02/x.parquet",
    ]
    assert [each.size for each in store.scan(root, ["year=", "month="])][1] == 8
    assert [path for path, _ in store.find(within(root, "**/x.parquet"))] == [f"{root}/year=2024/month=02/x.parquet"]
    assert store.open(within(root, "year=2024/month=02/x.parquet")).read() == b"replaced"
    assert store.open(within(root, "empty")).read() == b""
    store.rename(within(root, "empty"), within(root, "_empty"))
    assert not store.is_there(within(root, "empty"))
    store.delete_all([within(root, "none"), within(root, "_empty"), within(root, "year=2024/month=02/x.parquet")])
    store.delete(within(root, "none"))
    assert list(store.walk(root)) == ["year=2024/month=01/a b~ø%25.parquet"]


def test_what_changes_a_file_changes_its_facts(root: str) -> None:
    store, path = store_of(root), within(root, "in/x.csv")
    seen = []
    for content in (b"a", b"b", b"c"):
        store.put(path, content)
        seen.append((store.find(path)[0][1].tag, store.find(within(root, "in/*.csv"))[0][1].tag))
    assert len(set(seen)) == 3
    assert all(named == listed != "" for named, listed in seen)


def test_marks_of_folders_are_no_files(root: str, endpoint: str) -> None:
    """Hadoop and blobfuse mark an empty blob; tools that follow S3 end its name with a slash."""
    folder = root.removeprefix("az://lake/")
    lake = AzureLake(endpoint.removesuffix(f"/{ACCOUNT}"), folder)
    lake.put("in/", b"")
    lake.put("in/a.csv", b"time,a\n")
    lake.put("in/zero", b"")
    mark = {"x-ms-blob-type": "BlockBlob", "x-ms-meta-hdi_isfolder": "true"}
    lake.send("PUT", f"/{folder}/in/sub", headers=mark)
    lake.put("in/sub/b.csv", b"time,a\n")
    for pattern, names in (("in/*", ["in/a.csv", "in/zero"]), ("**", ["in/a.csv", "in/sub/b.csv", "in/zero"])):
        found = store_of(root).find(within(root, pattern))
        assert [path.removeprefix(f"{root}/") for path, _ in found] == names


def test_many_are_deleted_at_once(root: str) -> None:
    """Azure takes 256 deletions a request."""
    store = store_of(root)
    paths = [within(root, f"many/{number}") for number in range(300)]
    for path in paths[::7]:
        store.put(path, b"1")
    store.delete_all(paths)
    assert list(store.walk(root)) == []


def test_versions(root: str) -> None:
    store, path = store_of(root), within(root, "lease.json")
    first = store.replace(path, b"1", None)
    with pytest.raises(ChangedMeanwhile):
        store.replace(path, b"other", None)
    store.replace(path, b"2", first)
    with pytest.raises(ChangedMeanwhile):
        store.replace(path, b"other", first)
    assert store.read(path).content == b"2"


def test_a_lease(root: str) -> None:
    state = StateDir.open(root, "job")
    with Lease.acquire(state, LeaseOwner.here("test"), heartbeat=False) as lease:
        lease.beat()
        lease.check()
        assert state.list("ledger") == []


def test_every_spelling_reaches_it(root: str, endpoint: str) -> None:
    store_of(root).put(within(root, "x"), b"1")
    key = root.removeprefix("az://lake/")
    assert isinstance(root, Place)
    for spelling in (
        f"abfss://lake@{ACCOUNT}.dfs.core.windows.net/{key}",
        f"https://{ACCOUNT}.blob.core.windows.net/lake/{key}",
        f"azfs://{ACCOUNT}/lake/{key}",
    ):
        place = Place(spelling, root.entry)
        assert store_of(place).open(within(place, "x")).read() == b"1"


def test_folder_is_made_by_nobody(root: str, tmp_path: Path) -> None:
    store_of(root).make_folder(within(root, "a/b"))
    assert list(store_of(root).walk(root)) == []
