"""Files of a source that are overwritten by others of the same size within one second, on S3."""

from __future__ import annotations

import uuid
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from omnia_beam.core.errors import IncompleteReadError
from omnia_beam.io.files.catalog import CatalogStore
from omnia_beam.io.files.forms import FileSource
from omnia_beam.io.files.found import list_files
from omnia_beam.io.files.index import FileIndex, index_file
from omnia_beam.io.files.reader import BlockCache
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.store import Place, StorageEntry, store_of, within

FIRST = b"series_id,time,value,status\na,2024-01-01T00:00:00Z,1.5,192\n"
OTHER = FIRST.replace(b"1.5", b"2.5")
_TRIES = 20


@pytest.fixture
def root(s3_url: str) -> str:
    return Place(f"s3://lake/{uuid.uuid4().hex}", StorageEntry("s3://", endpoint=s3_url, region="eu-north-1"))


@pytest.fixture
def source(root: str) -> FileSource:
    return FileSource((within(root, "in/*.csv"),))


@pytest.fixture
def catalog(tmp_path: Path, source: FileSource) -> CatalogStore:
    return CatalogStore(StateDir.open(str(tmp_path), "job"), source)


def refreshed(catalog: CatalogStore, run: int) -> list[str]:
    read: list[str] = []
    catalog.refresh(run, run > 1, lambda file: read.append(file.path))
    return read


def test_it_is_read_again(catalog: CatalogStore, source: FileSource, root: str) -> None:
    path = within(root, "in/x.csv")
    for run in range(1, _TRIES, 2):
        store_of(root).put(path, FIRST)
        refreshed(catalog, run)
        (before,) = list_files(source.paths)
        store_of(root).put(path, OTHER)
        (after,) = list_files(source.paths)
        if before.changed_ns == after.changed_ns:
            break
    else:
        pytest.fail("the two writes never came within the time that S3 gives")
    assert (before.path, before.size) == (after.path, after.size)
    assert refreshed(catalog, run + 1) == [path]
    assert [each.run for each in catalog.changes()][-2:] == [run + 1, run + 1]
    with closing(BlockCache(source)) as cache, pytest.raises(IncompleteReadError, match="was changed or removed"):
        cache.opened(before)


def test_an_index_of_an_earlier_release_counts_and_gets_the_tag(
    catalog: CatalogStore, source: FileSource, root: str
) -> None:
    """Earlier releases recorded path, size and time alone."""
    path = within(root, "in/x.csv")
    store_of(root).put(path, FIRST)
    refreshed(catalog, 1)
    (name,) = [f"plan/{each.name}" for each in catalog.state_dir.list("plan")]
    (file,) = list_files(source.paths)
    index = index_file(source, file)
    old = replace(index, file=replace(file, tag="")).to_bytes()
    assert b'"file": ["%s", %d, %d]' % (path.encode(), file.size, file.changed_ns) in old
    catalog.state_dir.write(name, old)
    assert (refreshed(catalog, 2), catalog.changes()) == ([], ())
    now = catalog.state_dir.read(name)
    assert now is not None
    assert FileIndex.from_bytes(now).file.tag == file.tag != ""
    with closing(BlockCache(source)) as cache:
        cache.opened(replace(file, tag=""))
