"""Reading destinations: any order of files and rows, both forms, damage, names that no job gave."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.files.contents import FileContents, PointFiles
from omnia_beam.io.files.csv.write import CsvFile, CsvOptions, csv_files
from omnia_beam.io.files.options import CsvSink, ParquetSink
from omnia_beam.io.files.parquet.write import ParquetFile, chunk_files
from omnia_beam.pipelines.profile.figures import SeriesFigures, figures_of
from omnia_beam.pipelines.profile.reading import tally_of
from tests.pipelines.profile.oracle import Point, expected_figures
from tests.pipelines.profile.test_tally import check, columns

HOUR = 3_600 * 10**9
Rows = list[tuple[str, int, float, int]]

rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 40).map(lambda hours: hours * HOUR // 2),
        st.sampled_from([0.0, 1.0, 2.5, math.nan, math.inf]),
        st.sampled_from([192, 0, 64]),
    ),
    max_size=30,
)


def table(content: Rows, unit: str = "ns") -> pa.Table:
    names, times, values, statuses = zip(*content, strict=True) if content else ((), (), (), ())
    return pa.table(
        {
            "series_id": pa.array(names, pa.string()),
            "time": pa.array(times, pa.int64()).cast(pa.timestamp("ns", "UTC")).cast(pa.timestamp(unit, "UTC")),
            "value": pa.array(values, pa.float64()),
            "status": pa.array(statuses, pa.uint32()),
        }
    )


def look(
    folder: Path, sorted_at_once: int = 1_000, within: TimeRange | None = None
) -> tuple[dict[str, SeriesFigures], FileContents]:
    reading = FileContents.of(
        str(folder), PointFiles.of(ParquetSink(kind="parquet", path=str(folder))), "job-0a1b2c3d", within
    )
    return {each.series_id: each for each in figures_of(tally_of(reading, HOUR, sorted_at_once))}, reading


def check_all(found: dict[str, SeriesFigures], content: Rows) -> None:
    plant: dict[str, list[Point]] = {}
    for name, *point in content:
        plant.setdefault(name, []).append((point[0], point[1], point[2]))  # type: ignore[arg-type]  # of a star
    assert found.keys() == plant.keys()
    for name, points in plant.items():
        check(found[name], expected_figures(points, HOUR), 10.0)


@given(
    st.lists(st.tuples(rows, st.sampled_from(["s", "us", "ns"])), min_size=1, max_size=4),
    st.sampled_from([1, 7, 1_000]),
)
def test_rows_of_any_order_in_files_of_any_order(parts: list[tuple[Rows, str]], at_once: int) -> None:
    everything: Rows = []
    with TemporaryDirectory() as folder:
        for number, (content, unit) in enumerate(parts):
            # Each series and time once: which of two values at one time comes first is nowhere said.
            seen = {row[:2] for row in everything}
            mine = list({row[:2]: row for row in content if row[:2] not in seen}.values())
            everything += mine
            pq.write_table(table(mine, unit), Path(folder) / f"part-{number}.parquet", row_group_size=5)
        found, reading = look(Path(folder), at_once)
        assert not reading.problems
        check_all(found, everything)


def window(start: int, end: int, points: dict[str, Points]) -> Chunk:
    return Chunk.from_points(ChunkKey(("a", "b"), TimeRange(start * HOUR, end * HOUR)), points)


def hours(*found: int) -> Points:
    return columns([(hour * HOUR, 1.5 * hour, 192 if hour % 2 else 24) for hour in found])


@pytest.fixture
def chunks() -> list[Chunk]:
    """Windows of one job, over a new year; those of later times have names that come first."""
    return [
        window(-30, -10, {"a": hours(-28, -11), "b": hours(-20)}),
        window(-10, 10, {"a": hours(-3, -2, -1, 0, 1, 9), "b": hours(0)}),
        window(10, 700, {"a": hours(650)}),
        window(700, 2_000, {"a": hours(*range(700, 1_900, 3)), "b": hours(1_999)}),
    ]


def put(folder: Path, files: Iterable[ParquetFile | CsvFile]) -> None:
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)


def of_chunks(chunks: list[Chunk]) -> Rows:
    found: Rows = []
    for chunk in chunks:
        for name, _, points in chunk.by_series():
            found += [(name, *each) for each in zip(*(column.tolist() for column in points[:3]), strict=True)]
    return found


def test_a_destination_is_read_once_in_the_order_of_its_windows(tmp_path: Path, chunks: list[Chunk]) -> None:
    put(tmp_path, (file for chunk in chunks for file in chunk_files(chunk, "job-0a1b2c3d")))
    found, reading = look(tmp_path)
    check_all(found, of_chunks(chunks))
    assert len(reading.parts) == 7  # over all months
    starts = [re.findall(r"-(-?\d{4}\d{4})T", name)[0] for name in reading.parts]
    assert starts == sorted(starts)


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("layout", ["long", "wide"])
def test_csv(tmp_path: Path, chunks: list[Chunk], layout: Any, compression: Any) -> None:
    options = CsvOptions(layout, ";", compression)
    put(tmp_path, (file for chunk in chunks for file in csv_files(chunk, "job-0a1b2c3d", options)))
    sink = CsvSink(kind="csv", path=str(tmp_path), layout=layout, delimiter=";", compression=compression)
    files = PointFiles.of(sink)
    tally = tally_of(FileContents.of(str(tmp_path), files, "job-0a1b2c3d"), HOUR)
    found = {each.series_id: each for each in figures_of(tally, statuses=files.hold_statuses)}
    if layout == "wide":
        assert {each.bad for each in found.values()} == {each.share_bad for each in found.values()} == {None}
        found = {name: replace(each, bad=0, questionable=0) for name, each in found.items()}
    check_all(found, [(*row[:3], row[3] if layout == "long" else 192) for row in of_chunks(chunks)])


def test_a_damaged_file_is_named_and_the_rest_is_counted(tmp_path: Path, chunks: list[Chunk]) -> None:
    put(tmp_path, (file for chunk in chunks for file in chunk_files(chunk, "job-0a1b2c3d")))
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.parquet"))
    (tmp_path / names[0]).write_bytes(b"PAR1")
    os.mkfifo(tmp_path / "pipe.parquet")
    (tmp_path / "link.parquet").symlink_to("nowhere")
    found, reading = look(tmp_path)
    assert reading.problems.keys() == {names[0], "pipe.parquet", "link.parquet"}
    assert "cannot be read to its end" in reading.problems[names[0]]
    assert "is a pipe and no file" in reading.problems["pipe.parquet"]
    assert found["a"].points > 400


def test_a_flipped_bit_is_no_figure(tmp_path: Path, chunks: list[Chunk]) -> None:
    put(tmp_path, chunk_files(chunks[3], "job-0a1b2c3d"))
    name = min(tmp_path.rglob("*.parquet"))
    content = bytearray(name.read_bytes())
    content[len(content) // 3] ^= 4
    name.write_bytes(content)
    _, reading = look(tmp_path)
    assert len(reading.problems) == 1


def test_only_the_points_of_a_range(tmp_path: Path, chunks: list[Chunk]) -> None:
    put(tmp_path, (file for chunk in chunks for file in chunk_files(chunk, "job-0a1b2c3d")))
    within = TimeRange(-3 * HOUR, 650 * HOUR)
    found, _ = look(tmp_path, within=within)
    check_all(found, [row for row in of_chunks(chunks) if row[1] in within])


def test_what_a_reader_passes_over_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "_old").mkdir()
    for name in ("_old/a.parquet", ".a.parquet", "_a.parquet"):
        pq.write_table(table([("a", 0, 1.0, 192)]), tmp_path / name)
    found, reading = look(tmp_path)
    assert (found, reading.parts, reading.problems) == ({}, (), {})


def test_one_series_that_is_larger_than_what_is_sorted_at_once(tmp_path: Path) -> None:
    late: Rows = [("a", hour * HOUR, 1.0, 192) for hour in range(50, 100)]
    early: Rows = [("a", hour * HOUR, 1.0, 192) for hour in range(50)] + [("b", 5, 1.0, 192)]
    pq.write_table(table([*late, *early]), tmp_path / "x.parquet", row_group_size=40)
    found, reading = look(tmp_path, 10)
    check_all(found, [*late, *early])
    assert found["a"].flats.count == 1
    assert reading.points_read == 101
