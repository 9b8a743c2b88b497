"""Foreign Parquet files: every kind of column that can be read is read exactly; every other is refused with file and row."""

from __future__ import annotations

import datetime
import decimal
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.errors import UsageError
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS, parse_time
from omnia_beam.io.facts import Noted
from omnia_beam.io.files.catalog import FileCatalog, catalog_files
from omnia_beam.io.files.forms import FileSource, ParquetForm
from omnia_beam.io.files.read import ReadFromFiles
from omnia_beam.io.files.reader import BlockCache

T0 = parse_time("2024-03-01T00:00:00Z")
SECOND = 1_000_000_000
TIMES = pa.array([T0 // SECOND, T0 // SECOND + 1], pa.timestamp("s", "UTC"))
NAMES = pa.array(["PT-1", "PT-2"])
VALUES = pa.array([1.5, 2.5])

Row = tuple[str, int, float, int]


def write(path: Path, table: Any = None, *, store_schema: bool = True, **columns: Any) -> None:
    names = {"series_id": NAMES, "time": TIMES, "value": VALUES, **columns}
    table = pa.table(names) if table is None else table
    pq.write_table(table, path, store_schema=store_schema)


def rows_of(path: Path, form: ParquetForm | None = None, **source: Any) -> list[Row]:
    """What the blocks of a file hold, by time and name."""
    asked = FileSource((str(path),), form or ParquetForm(), **source)
    return sorted(_rows(asked, catalog_files(asked)), key=lambda row: (row[1], row[0]))


def _rows(source: FileSource, catalog: FileCatalog) -> list[Row]:
    found: list[Row] = []
    cache = BlockCache(source)
    for index in catalog.indexes:
        for block in range(len(index.places)):
            for name, points in cache.get(index.file, _ref(block, index.place(block))).items():
                columns = (points.times.tolist(), points.values.tolist(), points.statuses.tolist())
                found.extend((name, *row) for row in zip(*columns, strict=True))
    cache.close()
    return found


def _ref(file: int, place: Any) -> Any:
    from omnia_beam.io.files.catalog import BlockRef

    return BlockRef(file, place, 0, 0)


EXPECTED: list[Row] = [("PT-1", T0, 1.5, 192), ("PT-2", T0 + SECOND, 2.5, 192)]
ID = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")


@pytest.mark.parametrize(
    "columns",
    [
        {"value": pa.array([decimal.Decimal("1.50"), decimal.Decimal("2.50")], pa.decimal128(18, 2))},
        {"value": pa.array([decimal.Decimal("1.5"), decimal.Decimal("2.5")], pa.decimal256(50, 1))},
        {"value": pa.array([1.5, 2.5], pa.float32())},
        {"value": pa.array(np.array([1.5, 2.5], np.float16))},
        {"value": VALUES.dictionary_encode()},
        {"series_id": NAMES.cast(pa.large_string())},
        {"series_id": NAMES.cast(pa.string_view())},
        {"series_id": NAMES.cast(pa.binary())},
        {"series_id": NAMES.cast(pa.large_binary())},
        {"series_id": NAMES.cast(pa.binary()).cast(pa.binary_view())},
        {"series_id": pa.array([b"PT-1", b"PT-2"], pa.binary(4))},
        {"series_id": NAMES.dictionary_encode()},
        {
            "series_id": NAMES.cast(pa.large_string())
            .dictionary_encode()
            .cast(pa.dictionary(pa.int64(), pa.large_string()))
        },
        {"series_id": NAMES.cast(pa.binary()).dictionary_encode()},
        {"time": TIMES.cast(pa.timestamp("ms", "UTC"))},
        {"time": TIMES.cast(pa.timestamp("ns", "Asia/Tokyo"))},
        {"time": TIMES.cast(pa.timestamp("us"))},
        {"time": pa.array(["2024-03-01T00:00:00Z", "2024-03-01 00:00:01"])},
        {"time": pa.array(["2024-03-01T01:00:00+01:00", "2024-03-01T00:00:01.000Z"], pa.large_string())},
        {"time": pa.array([b"2024-03-01T00:00:00Z", b"2024-03-01T00:00:01Z"])},
        {"time": pa.array(["2024-03-01T00:00:00Z", "2024-03-01T00:00:01Z"]).dictionary_encode()},
        {"status": pa.array([192.0, float("nan")])},
        {"status": pa.array([192, None], pa.int16())},
        {"status": pa.array([192, 192], pa.uint64())},
        {"status": pa.array([decimal.Decimal("192"), None], pa.decimal128(5, 0))},
        {"status": pa.nulls(2)},
        {"status": pa.array([192, None]).dictionary_encode()},
    ],
    ids=lambda columns: "-".join(f"{name}-{column.type}" for name, column in columns.items()),
)
def test_kinds_of_columns(columns: Any, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", **columns)
    assert rows_of(tmp_path / "a.parquet") == EXPECTED


@pytest.mark.parametrize(
    "kind",
    [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(), pa.bool_()],
)
def test_whole_numbers(kind: Any, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", value=pa.array([0, 1]).cast(kind))
    assert [row[2] for row in rows_of(tmp_path / "a.parquet")] == [0.0, 1.0]


@pytest.mark.parametrize("store_schema", [True, False])
def test_uuids_are_read_as_their_usual_text(store_schema: bool, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", series_id=pa.array([ID.bytes, ID.bytes], pa.uuid()), store_schema=store_schema)
    assert {row[0] for row in rows_of(tmp_path / "a.parquet")} == {str(ID)}


@pytest.mark.parametrize(
    ("column", "form", "times"),
    [
        (pa.array([datetime.date(2024, 3, 1), datetime.date(2024, 3, 2)]), {}, [T0, T0 + 86_400 * SECOND]),
        (pa.array([T0 // SECOND, T0 // SECOND + 1], pa.int32()), {"time_unit": "s"}, [T0, T0 + SECOND]),
        (pa.array([T0 // 1000, T0 // 1000 + 1], pa.uint64()), {"time_unit": "us"}, [T0, T0 + 1000]),
        (pa.array(["01.03.2024 00:00", "01.03.2024 00:01"]), {"time_format": "%d.%m.%Y %H:%M"}, [T0, T0 + 60 * SECOND]),
        (pa.array([str(T0 // SECOND), str(T0 // SECOND + 1)]), {"time_format": "epoch_s"}, [T0, T0 + SECOND]),
        (pa.array([-1, -2], pa.timestamp("us", "UTC")), {}, [-2000, -1000]),
    ],
)
def test_times_of_other_kinds(column: Any, form: Any, times: list[int], tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", time=column)
    assert [row[1] for row in rows_of(tmp_path / "a.parquet", ParquetForm(**form))] == times


def test_times_without_a_zone_are_of_the_configured_one(tmp_path: Path) -> None:
    noon = [datetime.datetime(2024, 7, 1, 12), datetime.datetime(2024, 10, 27, 2, 30)]
    write(tmp_path / "a.parquet", time=pa.array(noon[:1] * 2, pa.timestamp("ms")))
    assert {row[1] for row in rows_of(tmp_path / "a.parquet", timezone="Europe/Oslo")} == {
        parse_time("2024-07-01T10:00:00Z")
    }
    write(tmp_path / "b.parquet", time=pa.array(noon, pa.timestamp("ms")))
    with pytest.raises(
        UsageError, match=r"b\.parquet: row 2: column 'time': 2024-10-27 02:30:00 happened twice or never"
    ):
        rows_of(tmp_path / "b.parquet", timezone="Europe/Oslo")


@given(
    days=st.lists(st.integers(-100_000, 200_000), min_size=1, max_size=6),
    unit=st.sampled_from(["s", "ms", "us", "int96", "date"]),
)
def test_times_are_exact_or_refused_with_their_row(
    days: list[int], unit: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("t") / "a.parquet"
    true = [day * 86_400 * SECOND for day in days]
    if unit == "date":
        column = pa.array(days, pa.date32())
    else:
        kind = "us" if unit == "int96" else unit
        factor = {"s": SECOND, "ms": 10**6, "us": 10**3}[kind]
        column = pa.array([time // factor for time in true], pa.timestamp(kind, "UTC"))
    table = pa.table({"series_id": ["s"] * len(days), "time": column, "value": [1.0] * len(days)})
    pq.write_table(table, path, use_deprecated_int96_timestamps=unit == "int96", row_group_size=2)
    outside = [row for row, time in enumerate(true, start=1) if not MIN_TIME_NS <= time <= MAX_TIME_NS]
    if outside:
        with pytest.raises(UsageError, match=rf"a\.parquet: row {outside[0]}: column 'time': .*outside"):
            rows_of(path)
    else:
        assert [row[1] for row in rows_of(path)] == sorted(true)


def test_int96_keeps_its_nanoseconds(tmp_path: Path) -> None:
    table = pa.table(
        {"series_id": NAMES, "time": pa.array([T0 + 1, MAX_TIME_NS - SECOND], pa.timestamp("ns")), "value": VALUES}
    )
    pq.write_table(table, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    assert [row[1] for row in rows_of(tmp_path / "a.parquet")] == [T0 + 1, MAX_TIME_NS - SECOND]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"time": pa.array([2**63, 1], pa.uint64())}, r"row 1: column 'time': 9223372036854775808 ns is outside"),
        ({"time": pa.array([datetime.time(1), datetime.time(2)])}, r"column 'time' is time64\[us\], not a timestamp"),
        (
            {"time": pa.array(["2024-03-01T00:00:00Z", "yesterday"])},
            r"row 2: column 'time': 'yesterday' is not a time in RFC",
        ),
        ({"time": pa.array([b"\xff", b"\xfe"])}, r"row 1: column 'time': the time is not text"),
        (
            {"value": pa.array([[1.0], [2.0]])},
            r"column 'value' is list<.*>, not a number: write its parts into columns",
        ),
        ({"value": pa.array([{"x": 1}, {"x": 2}])}, r"column 'value' is struct<.*>, not a number: write its parts"),
        ({"value": pa.array([b"ab", b"cd"], pa.binary(2))}, r"column 'value' is fixed_size_binary\[2\], not a number"),
        ({"series_id": pa.array(["PT-1", ""])}, r"row 2: column 'series_id': a row names no series"),
        ({"series_id": pa.array(["PT-1", None])}, r"row 2: column 'series_id': a row names no series"),
        (
            {"series_id": pa.array([b"PT-1", b"\xff\xfe"])},
            r"row 2: column 'series_id': b'\\xff\\xfe' is not text in UTF-8",
        ),
        ({"series_id": pa.array([1.5, 2.5])}, r"column 'series_id' is double, not text"),
        ({"status": pa.array([192, 2**32])}, r"row 2: column 'status': 4294967296 is not a status"),
        ({"status": pa.array([192.0, 0.5])}, r"row 2: column 'status': 0.5 is not a status"),
        ({"status": pa.array(["Good", "Bad"])}, r"column 'status' is string, not a whole number"),
    ],
)
def test_what_a_point_cannot_hold_is_refused(columns: Any, says: str, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", **columns)
    with pytest.raises(UsageError, match=rf"a\.parquet: {says}"):
        rows_of(tmp_path / "a.parquet")


def test_names_that_are_numbers(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", series_id=pa.array([101, 102], pa.int32()))
    assert [row[0] for row in rows_of(tmp_path / "a.parquet")] == ["101", "102"]


def test_a_dictionary_that_holds_a_name_twice(tmp_path: Path) -> None:
    from omnia_beam.io.files.parquet.columns import Rows, names_of

    names = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 1]), pa.array(["a", "b", "a"]))
    codes, found = names_of(names, "series_id", Rows("a.parquet", 1))
    assert [found[code] for code in codes] == ["a", "b", "a", "b"]
    assert len(found) == 2


def test_rows_without_a_value_are_no_points_whatever_else_they_lack(tmp_path: Path) -> None:
    write(
        tmp_path / "a.parquet",
        series_id=pa.array(["PT-1", None, "PT-2"]),
        time=pa.array([T0, None, T0 + SECOND], pa.timestamp("ns", "UTC")),
        value=pa.array([1.5, None, 2.5]),
    )
    assert rows_of(tmp_path / "a.parquet") == EXPECTED
    write(tmp_path / "b.parquet", value=pa.nulls(2))
    assert rows_of(tmp_path / "b.parquet") == []


def test_each_file_by_its_own_schema(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", value=pa.nulls(2))
    write(tmp_path / "b.parquet", value=pa.array([1, 2], pa.int8()), time=TIMES.cast(pa.timestamp("us")))
    write(tmp_path / "c.parquet", series_id=NAMES.dictionary_encode(), status=pa.array([0, 1]))
    write(tmp_path / "d.parquet", table=pa.table({"value": VALUES, "time": TIMES, "series_id": NAMES}).slice(0, 0))
    source = FileSource((str(tmp_path / "*.parquet"),), ParquetForm())
    assert catalog_files(source).facts["PT-2"].points == 2


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([NAMES, TIMES, VALUES, VALUES], names=["series_id", "time", "value", "value"])
    write(tmp_path / "a.parquet", table)
    with pytest.raises(UsageError, match=r"a\.parquet: there are 2 columns called 'value'"):
        rows_of(tmp_path / "a.parquet")
    table = pa.Table.from_arrays([NAMES, TIMES, VALUES, VALUES, VALUES], names=["series_id", "time", "value", "x", "x"])
    write(tmp_path / "b.parquet", table)
    assert rows_of(tmp_path / "b.parquet") == EXPECTED


def test_whole_numbers_beyond_2_53_are_noted_by_series(tmp_path: Path) -> None:
    write(
        tmp_path / "a.parquet",
        series_id=pa.array(["a", "a", "b", "a"]),
        time=pa.array([1, 2, 3, 4]),
        value=pa.array([2**53, 2**53 + 1, 7, 2**64 - 1], pa.uint64()),
    )
    source = FileSource((str(tmp_path / "a.parquet"),), ParquetForm())
    facts = catalog_files(source).facts
    assert facts["a"].noted == {"integer_precision": Noted(2, f"{tmp_path}/a.parquet: row 2: {2**53 + 1}")}
    assert facts["b"].noted == {}
    with pytest.raises(UsageError, match=r"a: 2 integers beyond 2\^53"):
        ReadFromFiles(source)


@given(
    numbers=st.lists(
        st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**20), max_value=10**20), min_size=1
    )
)
def test_decimals_become_the_nearest_float(numbers: list[decimal.Decimal]) -> None:
    from omnia_beam.io.files.parquet.columns import Rows, values_of

    values, _ = values_of(pa.array(numbers, pa.decimal128(38, 9)), "value", Rows("a.parquet", 1))
    assert values.tolist() == [float(number) for number in numbers]


def test_texts_of_our_own_files_are_noted(tmp_path: Path) -> None:
    write(
        tmp_path / "a.parquet",
        value=pa.array([float("nan"), 2.5]),
        text=pa.array(["Bad Input", "a remark beside a number"]),
    )
    facts = catalog_files(FileSource((str(tmp_path / "a.parquet"),), ParquetForm())).facts
    assert facts["PT-1"].noted == {"text_values": Noted(1, f"{tmp_path}/a.parquet: row 1: 'Bad Input'")}
    assert facts["PT-2"].noted == {}


def test_quality_columns_that_are_not_read_are_noted(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", quality=pa.array([1, 2]), comment=pa.array(["", ""]))
    about = catalog_files(FileSource((str(tmp_path / "a.parquet"),), ParquetForm())).indexes[0].about
    assert about.unread == ("quality",)
    assert about.columns[-2:] == (("quality", "not read"), ("comment", "not read"))


@pytest.mark.parametrize("pattern", ["{series}.parquet", "tag={series}/"])
def test_series_from_the_path(pattern: str, tmp_path: Path) -> None:
    folder = tmp_path / "tag=PT%201" if pattern.endswith("/") else tmp_path
    folder.mkdir(exist_ok=True)
    write(folder / "PT 1.parquet", pa.table({"time": TIMES, "value": VALUES}))
    rows = rows_of(folder / "PT 1.parquet", series_from=pattern)
    assert rows == [("PT 1", T0, 1.5, 192), ("PT 1", T0 + SECOND, 2.5, 192)]
    with pytest.raises(UsageError, match=r"no column 'series_id'.*or source\.series_from"):
        rows_of(folder / "PT 1.parquet")


class TestDamage:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        table = pa.table({"series_id": ["s"] * 50, "time": pa.array(range(50)), "value": [n + 0.5 for n in range(50)]})
        path = tmp_path / "a.parquet"
        pq.write_table(table, path, use_dictionary=False, compression="none", write_page_checksum=True)
        return path

    def test_a_page_whose_check_sum_does_not_fit(self, path: Path) -> None:
        chunk = pq.read_metadata(path).row_group(0).column(2)
        data = bytearray(path.read_bytes())
        data[chunk.data_page_offset + chunk.total_compressed_size - 3] ^= 0x10
        path.write_bytes(data)
        with pytest.raises(UsageError, match=r"a\.parquet: row group 0: column .value. is damaged: .*CRC"):
            rows_of(path)

    @pytest.mark.parametrize("share", [0.0001, 0.3, 0.9, 0.999])
    def test_a_file_that_is_cut_short(self, path: Path, share: float) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: max(int(len(data) * share), 1)])
        with pytest.raises(UsageError, match=r"a\.parquet: is not a whole Parquet file"):
            rows_of(path)

    def test_another_kind_of_file(self, path: Path) -> None:
        path.write_text("time,value\n1,2\n")
        with pytest.raises(UsageError, match=r"a\.parquet: is not a whole Parquet file"):
            rows_of(path)
