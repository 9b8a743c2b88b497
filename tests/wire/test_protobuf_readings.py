"""Which reading takes which page, what it may touch, and that none believes its guess."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.wire import decode_page, gather, protobuf, scan_page
from omnia_beam.wire.layout import first_row, loosened, row_layout
from omnia_beam.wire.page import Page
from omnia_beam.wire.rows import Rows, walk
from tests.wire import encoding
from tests.wire.encoding import DOUBLE, INT64, UINT32, member, raw_page, raw_row, usual_item, usual_page

pytestmark = pytest.mark.usefixtures("each_reading")

NOW = 1_700_000_000 * 10**9
RAW = ["time", "value", "status"]


def points(n: int, statuses: list[int], seed: int = 1) -> list[tuple[int, float, int]]:
    rng = random.Random(seed)
    return [(NOW + k * 10**9, rng.gauss(0, 1), rng.choice(statuses)) for k in range(n)]


def many_items(n_items: int, n_points: int, statuses: list[int]) -> bytes:
    return usual_page(
        [
            usual_item(f"s{k}", RAW, [raw_row(*p) for p in points(n_points, statuses, k)], n_points)
            for k in range(n_items)
        ]
    )


@pytest.mark.parametrize(
    "page",
    [
        raw_page(points(5000, [192])),
        raw_page(points(5000, [192, 0, 64])),
        raw_page(points(100, [192, 0])),
        raw_page(points(1, [192])),
        raw_page([(t - NOW - 10**15, v, s) for t, v, s in points(5000, [192, 0])]),
        raw_page([(2**56 + (k - 2500) * 10**9, v, s) for k, (_, v, s) in enumerate(points(5000, [192, 0]))]),
        many_items(20, 50, [192, 64]),
        usual_page(
            [usual_item("a", ["status", "time"], [(r[2], r[0]) for r in (raw_row(*p) for p in points(300, [0, 192]))])]
        ),
    ],
    ids=["even", "mixed", "small", "one point", "before 1970", "across 1972", "many items", "status first"],
)
def test_usual_pages_never_take_the_general_reading(page: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def general(*_: object) -> None:
        raise AssertionError("a usual page was read value by value")

    expected, scan = decode_page(page), scan_page(page)
    monkeypatch.setattr(protobuf, "walk_item", general)
    assert columns_of(decode_page(page)) == columns_of(expected)
    assert scan_page(page) == scan


def columns_of(page: Page) -> list[dict[str, bytes]]:
    return [{name: column.tobytes() for name, column in item.columns.items()} for item in page.items]


def test_one_odd_item_does_not_slow_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = usual_item(
        "odd", RAW, [[member(INT64, NOW), b"\x7d\x00\x00\x00\x00" + member(DOUBLE, 1.0), member(UINT32, 0)]]
    )
    usual = [usual_item(f"s{k}", RAW, [raw_row(*p) for p in points(50, [192, 0])]) for k in range(5)]
    walked: list[int] = []
    walk_item = protobuf.walk_item

    def counted(data: bytes, begin: int, end: int) -> object:
        walked.append(begin)
        return walk_item(data, begin, end)

    monkeypatch.setattr(protobuf, "walk_item", counted)
    page = decode_page(usual_page([*usual[:2], odd, *usual[2:]]))
    assert len(walked) == 1
    assert [item.n_points for item in page.items] == [50, 50, 1, 50, 50, 50]


def test_an_item_that_joins_badly_leaves_the_others_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ragged-looking row in one of several items: the batch fails, the items alone do not."""
    rows = [raw_row(*p) for p in points(200, [192, 0])]
    over_long = encoding.tag(UINT32, encoding.VARINT) + encoding.varint(64, 3)
    changed = [*rows[:100], (rows[100][0], rows[100][1], over_long), *rows[101:]]
    short = [*rows[:100], (member(INT64, 5), rows[100][1], rows[100][2]), *rows[101:]]
    page = usual_page([usual_item("a", RAW, rows), usual_item("b", RAW, changed), usual_item("c", RAW, short)])
    items = decode_page(page).items
    assert [item.n_points for item in items] == [200, 200, 200]
    assert items[1].statuses is not None
    assert items[1].statuses[100] == 64
    assert items[2].times is not None
    assert items[2].times[100] == 5


KINDS = [bytes, bytearray, memoryview, lambda b: memoryview(b"xyz" + b)[3:], lambda b: memoryview(b).cast("b")]


@pytest.mark.parametrize("kind", KINDS, ids=["bytes", "bytearray", "memoryview", "unaligned slice", "signed"])
@pytest.mark.parametrize("statuses", [[192], [192, 0]], ids=["even", "mixed"])
def test_any_buffer(kind: type[bytes], statuses: list[int]) -> None:
    data = raw_page(points(5000, statuses), token="t")
    assert columns_of(decode_page(kind(data))) == columns_of(decode_page(data))
    assert scan_page(kind(data)) == scan_page(data)


