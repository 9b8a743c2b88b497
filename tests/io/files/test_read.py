"""Files to chunks: every point once, the later row winning, however files, blocks, windows and chunks are cut."""

from __future__ import annotations

import gzip
import itertools
import math
import os
import random
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.testing.util import assert_that
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.beam.runner import make_runner, pipeline_options
from omnia_beam.core.chunk import Chunk
from omnia_beam.core.errors import IncompleteReadError, StateError, UsageError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.io.files.catalog import CatalogStore, FileCatalog, catalog_files
from omnia_beam.io.files.forms import CsvForm, FileSource, ParquetForm
from omnia_beam.io.files.found import list_files
from omnia_beam.io.files.index import FileIndex, index_file
from omnia_beam.io.files.plan import file_shards, plan_files
from omnia_beam.io.files.read import ReadFromFiles
from omnia_beam.io.files.reader import BlockCache, read_window
from omnia_beam.ledger.state_dir import StateDir

T0 = parse_time("2024-02-28T12:00:00Z")

Row = tuple[int, str, float, int]
"""Time in ns, series, value, status."""


def write_long(path: Path, rows: list[Row]) -> None:
    lines = [f"{format_time(t)},{name},{value!r},{status}" for t, name, value, status in rows]
    path.write_text("\n".join(["time,name,value,status", *lines]) + "\n")


def write_parquet(path: Path, rows: list[Row], row_group_size: int = 7) -> None:
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    table = pa.table(
        {
            "time": pa.array(columns[0], pa.int64()).cast(pa.timestamp("ns", "UTC")),
            "series_id": pa.array(columns[1], pa.string()),
            "value": pa.array(columns[2], pa.float64()),
            "status": pa.array(columns[3], pa.int16()),
        }
    )
    pq.write_table(table, path, row_group_size=row_group_size)


def upserted(files: list[list[Row]]) -> dict[str, dict[int, tuple[float, int]]]:
    """What a store holds after all rows were put into it in order."""
    store: dict[str, dict[int, tuple[float, int]]] = {}
    for t, name, value, status in (row for rows in files for row in rows):
        store.setdefault(name, {})[t] = (value, status)
    return store


def chunk_rows(chunks: list[Chunk]) -> list[Row]:
    return [
        (t, name, value, status)
        for chunk in chunks
        for _, name, points in chunk.by_series()
        for t, value, status in zip(*(column.tolist() for column in points[:3]), strict=True)
    ]


def read_all(source: FileSource, catalog: FileCatalog, wanted: TimeRange, max_points: int) -> list[Chunk]:
    plan = plan_files(catalog, [(catalog.series, wanted)], max_chunk_points=max_points)
    cache = BlockCache(source, cache_bytes=2_000)
    chunks: list[Chunk] = []
    for shard in file_shards(catalog, plan, 3):
        for item in shard.windows:
            made = list(read_window(item, shard.files, cache, source.statuses, max_points))
            assert TimeRange(made[0].key.range.start_ns, made[-1].key.range.end_ns) == item.window.key.range
            assert all(a.key.range.end_ns == b.key.range.start_ns for a, b in itertools.pairwise(made))
            chunks += made
    cache.close()
    return chunks


