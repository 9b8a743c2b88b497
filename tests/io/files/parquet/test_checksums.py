"""Page checksums: written by the sink, looked for in any file, and a page that does not fit its own is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.errors import UsageError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.files.catalog import catalog_files
from omnia_beam.io.files.forms import FileSource, ParquetForm
from omnia_beam.io.files.parquet.checksums import has_checksums, page_has_checksum
from omnia_beam.io.files.parquet.readback import read_points
from omnia_beam.io.files.parquet.write import chunk_files


def checked(data: bytes) -> bool:
    metadata = pq.read_metadata(pa.BufferReader(data))
    return has_checksums(metadata, lambda offset, count: data[offset : offset + count])


def sink_file(count: int = 1_000) -> bytes:
    key = ChunkKey(("a", "b"), TimeRange.parse("2024-01-01", "2024-02-01"))
    times = key.range.start_ns + np.arange(count, dtype=np.int64) * 1_000_000_007
    points = Points(times, np.sqrt(np.arange(count)), np.full(count, 192, np.uint32))
    (file,) = chunk_files(Chunk.from_points(key, {"a": points, "b": points}), "job")
    return bytes(file.content)


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("rows", [0, 1, 100_000])
def test_any_file_tells_whether_it_has_them(checksums: bool, version: str, dictionary: bool, rows: int) -> None:
    out = pa.BufferOutputStream()
    table = pa.table({"x": np.arange(rows), "y": [str(i % 7) for i in range(rows)], "z": pa.nulls(rows, pa.float64())})
    options: dict[str, Any] = {"data_page_version": version, "use_dictionary": dictionary, "row_group_size": 30_000}
    pq.write_table(table, out, write_page_checksum=checksums, **options)
    assert checked(out.getvalue().to_pybytes()) is (checksums or not rows)


def test_files_of_the_sink_have_them() -> None:
    assert checked(sink_file())


@pytest.mark.parametrize(
    "header", [b"", b"\x15", b"\x15\x80", b"\x15\x04\x15", b"PAR1....", b"\x25\x04\x15\x02\x15\x02"]
)
def test_what_is_no_page_header_is_refused(header: bytes) -> None:
    with pytest.raises(ValueError, match="page header"):
        page_has_checksum(header)


def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    data, path = sink_file(), tmp_path / "x.parquet"
    path.write_bytes(data)
    whole = [(series_id, [column.tobytes() for column in points[:3]]) for series_id, points in read_points(str(path))]
    column = pq.read_metadata(path).row_group(0).column(2)
    refused = 0
    end = column.data_page_offset + column.total_compressed_size
    for at in np.linspace(end - column.total_compressed_size // 2, end - 1, 25):  # past the page's header
        flipped = bytearray(data)
        flipped[int(at)] ^= 4
        path.write_bytes(flipped)
        try:
            found = list(read_points(str(path)))
        except ValueError:
            refused += 1
            continue
        assert [(series_id, [c.tobytes() for c in points]) for series_id, points in found] == whole
    assert refused == 25


def test_a_source_is_refused_with_file_row_group_and_column(tmp_path: Path) -> None:
    path = tmp_path / "plant.parquet"
    times = pa.array(range(90), pa.int64()).cast(pa.timestamp("ns", "UTC"))
    table = pa.table({"series_id": ["a"] * 90, "time": times, "value": [n / 3 for n in range(90)]})
    pq.write_table(table, path, row_group_size=30, use_dictionary=False, compression="none", write_page_checksum=True)
    column = pq.read_metadata(path).row_group(1).column(2)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size - 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"plant\.parquet: row group 1: column 'value' is damaged: .*CRC"):
        catalog_files(FileSource((str(path),), ParquetForm()))
