"""Reading the CSV sink's files back: every point of every chunk, in both layouts; damage is always told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.files.csv.readback import as_csv_holds, read_csv_points
from omnia_beam.io.files.csv.write import CsvOptions, csv_files

RANGE = TimeRange.parse("2024-01-30", "2024-02-03")
NAMES = ["a", 'b "quoted"', "c,d;e\tf", "g\nh", " blank ", "ø", "123", "-"]
BITS = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 1 << 63, 0x7FF0000000000000, 0xFFF8000000000001]))
ROWS = st.lists(
    st.tuples(st.integers(RANGE.start_ns, RANGE.end_ns - 1), BITS, st.integers(0, 2**32 - 1)),
    max_size=9,
    unique_by=lambda row: row[0],
).map(sorted)


def points_of(rows: list[tuple[int, int, int]]) -> Points:
    times, bits, statuses = zip(*rows, strict=True) if rows else ((), (), ())
    values = np.array(bits, np.uint64).view(np.float64)
    return Points(np.array(times, np.int64), values, np.array(statuses, np.uint32))


def plain(series: Any) -> dict[str, list[tuple[int, int, int]]]:
    found: dict[str, list[tuple[int, int, int]]] = {}
    for name, points in series:
        columns = points.times.tolist(), points.values.view(np.uint64).tolist(), points.statuses.tolist()
        found.setdefault(name, []).extend(zip(*columns, strict=True))
    return {name: sorted(rows) for name, rows in found.items() if rows}


def written(chunk: Chunk, folder: Path, options: CsvOptions) -> list[Path]:
    paths = []
    for file in csv_files(chunk, "job", options):
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        paths.append(path)
    return paths


@given(
    st.dictionaries(st.sampled_from(NAMES), ROWS, min_size=1),
    st.builds(
        CsvOptions,
        st.sampled_from(["long", "wide"]),
        st.sampled_from(",;\t"),
        st.sampled_from(["none", "gzip", "zstd"]),
    ),
)
def test_every_point_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, list[tuple[int, int, int]]], options: CsvOptions
) -> None:
    assume(
        options.layout == "long" or all(min(name) >= " " and name == name.strip() for name in rows)
    )  # no header of a wide file holds the others
    chunk = Chunk.from_points(
        ChunkKey(tuple(sorted(rows)), RANGE), {name: points_of(each) for name, each in rows.items()}
    )
    folder = tmp_path_factory.mktemp("csv")
    found = plain(each for path in written(chunk, folder, options) for each in read_csv_points(str(path), options))
    assert found == plain((name, points) for name, _, points in as_csv_holds(chunk, options).by_series())


def test_what_csv_cannot_hold_is_taken_from_a_chunk() -> None:
    rows = [(RANGE.start_ns, 0xFFF0000000000007, 64), (RANGE.start_ns + 1, 1 << 63, 192)]
    chunk = Chunk.from_points(ChunkKey(("a",), RANGE), {"a": points_of(rows)})
    nan, minus = 0x7FF8000000000000, 1 << 63
    for layout, statuses in (("long", (64, 192)), ("wide", (0, 0))):
        held = as_csv_holds(chunk, CsvOptions(layout))  # type: ignore[arg-type]  # of a tuple of texts
        expected = [(RANGE.start_ns, nan, statuses[0]), (RANGE.start_ns + 1, minus, statuses[1])]
        assert plain((name, points) for name, _, points in held.by_series()) == {"a": expected}


LONG = "series_id,time,value,status\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "[Ee]mpty"),
        ("time,a\n2024-01-01T00:00:00.000000000Z,1\n", "its columns are time, a, not series_id"),
        (LONG + "a,yesterday,1,192\n", "yesterday"),
        (LONG + "a,2024-01-01T00:00:00.000000000Z,1.5x,192\n", "1.5x"),
        (LONG + "a,2024-01-01T00:00:00.000000000Z,1.5,-1\n", "-1"),
        (LONG + "a,2024-01-01T00:00:00.000000000Z,1.5\n", "[Ee]xpected 4 columns"),
        (LONG + "a,2024-01-01T00:00:00.000000000Z,,192\n", "of type double"),
    ],
)
def test_what_the_sink_does_not_write_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=told):
        list(read_csv_points(str(path), CsvOptions()))


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_compressed_file_cut_short_is_told_or_lacks_points(tmp_path: Path, compression: Any) -> None:
    rows = [(RANGE.start_ns + n, int(np.float64(n / 7).view(np.uint64)), 192) for n in range(2_000)]
    chunk = Chunk.from_points(ChunkKey(("a",), RANGE), {"a": points_of(rows)})
    options = CsvOptions(compression=compression)
    (path,) = written(chunk, tmp_path, options)
    path.write_bytes(path.read_bytes()[:-20])
    try:
        found = plain(read_csv_points(str(path), options))
    except ValueError:
        return
    assert len(found.get("a", [])) < len(rows)
