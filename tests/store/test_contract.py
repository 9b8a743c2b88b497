"""What every store promises, on a disk, in memory and on S3."""

from __future__ import annotations

import io
import pickle
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import obstore
import pytest
from obstore.exceptions import GenericError

from omnia_beam.core.errors import StateError
from omnia_beam.core.receipt import FileStamp
from omnia_beam.store import ChangedMeanwhile, Place, StorageEntry, Store, store_of, within
from tests.store.conftest import KEYS
from tests.store.memory_objects import MemoryObjects


@pytest.fixture(params=["disk", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty folder of each kind of store."""
    if request.param == "disk":
        yield str(tmp_path)
    elif request.param == "memory":
        memory = MemoryObjects()
        memory.install()
        yield "s3://bucket/deep/root"
        memory.uninstall()
    else:
        url = request.getfixturevalue("s3_url")
        yield Place(f"s3://lake/{uuid.uuid4().hex}", StorageEntry("s3://", endpoint=url, region="eu-north-1"))


@pytest.fixture
def store(root: str) -> Store:
    return store_of(root)


def put(store: Store, root: str, *names: str) -> None:
    for name in names:
        store.put(within(root, name), name.encode())


def test_what_is_put_is_read(store: Store, root: str) -> None:
    path = within(root, "year=2024/a b~ø%25=+.parquet")
    stamp = store.put(path, memoryview(b"content"))
    assert (stamp.size, store.open(path).read()) == (7, b"content")
    store.put(path, b"")
    assert store.open(path).read() == b""
    assert store.is_there(path)


def test_what_is_not_there(store: Store, root: str) -> None:
    path = within(root, "none/x")
    with pytest.raises(FileNotFoundError):
        store.open(path).read()
    assert store.read(path).content is None
    assert not store.is_there(path)
    assert not store.is_no_file(path)
    assert store.list(within(root, "none")) == []
    assert list(store.walk(within(root, "none"))) == []
    assert list(store.scan(within(root, "none"), ["year="])) == []
    store.delete(path)
    store.delete_all([path, within(root, "none/y")])


def test_listings(store: Store, root: str) -> None:
    put(store, root, "a/1", "a/2", "a/b/3", "a/.hidden", "ab/4", "a/b=1/c=2/5", "a/b=1/c=2/d/6", "a/b=1/x=2/7")
    assert [each.name for each in store.list(within(root, "a"))] == ["1", "2"]
    assert sorted(store.walk(within(root, "a"))) == [
        ".hidden",
        "1",
        "2",
        "b/3",
        "b=1/c=2/5",
        "b=1/c=2/d/6",
        "b=1/x=2/7",
    ]
    assert [(each.name, each.size) for each in store.scan(within(root, "a"), ["b=", "c="])] == [("b=1/c=2/5", 11)]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("in/1.csv", ["in/1.csv"]),
        ("in/*.csv", ["in/1.csv", "in/2.csv"]),
        ("in/[!1].csv", ["in/2.csv"]),
        ("in/?.cs*", ["in/1.csv", "in/2.csv"]),
        ("in/**/*.csv", ["in/1.csv", "in/2.csv", "in/a/3.csv", "in/a/b/4.csv"]),
        ("in/*/*.csv", ["in/a/3.csv"]),
        ("*/a/3.csv", ["in/a/3.csv"]),
        ("in/x[1].txt", ["in/x[1].txt"]),
        ("in", []),
        ("in/9.csv", []),
    ],
)
def test_globs(store: Store, root: str, pattern: str, names: list[str]) -> None:
    put(store, root, "in/1.csv", "in/2.csv", "in/a/3.csv", "in/a/b/4.csv", "in/x[1].txt", "other/5.csv")
    found = store.find(within(root, pattern))
    assert sorted(path for path, _ in found) == [f"{root}/{name}" for name in names]
    assert all(getattr(path, "entry", None) == getattr(root, "entry", None) for path, _ in found)


def test_what_changes_a_file_changes_its_facts(store: Store, root: str) -> None:
    """Also where it is of the same size, at the same second, or within one tick of the clock that dates files."""
    path = within(root, "in/x.csv")
    for way in (path, within(root, "in/*.csv")):
        seen = []
        for content in (b"a", b"b", b"c"):
            store.put(path, content)
            seen.append(store.find(way)[0][1])
        assert len({(each.size, each.mtime_ns, each.tag) for each in seen}) == 3
    listed, named = store.find(within(root, "in/*.csv"))[0][1], store.find(path)[0][1]
    assert (listed.size, listed.tag) == (named.size, named.tag)


@pytest.mark.long
def test_files_are_read_anywhere(store: Store, root: str) -> None:
    data = bytes(range(256)) * 20_000  # more than one buffer
    store.put(within(root, "x"), data)
    with store.open(within(root, "x")) as file:
        assert file.read(10) == data[:10]
        assert file.seek(-5, io.SEEK_END) == len(data) - 5
        assert file.read() == data[-5:]
        assert file.read(1) == b""
        file.seek(3_000_001)
        assert file.read(1_500_000) == data[3_000_001:4_500_001]
        file.seek(0)
        assert file.read() == data


def test_a_file_appears_whole_or_not_at_all(store: Store, root: str) -> None:
    path = within(root, "state/x")
    with store.create(path) as out:
        out.write(b"old")
        assert store.read(path).content is None

    def break_off() -> None:
        with store.create(path) as out:
            out.write(b"half of")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert store.read(path).content == b"old"


def test_deleting_and_renaming(store: Store, root: str) -> None:
    put(store, root, *(f"many/{i}" for i in range(5)))
    store.delete(within(root, "many/0"))
    store.delete_all(within(root, f"many/{i}") for i in range(3))
    store.rename(within(root, "many/3"), within(root, "many/_3"))
    assert [each.name for each in store.list(within(root, "many"))] == ["4", "_3"]
    assert store.read(within(root, "many/_3")).content == b"many/3"


def test_nothing_is_removed_by_a_renaming_whose_lease_is_lost_in_between(store: Store, root: str) -> None:
    """A successor may have put another file of that name in place since it was copied."""
    put(store, root, "a")
    looks = iter(["held", "lost"])

    @contextmanager
    def placing() -> Iterator[None]:
        if next(looks) == "lost":
            raise StateError("the lease was taken over")
        yield

    on_disk = isinstance(root, str) and not root.startswith("s3://")
    with nullcontext() if on_disk else pytest.raises(StateError):  # a disk renames in one step
        store.rename(within(root, "a"), within(root, "_a"), placing)
    assert store.is_there(within(root, "_a"))
    assert store.is_there(within(root, "a")) is not on_disk


def test_a_store_is_pickled_without_client_and_key(store: Store, root: str) -> None:
    put(store, root, "x")
    data = pickle.dumps((store, root))
    again, place = pickle.loads(data)
    assert again.read(within(place, "x")).content == b"x"
    assert KEYS["AWS_SECRET_ACCESS_KEY"].encode() not in data
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in repr(store)


def test_only_the_version_that_was_read_is_replaced(store: Store, root: str) -> None:
    if not store.is_conditional:
        pytest.skip("a disk has locks for that")
    path = within(root, "lease.json")
    first = store.replace(path, b"1", None)
    with pytest.raises(ChangedMeanwhile):
        store.replace(path, b"other", None)
    second = store.replace(path, b"2", first)
    with pytest.raises(ChangedMeanwhile):
        store.replace(path, b"other", first)
    assert store.read(path).content == b"2"
    assert store.read(path).version == second
    store.delete(path)
    with pytest.raises(ChangedMeanwhile):
        store.replace(path, b"other", second)
    assert store.read(path).content is None


def test_a_put_that_finds_another_file_checks_again_and_replaces_it(store: Store, root: str) -> None:
    path = within(root, "x")
    store.put(path, b"old")
    assert store.put(path, b"new").size == FileStamp(3).size
    assert store.read(path).content == b"new"


def test_a_listing_that_breaks_off_loses_nothing_whatever_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure with a hierarchical namespace lists folder by folder: `a/1` before `a-b`, which sorts before it."""
    order = ["in/a/1", "in/a/2", "in/a-b", "in/c"]
    memory = MemoryObjects()
    memory.install()
    try:
        root = "s3://bucket"
        put(store_of(root), root, *order)
        real, tries = obstore.list, [1, 3]

        def list_by_folder(store: object, prefix: str | None = None, *, offset: str | None = None) -> Iterator[object]:
            found = {each["path"]: each for some in real(store, prefix) for each in some}  # type: ignore[call-overload]  # a memory store
            names = [name for name in order if offset is None or name > offset]
            until = tries.pop(0) if tries else None
            yield from ([found[name]] for name in names[:until])
            if until is not None:
                raise GenericError("HTTP error: request or response body error")

        monkeypatch.setattr(obstore, "list", list_by_folder)
        assert list(store_of(root).walk(within(root, "in"))) == ["a/1", "a/2", "a-b", "c"]
    finally:
        memory.uninstall()
