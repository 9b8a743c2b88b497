"""Objects that other programs have put beside those of a job: marks of folders, and names that only services take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from omnia_beam.core.errors import CredentialError, UsageError
from omnia_beam.io.files.found import list_files
from omnia_beam.ledger.lease import Lease
from omnia_beam.ledger.lease_file import LeaseOwner
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.store import Place, StorageEntry, store_of, within
from tests.store.clouds import S3Lake, s3_lakes
from tests.store.servers import Fault, Front


@pytest.fixture(scope="module")
def lakes() -> Iterator[object]:
    with s3_lakes() as make:
        yield make


@pytest.fixture
def lake(lakes: object) -> S3Lake:
    made: S3Lake = lakes()  # type: ignore[operator]  # it makes one
    return made


def place_of(lake: S3Lake, url: str = "") -> Place:
    return Place(lake.place, StorageEntry("s3://", endpoint=url or lake.url, region="eu-north-1"))


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("in/*", ["in/a.csv", "in/zero.csv"]),
        ("in/**", ["in/a.csv", "in/sub/b.csv", "in/zero.csv"]),
        ("in/*/*", ["in/sub/b.csv"]),
        ("**/b.csv", ["in/sub/b.csv"]),
    ],
)
def test_marks_of_folders_are_no_files(lake: S3Lake, pattern: str, names: list[str]) -> None:
    """Consoles create an empty object with a slash at its end where somebody makes a folder."""
    for key in ("in/", "in/sub/", "in/empty/"):
        lake.put(key, b"")
    for key in ("in/a.csv", "in/sub/b.csv"):
        lake.put(key, b"time,a\n")
    lake.put("in/zero.csv", b"")
    root = place_of(lake)
    store = store_of(root)
    found = store.find(within(root, pattern))
    assert [path.removeprefix(f"{root}/") for path, _ in found] == names
    assert [len(store.open(path).read()) for path, _ in found] == [each.size for _, each in found]
    assert [each.name for each in store.list(within(root, "in"))] == ["a.csv", "zero.csv"]
    assert "" not in list(store.walk(within(root, "in")))


@pytest.mark.parametrize("key", ["in/deep//b.csv", "in/deep/x\ty.csv", "in/deep/./b.csv", "in/deep/../b.csv"])
def test_a_name_that_only_services_take_is_named(lake: S3Lake, key: str) -> None:
    """It is no matter of time, so that it is not to be tried again; and it is in nobody's way in a folder that is not looked at."""
    lake.put("in/a.csv", b"time,a\n")
    lake.put(key, b"time,a\n")
    root = place_of(lake)
    assert [each.path for each in list_files([within(root, "in/*.csv")])] == [within(root, "in/a.csv")]
    with pytest.raises(UsageError, match=r"invalid path.*: rename or delete that object") as caught:
        list_files([within(root, "in/**/*.csv")])
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_found_missing_where_the_bucket_may_not_be_listed(lake: S3Lake) -> None:
    """S3 says 403 for it, also where a policy lets some prefixes be listed."""
    front = Front(lake.url)
    try:
        root = place_of(lake, front.url)

        def choose(method: str, path: str) -> Fault | None:
            key = path.partition("?")[0].removeprefix(f"/lake/{lake.folder}/")
            is_of_an_object = method in ("GET", "HEAD") and "list-type" not in path
            return "403" if is_of_an_object and key not in lake.listed() else None

        front.choose = choose
        store = store_of(root)
        assert store.read(within(root, "none")).content is None
        assert not store.is_there(within(root, "none"))
        with pytest.raises(FileNotFoundError):
            store.open(within(root, "none"))
        with Lease.acquire(StateDir.open(root, "job"), LeaseOwner.here("test"), heartbeat=False) as lease:
            lease.check()
        lake.put("in/a.csv", b"time,a\n")
        assert len(list_files([within(root, "in/*.csv")])) == 1
        front.choose = lambda method, path: "403"
        with pytest.raises(CredentialError):
            list_files([within(root, "in/a.csv")])
    finally:
        front.close()
