"""CSV files: what they hold reads back as the same points, also by Python's own csv module."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.beam.runner import make_runner, pipeline_options
from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.file_stamp import FileStamp
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.files.catalog import catalog_files
from omnia_beam.io.files.csv.write import CsvOptions, csv_files
from omnia_beam.io.files.forms import FileSource
from omnia_beam.io.files.read import ReadFromFiles
from omnia_beam.io.files.write import WriteToCsv

YEAR = TimeRange.parse("2024-01-01", "2025-01-01")
NAMES = ("a", "b;c", 'd"e, f')

one_series = st.dictionaries(
    st.one_of(st.integers(YEAR.start_ns, YEAR.end_ns - 1), st.integers(YEAR.start_ns, YEAR.start_ns + 20)),
    st.tuples(st.floats(), st.integers(0, 2**32 - 1)),
    max_size=12,
)
contents = st.fixed_dictionaries(dict.fromkeys(NAMES, one_series))
Content = dict[str, dict[int, tuple[float, int]]]


def chunk_of(content: Content, series_ids: tuple[str, ...] | None = None) -> Chunk:
    points = {}
    for name, rows in content.items():
        times = sorted(rows)
        points[name] = Points(
            np.array(times, np.int64),
            np.array([rows[t][0] for t in times], np.float64),
            np.array([rows[t][1] for t in times], np.uint32),
        )
    return Chunk.from_points(ChunkKey(NAMES, YEAR), points, series_ids)


def written(chunk: Chunk, options: CsvOptions) -> dict[str, list[list[str]]]:
    """The rows of each file."""
    found = {}
    for file in csv_files(chunk, "job", options):
        text = bytes(file.content).decode()
        found[file.path] = list(csv.reader(io.StringIO(text), delimiter=options.delimiter))
    return found


def same(text: str, value: float) -> bool:
    back = np.float64(text)
    return bool(np.isnan(value) and np.isnan(back)) or back.tobytes() == np.float64(value).tobytes()


@given(content=contents, delimiter=st.sampled_from([",", ";", "\t", "|"]))
def test_long_files_hold_every_point(content: Content, delimiter: str) -> None:
    files = written(chunk_of(content), CsvOptions("long", delimiter))
    rows = [row for path in sorted(files) for row in files[path][1:]]
    expected = {(name, format_time(t, 9)): rest for name, points in content.items() for t, rest in points.items()}
    assert len(rows) == len(expected)
    for name, time, value, status in rows:
        assert same(value, expected[name, time][0])
        assert int(status) == expected[name, time][1]
    for path, (names, *lines) in files.items():
        assert names == ["series_id", "time", "value", "status"]
        assert all(path.startswith(f"year={line[1][:4]}/month={line[1][5:7]}/job-") for line in lines)


@given(content=contents)
def test_wide_files_hold_every_value(content: Content) -> None:
    rows: dict[str, dict[str, str]] = {}
    for names, *lines in written(chunk_of(content), CsvOptions("wide", ";")).values():
        assert names == ["time", *NAMES]
        assert [line[0] for line in lines] == sorted({line[0] for line in lines})
        rows.update({line[0]: dict(zip(names[1:], line[1:], strict=True)) for line in lines})
    expected = {t for points in content.values() for t in points}
    assert set(rows) == {format_time(t, 9) for t in expected}
    for t, name in itertools.product(expected, NAMES):
        cell = rows[format_time(t, 9)][name]
        if t in content[name]:
            assert same(cell, content[name][t][0])
        else:
            assert cell == ""


def digits(text: str) -> tuple[int, ...]:
    """The significant digits, however the exponent is written."""
    return Decimal(text).normalize(Context(prec=40)).as_tuple().digits


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_a_value_is_written_in_the_fewest_digits(value: float) -> None:
    content: Content = {NAMES[0]: {YEAR.start_ns: (value, 192)}}
    ((_, line),) = written(chunk_of(content), CsvOptions()).values()
    assert float(line[2]) == value
    assert digits(line[2]) == digits(repr(value))


def test_after_a_mapping_the_targets_ids_are_written() -> None:
    content: Content = {"a": {YEAR.start_ns: (1.0, 192)}}
    ((_, line),) = written(chunk_of(content, ("x", "y", "z")), CsvOptions()).values()
    assert line[0] == "x"


def test_a_chunk_without_points_is_no_file() -> None:
    assert written(chunk_of({}), CsvOptions()) == {}


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("layout", ["long", "wide"])
def test_through_a_pipeline_and_back(tmp_path: Path, layout: Any, compression: Any) -> None:
    start = parse_time("2024-01-31T23:59:00Z")
    content: Content = {
        name: {start + i * 10**9: (i / 7 - 3, 192) for i in range(n, 120, n + 1)} for n, name in enumerate(NAMES)
    }
    chunk = chunk_of(content)
    out = tmp_path / "out"

    def stored(receipts: list[Receipt]) -> None:
        found = [(out / name).stat() for name in receipts[0].files]
        stamps = tuple(FileStamp(each.st_size, each.st_mtime_ns) for each in found)
        expected = Receipt.of(chunk, f"csv:{out}/", receipts[0].files, stamps=stamps)
        assert receipts == [expected]
        assert sorted(receipts[0].files) == sorted(str(f.relative_to(out)) for f in out.rglob("*.csv*"))
        assert len(receipts[0].files) == 2

    options = pipeline_options(None, [])
    with beam.Pipeline(runner=make_runner(options), options=options) as pipeline:
        write = WriteToCsv(str(out), options=CsvOptions(layout, ",", compression))
        assert_that((pipeline | beam.Create([chunk]) | write).receipts, stored)

    def back(chunks: list[Chunk]) -> None:
        rows = sorted(
            (name, *point)
            for chunk in chunks
            for _, name, points in chunk.by_series()
            for point in zip(*(column.tolist() for column in points[:3]), strict=True)
        )
        assert rows == sorted((n, t, v, s) for n, points in content.items() for t, (v, s) in points.items())

    source = FileSource((f"{out}/**/*.csv*",))
    assert {".gz": "gzip", ".zst": "zstd"}.get(Path(catalog_files(source).files[0].path).suffix, "none") == compression
    if compression == "gzip":
        assert gzip.decompress(Path(catalog_files(source).files[0].path).read_bytes())
    with beam.Pipeline(runner=make_runner(options), options=options) as pipeline:
        assert_that(pipeline | ReadFromFiles(source), back)