def test_a_buffer_with_gaps() -> None:
    data = raw_page(points(10, [192, 0]))
    doubled = bytes(byte for byte in data for _ in range(2))
    assert columns_of(decode_page(memoryview(doubled)[::2])) == columns_of(decode_page(data))


@pytest.mark.parametrize("n_points", [0, 1, 10, 5000])
@pytest.mark.parametrize("statuses", [[192], [192, 0]], ids=["even", "mixed"])
def test_columns_outlive_the_page(statuses: list[int], n_points: int) -> None:
    data = bytearray(raw_page(points(n_points, statuses)))
    page = decode_page(data)
    before = columns_of(page)
    data[:] = bytes(len(data))
    data.append(0)  # refused by bytearray itself while anything still refers to its memory
    assert columns_of(page) == before


def test_an_item_without_points_has_typed_columns() -> None:
    (item,) = decode_page(usual_page([usual_item("a", [*RAW, "avg"], [])])).items
    assert {name: column.dtype.name for name, column in item.columns.items()} == {
        "time": "int64",
        "value": "float64",
        "status": "uint32",
        "avg": "float64",
    }
    assert item.n_points == 0


def test_an_empty_item_has_no_columns() -> None:
    page = decode_page(b"\x0a\x00")
    (item,) = page.items
    assert (item.series_id, item.total_count, item.columns, item.n_points) == ("", 0, {}, 0)
    assert item.times is item.values is item.statuses is None
    assert (decode_page(b"").items, decode_page(b"").continuation_token, page.n_points) == ((), None, 0)


def test_scan_counts_whole_points() -> None:
    scan = scan_page(
        usual_page([usual_item("a", RAW, [raw_row(*p) for p in points(7, [192, 0])], 9), usual_item("b", [], [])])
    )
    assert [(i.series_id, i.total_count, i.n_points) for i in scan.items] == [("a", 9, 7), ("b", 0, 0)]


def region(page: bytes) -> tuple[np.ndarray, int, int]:
    buf = np.frombuffer(page, np.uint8)
    return buf, page.index(b"\x22\x0a\x08"), len(page)


@given(st.data())
def test_row_starts_are_verified_not_believed(data: st.DataObject) -> None:
    """Whatever the first stage claims, the second lifts columns only from rows that tile the region."""
    page = raw_page(points(40, [192, 0]))
    buf, begin, end = region(page)
    shape = first_row(page, begin, end, 3)
    assert shape is not None
    layout = row_layout(loosened(shape, 9))
    begins, ends = np.array([begin]), np.array([end])
    rows = walk(buf, begins, ends, layout)
    assert rows is not None
    assert gather.uneven_columns(buf, rows, begins, ends, layout) is not None
    wrong = rows.starts.copy()
    how = data.draw(st.sampled_from(["drop", "shift", "double", "foreign begin"]))
    at = data.draw(st.integers(0, len(wrong) - 1))
    if how == "drop":
        wrong = np.delete(wrong, at)
    elif how == "double":
        wrong = np.insert(wrong, at, wrong[at])
    elif how == "shift":
        wrong[at:] += data.draw(st.integers(1, 3))
    else:
        begins = begins + data.draw(st.integers(1, 100))
    lie = Rows(wrong, np.array([len(wrong)]))
    assert gather.uneven_columns(buf, lie, begins, ends, layout) is None
    assert not gather.chain_lengths(buf, lie, begins, ends, layout)


def test_a_region_without_rows_is_turned_down() -> None:
    page = raw_page(points(4, [192, 0]))
    buf, begin, end = region(page)
    shape = first_row(page, begin, end, 3)
    assert shape is not None
    layout = row_layout(loosened(shape, 9))
    rows = Rows(np.array([begin]), np.array([1, 0]))
    spans = np.array([begin, end]), np.array([end, end])
    assert gather.uneven_columns(buf, rows, *spans, layout) is None
    assert not gather.chain_lengths(buf, rows, *spans, layout)


def test_two_odd_rows_that_fill_the_space_of_two_even_ones() -> None:
    """The region's size is a multiple of the row's, and the rows that are looked at first are even: still no row is."""
    statuses = [192] * 10 + [5, 70_000] + [192] * 40
    page = raw_page([(NOW + k * 10**9, k / 7, status) for k, status in enumerate(statuses)])
    (item,) = decode_page(page).items
    assert item.statuses is not None
    assert item.statuses.tolist() == statuses
    assert scan_page(page).items[0].n_points == len(statuses)
