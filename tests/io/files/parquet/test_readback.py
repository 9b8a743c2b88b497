"""Reading points back: what the sink wrote exactly, files of other hands as far as they can be, damage always told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.errors import DestinationError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.files.destination_files import list_destination
from omnia_beam.io.files.parquet.readback import SUFFIXES, read_points
from omnia_beam.io.files.parquet.write import chunk_files
from tests.store.memory_objects import SCHEME, MemoryObjects

TIME = pa.timestamp("ns", tz="UTC")


def read_all(path: Path) -> dict[str, list[tuple[int, int, int]]]:
    """By series: (time, bits of the value, status), in the file's order."""
    found: dict[str, list[tuple[int, int, int]]] = {}
    for series_id, points in read_points(str(path)):
        columns = points.times.tolist(), points.values.view(np.uint64).tolist(), points.statuses.tolist()
        found.setdefault(series_id, []).extend(zip(*columns, strict=True))
    return found


def table(**columns: Any) -> Any:
    return pa.table(
        {
            "series_id": pa.array(["a", "a"]),
            "time": pa.array([1, 2]).cast(TIME),
            "value": pa.array([1.0, 2.0]),
            "status": pa.array([192, 192], pa.uint32()),
            **columns,
        }
    )


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.floats(), st.integers(0, 2**32 - 1)), max_size=30)
)
def test_any_order_of_rows_is_read_whole(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int, float, int]]
) -> None:
    path = tmp_path_factory.mktemp("any") / "x.parquet"
    ids, times, values, statuses = zip(*rows, strict=True) if rows else ((), (), (), ())
    whole = table(
        series_id=pa.array(ids, pa.string()),
        time=pa.array(times, pa.int64()).cast(TIME),
        value=pa.array(values, pa.float64()),
        status=pa.array(statuses, pa.uint32()),
    )
    pq.write_table(whole, path, row_group_size=7)
    expected: dict[str, list[tuple[int, int, int]]] = {}
    for series_id, time, value, status in rows:
        expected.setdefault(series_id, []).append((time, int(np.float64(value).view(np.uint64)), status))
    assert read_all(path) == expected


def test_what_the_sink_wrote(tmp_path: Path) -> None:
    key = ChunkKey(("a", "b", "c"), TimeRange.parse("2024-01-01", "2024-02-01"))
    times = key.range.start_ns + np.arange(300_000) * 7
    values = np.random.default_rng(3).normal(size=300_000)
    values[:3] = np.nan, -0.0, np.inf
    points = Points(times, values, np.full(300_000, 192, np.uint32))
    (file,) = chunk_files(Chunk.from_points(key, {"a": points, "c": points.take(slice(5))}), "job")
    path = tmp_path / "file.parquet"
    path.write_bytes(file.content)
    found = list(read_points(str(path)))
    assert [series_id for series_id, _ in found] == ["a", "a", "c"]  # two row groups
    back = Points.concat([each for series_id, each in found if series_id == "a"])
    assert [column.tobytes() for column in back[:3]] == [column.tobytes() for column in points[:3]]
    assert [column.dtype for column in back[:3]] == [np.int64, np.float64, np.uint32]


def test_columns_of_other_hands_that_mean_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    micros = pa.array([1, 2]).cast(pa.timestamp("us"))
    pq.write_table(table(time=micros, status=pa.array([192, 64]), more=pa.array([0, 0])), path)
    assert [(time, status) for time, _, status in read_all(path)["a"]] == [(1_000, 192), (2_000, 64)]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"value": pa.array([1, 2])}, "its column 'value' is int64"),
        ({"time": pa.array([1, 2])}, "its column 'time' is int64"),
        ({"series_id": pa.array([1, 2])}, "its column 'series_id' is int64"),
        ({"value": pa.array([1.0, None])}, "its column 'value' has 1 nulls"),
        ({"status": pa.array([1, -1])}, "Integer value -1 not in range"),
        ({"status": pa.array([1.0, 2.0])}, "its column 'status' is double"),
    ],
)
def test_columns_that_mean_something_else(tmp_path: Path, columns: dict[str, Any], told: str) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(table(**columns), path)
    with pytest.raises(ValueError, match=told):
        read_all(path)


def test_no_series_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(table().drop(["series_id"]), path)
    with pytest.raises(ValueError, match="no column 'series_id'"):
        read_all(path)


def test_a_column_too_few(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(table().drop(["status"]), path)
    with pytest.raises(ValueError, match="no column 'status', or two of them: its columns are series_id, time, value"):
        read_all(path)


@pytest.mark.parametrize("keep", [0, 3, 100, -5])
def test_a_file_cut_short(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(table(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"[Pp]arquet"):
        read_all(path)


def test_a_flipped_byte_is_told_or_gives_points(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(table(), path, compression="zstd")
    data = path.read_bytes()
    for at in range(0, len(data), 9):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            read_all(path)
        except ValueError:
            continue  # any other error would be ours


def test_an_object_store(tmp_path: Path, object_store: MemoryObjects) -> None:
    pq.write_table(table(), tmp_path / "x.parquet")
    data = (tmp_path / "x.parquet").read_bytes()
    names = ["out/year=2024/month=01/x.parquet", "out/_temporary/x.parquet", "out/x.txt", "other/x.parquet"]
    object_store.objects.update({f"{SCHEME}://bucket/{name}": data for name in names})
    root = f"{SCHEME}://bucket/out/"
    assert [each.name for each in list_destination(root, SUFFIXES).files] == ["year=2024/month=01/x.parquet"]
    ((series_id, points),) = read_points(f"{root}year=2024/month=01/x.parquet")
    assert (series_id, points.times.tolist()) == ("a", [1, 2])
    with pytest.raises(FileNotFoundError):
        list(read_points(f"{root}none.parquet"))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_all(tmp_path / "x.parquet")


def test_a_directory_in_its_place_is_told(tmp_path: Path) -> None:
    with pytest.raises((DestinationError, ValueError)):
        read_all(tmp_path)