row = st.tuples(
    # Bunches of points, months apart, so that windows are uneven and repeats are common.
    st.builds(lambda month, n: T0 + month * 40 * 86_400 * 10**9 + n, st.integers(0, 3), st.integers(0, 30)),
    st.sampled_from(["a", "b", "c d"]),
    st.floats(allow_nan=False, width=32),
    st.sampled_from([0, 64, 192]),
)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@given(files=st.lists(st.lists(row, max_size=25), min_size=1, max_size=3), data=st.data())
def test_every_point_once_and_the_later_row_wins(
    kind: str, files: list[list[Row]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("files")
    for number, rows in enumerate(files):
        (write_long if kind == "csv" else write_parquet)(folder / f"{number}.{kind}", rows)
    statuses = data.draw(st.sampled_from([(), (192,), (0, 192)]))
    form = CsvForm() if kind == "csv" else ParquetForm()
    source = FileSource((f"{folder}/*",), form, exclude=("c*",), statuses=statuses)
    block_bytes = data.draw(st.sampled_from([1, 100, 10_000]))
    catalog = FileCatalog(tuple(index_file(source, file, block_bytes) for file in list_files(source.paths)))
    start = T0 + data.draw(st.integers(-5, 35))
    wanted = TimeRange(start, start + data.draw(st.sampled_from([1, 20, 10**17])))
    max_points = data.draw(st.sampled_from([1, 5, 1_000]))

    chunks = read_all(source, catalog, wanted, max_points)

    expected = sorted(
        (t, name, value, status)
        for name, points in upserted(files).items()
        for t, (value, status) in points.items()
        if name != "c d" and t in wanted and (not statuses or status in statuses)
    )
    assert sorted(chunk_rows(chunks)) == expected
    assert all(chunk.num_points <= max_points or chunk.key.range.duration_ns == 1 for chunk in chunks)


@given(files=st.lists(st.lists(row, max_size=25), min_size=1, max_size=3))
def test_the_index_counts_what_is_there(files: list[list[Row]], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("files")
    for number, rows in enumerate(files):
        write_long(folder / f"{number}.csv", rows)
    source = FileSource((f"{folder}/*.csv",))
    indexes = [index_file(source, file, 60) for file in list_files(source.paths)]
    for index in indexes:
        back = FileIndex.from_bytes(index.to_bytes())
        assert (back.file, back.series, back.facts) == (index.file, index.series, index.facts)
        assert (back.places == index.places).all()
        assert (back.rows == index.rows).all()
    catalog = FileCatalog(tuple(indexes))
    rows = [each for rows in files for each in rows]
    assert catalog.series == tuple(sorted({name for _, name, _, _ in rows}))
    if not rows:
        assert catalog.range is None
        return
    times = [t for t, _, _, _ in rows]
    assert catalog.range == TimeRange(min(times), max(times) + 1)
    for name, facts in catalog.facts.items():
        mine = [each for each in rows if each[1] == name]
        assert facts.points == len(mine)
        assert facts.fine == sum(t % 100 != 0 for t, *_ in mine)
        assert facts.not_finite == sum(not math.isfinite(value) for _, _, value, _ in mine)
        assert facts.statuses == {s: sum(each[3] == s for each in mine) for s in {each[3] for each in mine}}
    whole = dict(catalog.counts(catalog.series, TimeRange(min(times), max(times) + 1)))
    assert whole == {name: facts.points for name, facts in catalog.facts.items()}


def test_a_source_in_somebodys_pipeline(tmp_path: Path) -> None:
    rows = [(T0 + i, f"s{i % 3}", i / 7, 192) for i in range(50)]
    write_long(tmp_path / "a.csv", rows)
    expected = sorted(rows)

    def same(chunks: list[Chunk]) -> None:
        assert sorted(chunk_rows(chunks)) == expected
        assert len(chunks) > 1

    options = pipeline_options(None, [])
    with beam.Pipeline(runner=make_runner(options), options=options) as pipeline:
        read = ReadFromFiles(FileSource((str(tmp_path / "a.csv"),)), max_chunk_points=20, reshuffle=True)
        assert_that(pipeline | read, same)


def test_a_compressed_file(tmp_path: Path) -> None:
    rows = [(T0 + i, "s", float(i), 192) for i in range(1_000)]
    write_long(tmp_path / "a.csv", rows)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    source = FileSource((str(tmp_path / "*.gz"),))
    catalog = FileCatalog(tuple(index_file(source, file, 500) for file in list_files(source.paths)))
    assert len(catalog.indexes[0].places) > 10
    assert catalog.range is not None
    assert sorted(chunk_rows(read_all(source, catalog, catalog.range, 90))) == rows


def test_files_on_an_object_store(object_store: Any, tmp_path: Path) -> None:
    rows = [(T0 + i, "s", float(i), 192) for i in range(100)]
    write_long(tmp_path / "a.csv", rows)
    object_store.objects["s3://bucket/in/a.csv"] = (tmp_path / "a.csv").read_bytes()
    source = FileSource(("s3://bucket/in/*.csv",))
    catalog = catalog_files(source)
    assert catalog.range is not None
    assert sorted(chunk_rows(read_all(source, catalog, catalog.range, 90))) == rows


def test_a_file_that_changed_meanwhile_fails_its_windows(tmp_path: Path) -> None:
    write_long(tmp_path / "a.csv", [(T0, "s", 1.0, 192)])
    write_long(tmp_path / "b.csv", [(T0, "t", 1.0, 192)])
    source = FileSource((str(tmp_path / "*.csv"),))
    catalog = catalog_files(source)
    windows = [Window(ChunkKey((name,), TimeRange(T0, T0 + 1)), 1) for name in ("s", "t")]
    write_long(tmp_path / "a.csv", [(T0, "s", 22.0, 192)])

    def failed(failures: list[WindowFailure]) -> None:
        assert [each.key.series_ids for each in failures] == [("s",)]
        assert "a.csv: was changed or removed" in failures[0].message

    options = pipeline_options(None, [])
    with beam.Pipeline(runner=make_runner(options), options=options) as pipeline:
        read = pipeline | ReadFromFiles(source, windows, catalog=catalog, on_error="output")
        assert_that(read.failures, failed)
        assert_that(
            read.chunks | beam.FlatMap(lambda chunk: chunk_rows([chunk])),
            beam.testing.util.equal_to([(T0, "t", 1.0, 192)]),
            label="others",
        )


@pytest.mark.parametrize(
    ("table", "form", "says"),
    [
        ({"a": [1]}, {}, "there is no column 'series_id'; the columns are a: set source.columns.series_id"),
        ({"series_id": ["s"], "time": [1.5], "value": [1.0]}, {}, "'time' is double, not a timestamp"),
        ({"series_id": ["s"], "time": [None], "value": [1.0]}, {}, "a row has no time"),
        ({"series_id": [None], "time": [1], "value": [1.0]}, {}, "a row names no series"),
        ({"series_id": ["s"], "time": [1], "value": ["x"]}, {}, "'value' is string, not a number"),
        ({"series_id": ["s"], "time": [1], "value": [1.0], "status": [-1]}, {}, "not a status"),
        (
            {"series_id": ["s"], "time": [2**40], "value": [1.0]},
            {"time_unit": "s"},
            "row 1: column 'time': the time is outside",
        ),
        ({"series_id": ["s"], "time": [1], "value": [1.0]}, {"status": "q"}, "there is no column 'q'"),
    ],
)
def test_parquet_that_cannot_be_read_exactly(tmp_path: Path, table: Any, form: Any, says: str) -> None:
    data = {name: pa.array(column) for name, column in table.items()}
    if "time" in data and data["time"].type == pa.null():
        data["time"] = data["time"].cast(pa.int64())
    if "series_id" in data and data["series_id"].type == pa.null():
        data["series_id"] = data["series_id"].cast(pa.string())
    pq.write_table(pa.table(data), tmp_path / "a.parquet")
    with pytest.raises(UsageError) as caught:
        catalog_files(FileSource((str(tmp_path / "a.parquet"),), ParquetForm(**form)))
    assert says in str(caught.value)
    assert "a.parquet" in str(caught.value)


def test_foreign_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "tag": pa.array(["x", "y", "x"]).dictionary_encode(),
            "ts": pa.array([1_000, 2_000, 3_000], pa.timestamp("ms")),
            "v": pa.array([1, None, 3], pa.int32()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    source = FileSource((str(tmp_path / "a.parquet"),), ParquetForm("tag", "ts", "v", None), timezone="Etc/GMT-1")
    catalog = catalog_files(source)
    assert catalog.range is not None
    hour = 3_600 * 10**9
    rows = chunk_rows(read_all(source, catalog, catalog.range, 90))
    assert rows == [(10**9 - hour, "x", 1.0, 192), (3 * 10**9 - hour, "x", 3.0, 192)]


class TestCatalogStore:
    """What is kept of files between runs."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> CatalogStore:
        (tmp_path / "in").mkdir()
        for name in "abc":
            write_long(tmp_path / "in" / f"{name}.csv", [(T0 + ord(name), name, 1.0, 192)])
        source = FileSource((str(tmp_path / "in" / "*.csv"),))
        return CatalogStore(StateDir.open(str(tmp_path / "state"), "job"), source)

    def refresh(self, store: CatalogStore, run: int, *, recorded: bool = True) -> tuple[list[str], FileCatalog]:
        read: list[str] = []
        catalog = store.refresh(run, recorded, lambda file: read.append(os.path.basename(file.path)))
        return read, catalog

    def test_files_are_read_once(self, store: CatalogStore) -> None:
        read, first = self.refresh(store, 1, recorded=False)
        assert read == ["a.csv", "b.csv", "c.csv"]
        read, second = self.refresh(store, 2)
        assert read == []
        assert (second.facts, second.files) == (first.facts, first.files)
        assert store.changes() == ()

    def test_what_changed_is_noticed(self, store: CatalogStore, tmp_path: Path) -> None:
        self.refresh(store, 1, recorded=False)
        write_long(tmp_path / "in" / "b.csv", [(T0 + 500, "b", 1.0, 192)])
        write_long(tmp_path / "in" / "d.csv", [(T0 + 700, "d", 1.0, 192)])
        (tmp_path / "in" / "c.csv").unlink()
        read, catalog = self.refresh(store, 2)
        assert read == ["b.csv", "d.csv"]
        assert catalog.series == ("a", "b", "d")
        changed = {(each.range.start_ns - T0, each.run) for each in store.changes()}
        assert changed == {(500, 2), (ord("b"), 2), (700, 2), (ord("c"), 2)}
        store.forget_changes(store.changes(), store.vanished())
        assert (store.changes(), self.refresh(store, 3)[0]) == ((), [])

    def test_what_another_run_has_noted_since_is_kept(self, store: CatalogStore, tmp_path: Path) -> None:
        """A run that has lost its lease wakes up at its end, and its successor died before it copied what had changed."""
        self.refresh(store, 1, recorded=False)
        write_long(tmp_path / "in" / "a.csv", [(T0 + 500, "a", 1.0, 192)])
        self.refresh(store, 2)
        seen, vanished = store.changes(), store.vanished()
        write_long(tmp_path / "in" / "b.csv", [(T0 + 700, "b", 1.0, 192)])
        self.refresh(store, 3)
        store.forget_changes(seen, vanished)
        assert {(each.range.start_ns - T0, each.run) for each in store.changes()} == {(700, 3), (ord("b"), 3)}
        assert list(store.vanished()) == ["b"]

    def test_a_run_without_its_lease_notes_and_forgets_nothing(self, store: CatalogStore, tmp_path: Path) -> None:
        self.refresh(store, 1, recorded=False)
        write_long(tmp_path / "in" / "a.csv", [(T0 + 500, "a", 1.0, 192)])
        self.refresh(store, 2)
        noted = store.changes()

        def lost() -> AbstractContextManager[object]:
            raise StateError("lost")

        old = replace(store, placing=lost)
        with pytest.raises(StateError, match="lost"):
            old.forget_changes(noted, store.vanished())
        write_long(tmp_path / "in" / "c.csv", [(T0 + 900, "c", 1.0, 192)])
        with pytest.raises(StateError, match="lost"):
            self.refresh(old, 2)
        assert store.changes() == noted

    def test_a_damaged_index_is_made_again(self, store: CatalogStore) -> None:
        self.refresh(store, 1, recorded=False)
        names = [each.name for each in store.state_dir.list("plan")]
        data = store.state_dir.read(f"plan/{names[0]}")
        assert data is not None
        store.state_dir.write(f"plan/{names[0]}", data[:-3] + b"xxx")
        assert len(self.refresh(store, 2)[0]) == 1


def test_a_path_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"source\.path: .*nothing-\*\.csv: there is no such file"):
        list_files([str(tmp_path / "nothing-*.csv")])


def test_memory_is_bounded_by_the_cache(tmp_path: Path) -> None:
    rows = [(T0 + i, "s", random.Random(i).random(), 192) for i in range(3_000)]
    write_long(tmp_path / "a.csv", rows)
    source = FileSource((str(tmp_path / "a.csv"),))
    file = list_files(source.paths)[0]
    catalog = FileCatalog((index_file(source, file, 2_000),))
    cache = BlockCache(source, cache_bytes=5_000)
    for block in catalog.blocks_for(ChunkKey(("s",), TimeRange(T0, T0 + 3_000))):
        cache.get(file, block)
        assert cache.held_bytes <= 5_000
    cache.close()
    with pytest.raises(IncompleteReadError):
        cache.get(file.__class__(file.path, file.size + 1, file.changed_ns), block)


def test_an_empty_file_is_reported_and_holds_nothing(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv.gz"):
        (tmp_path / name).write_bytes(b"")
    write_long(tmp_path / "c.csv", [(T0, "s", 1.0, 192)])
    catalog = catalog_files(FileSource((str(tmp_path / "*.csv*"),)))
    assert catalog.series == ("s",)
    assert [text.split(": ")[1] for text in catalog.warnings] == ["is empty"] * 2
    assert str(tmp_path / "a.csv") in catalog.warnings[0]


def test_names_that_are_no_data_are_left_out(tmp_path: Path) -> None:
    for name in ("a.csv", "_series-job.csv", ".b.csv", "_temporary/0/c.csv", "year=2024/d.csv", "x/.tmp/e.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_long(path, [(T0, "s", 1.0, 192)])

    def found(*patterns: str) -> list[str]:
        files = list_files([str(tmp_path / pattern) for pattern in patterns])
        return [str(Path(file.path).relative_to(tmp_path)) for file in files]

    assert found("**/*.csv") == ["a.csv", "year=2024/d.csv"]
    assert found("*.csv", "_series-job.csv") == ["_series-job.csv", "a.csv"]  # named as it is: it is meant
    assert found("_temporary/**/*.csv") == ["_temporary/0/c.csv"]
    with pytest.raises(UsageError, match="names that begin with _ or"):
        found("x/*.csv")
