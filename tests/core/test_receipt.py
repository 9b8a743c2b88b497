"""Receipts: what they count, and that JSON gives the same receipt back or an error, never another receipt."""

from __future__ import annotations

import copy
import json
from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.chunk import Chunk
from omnia_beam.core.fingerprint import add_hashes, hash_points, status_histogram
from omnia_beam.core.receipt import Receipt, SeriesReceipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from tests.core.strategies import as_points, chunks, rows

KEY = ChunkKey(("a", "b"), TimeRange(0, 100))
RECEIPT = Receipt.of(
    Chunk.from_points(KEY, {"a": as_points([(1, 5, 192), (2, 6, 64)])}), "parquet:out", ("x.parquet",), 3
)


@given(rows(max_size=30))
def test_histogram_counts_every_status(made: list[tuple[int, int, int]]) -> None:
    assert status_histogram(as_points(made)) == tuple(sorted(Counter(row[2] for row in made).items()))


@given(chunks())
def test_says_what_the_chunk_holds(made: Any) -> None:
    chunk, expected = made
    receipt = Receipt.of(chunk, "test:")
    assert receipt.key == chunk.key
    assert (receipt.sink, receipt.files, receipt.dead_letters) == ("test:", (), 0)
    assert receipt.count == chunk.num_points
    assert tuple(each.series_id for each in receipt.series) == chunk.key.series_ids
    assert tuple(each.target_id for each in receipt.series) == chunk.series_ids
    for each, held in zip(receipt.series, expected.values(), strict=True):
        times = [row[0] for row in held]
        assert (each.count, each.first_ns, each.last_ns) == (
            len(held),
            min(times, default=None),
            max(times, default=None),
        )
        assert sum(count for _, count in each.statuses) == each.count
        assert each.content_hash == hash_points(*as_points(held))
    assert add_hashes(*(each.content_hash for each in receipt.series)) == hash_points(*chunk.points)


@given(chunks(), st.text(), st.lists(st.text()), st.integers(0, 2**62))
def test_json_round_trip(made: Any, sink: str, files: list[str], dead_letters: int) -> None:
    receipt = Receipt.of(made[0], sink, tuple(files), dead_letters)
    data = receipt.to_json()
    assert Receipt.from_json(data) == receipt
    assert Receipt.from_json(json.loads(json.dumps(data))) == receipt
    assert Receipt.from_json(orjson.loads(orjson.dumps(data))) == receipt


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every leaf of plain data."""
    if isinstance(data, dict | list):
        items = data.items() if isinstance(data, dict) else enumerate(data)
        return [place for key, value in items for place in places(value, (*path, key))]
    return [path]


def replaced(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(data)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


LEAVES = places(RECEIPT.to_json())


@pytest.mark.parametrize("wrong", ["1", 1.5, True, [], {}])
@pytest.mark.parametrize("path", LEAVES, ids=lambda path: ".".join(map(str, path)))
def test_a_leaf_of_the_wrong_type_is_refused(path: tuple[Any, ...], wrong: Any) -> None:
    leaf = RECEIPT.to_json()
    for key in path:
        leaf = leaf[key]
    if isinstance(leaf, str) and isinstance(wrong, str):
        wrong = 1
    with pytest.raises((KeyError, TypeError, ValueError)):
        Receipt.from_json(replaced(RECEIPT.to_json(), path, wrong))


@pytest.mark.parametrize("name", RECEIPT.to_json())
def test_a_missing_member_is_refused(name: str) -> None:
    data = RECEIPT.to_json()
    del data[name]
    with pytest.raises(KeyError, match=name):
        Receipt.from_json(data)


@pytest.mark.parametrize("row", [[], ["a"], ["a", "a", 0, None, None, [], "0" * 32, "more"]])
def test_a_series_of_another_shape_is_refused(row: list[Any]) -> None:
    with pytest.raises(ValueError, match="unpack"):
        Receipt.from_json(RECEIPT.to_json() | {"series": [row]})


def test_series_out_of_order_are_refused() -> None:
    data = RECEIPT.to_json()
    with pytest.raises(ValueError, match="ascending"):
        Receipt.from_json(data | {"series": data["series"][::-1]})


def test_the_json_form_is_pinned() -> None:
    """Ledgers of earlier runs hold this form: a change needs a new version of the ledger."""
    empty = "0" * 32
    series = (
        SeriesReceipt("a", "t", 1, 7, 7, ((192, 1),), "f" * 32),
        SeriesReceipt("b", "b", 0, None, None, (), empty),
    )
    assert Receipt(KEY, "parquet:out", series, ("x",), 2).to_json() == {
        "start": 0,
        "end": 100,
        "sink": "parquet:out",
        "series": [["a", "t", 1, 7, 7, [[192, 1]], "f" * 32], ["b", "b", 0, None, None, [], empty]],
        "files": ["x"],
        "dead_letters": 2,
    }
