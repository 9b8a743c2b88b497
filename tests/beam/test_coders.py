"""Coders: what goes in comes out bit for bit, the bytes of version 1 are pinned, other versions are refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.beam.coders import ChunkCoder, RawChunkCoder, ReceiptCoder, WindowFailureCoder, WindowShardCoder
from omnia_beam.core.chunk import Chunk, RawChunk, RawPage
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.receipt import Receipt, SeriesReceipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.plan.plan import WindowShard
from tests.core.strategies import as_points, as_rows, chunks, groups

CODERS = {
    RawChunk: RawChunkCoder,
    Chunk: ChunkCoder,
    Receipt: ReceiptCoder,
    WindowFailure: WindowFailureCoder,
    WindowShard: WindowShardCoder,
}

times = st.integers(MIN_TIME_NS, MAX_TIME_NS)
ranges = st.tuples(times, times).map(lambda pair: TimeRange(*sorted(pair)))
keys = st.builds(ChunkKey, groups, ranges)
bodies = st.binary(max_size=40) | st.sampled_from([b"", b"\n", b'{"v":2}\n', b"\n\n{"])
raw_chunks = st.builds(
    RawChunk,
    keys,
    st.lists(st.builds(RawPage, ranges, bodies), max_size=5).map(tuple),
    st.sampled_from(["protobuf", "json"]),
)
texts = st.text(max_size=30)
failures = st.builds(WindowFailure, keys, texts, texts)
shards = st.lists(st.builds(Window, keys, st.integers(0, 2**60), st.integers(1, 10**6)), max_size=6).map(
    lambda windows: WindowShard(tuple(windows))
)

KEY = ChunkKey(("b", "ä"), TimeRange(-5, 10**18))
PAGE = RawPage(TimeRange(-5, 7), b"\x00\n\xff")
CHUNK = Chunk.from_points(KEY, {"b": as_points([(-5, 0xFFF8000000000001, 192), (6, 1 << 63, 2**32 - 1)])})
SERIES = SeriesReceipt("b", "tag", 2, -5, 6, ((64, 1), (192, 1)), "0" * 32)

PINNED: list[tuple[Any, bytes]] = [
    (
        RawChunk(KEY, (PAGE, RawPage(TimeRange(7, 10**18), b"rest")), "json"),
        b'{"v":1,"key":[["b","\\u00e4"],-5,1000000000000000000],"format":"json",'
        b'"pages":[[-5,7,3],[7,1000000000000000000,4]]}\n\x00\n\xffrest',
    ),
    (
        Receipt(ChunkKey(("b",), KEY.range), "parquet:out/", (SERIES,), ("year=1970/x.parquet",), 3),
        b'{"v":1,"receipt":{"start":-5,"end":1000000000000000000,"sink":"parquet:out/",'
        b'"series":[["b","tag",2,-5,6,[[64,1],[192,1]],"00000000000000000000000000000000"]],'
        b'"files":["year=1970/x.parquet"],"dead_letters":3}}\n',
    ),
    (
        WindowFailure(KEY, "ForbiddenError", 'may "not"\n'),
        b'{"v":1,"key":[["b","\\u00e4"],-5,1000000000000000000],"error":"ForbiddenError","message":"may \\"not\\"\\n"}\n',
    ),
    (
        WindowShard((Window(KEY, 9, 2), Window(ChunkKey(("c",), TimeRange(1, 2))), Window(KEY, 8, 1))),
        b'{"v":1,"groups":[["b","\\u00e4"],["c"]],"windows":'
        b"[[0,-5,1000000000000000000,9,2],[1,1,2,0,1],[0,-5,1000000000000000000,8,1]]}\n",
    ),
]
PINNED_CHUNK = base64.b64decode(
    "eyJ2IjoxLCJrZXkiOltbImIiLCJcdTAwZTQiXSwtNSwxMDAwMDAwMDAwMDAwMDAwMDAwXX0K/////1gBAAAQAAAAAAAKAAwABgAFAAgACgAA"
    "AAABBAAEAAAA9P7//wQAAAAEAAAA1AAAAIAAAAA8AAAABAAAAJz///8AAAACEAAAACAAAAAEAAAAAAAAAAYAAABzdGF0dXMAAAAABgAIAAQA"
    "BgAAACAAAADQ////AAAAAxAAAAAcAAAABAAAAAAAAAAFAAAAdmFsdWUABgAIAAYABgAAAAAAAgAQABQACAAAAAcADAAAABAAEAAAAAAAAAoQ"
    "AAAAIAAAAAQAAAAAAAAABAAAAHRpbWUAAAAACAAMAAYACAAIAAAAAAADAAQAAAADAAAAVVRDABAAGAAIAAAABwAMABAAFAAQAAAAAAAABRQA"
    "AABIAAAAJAAAAAQAAAAAAAAACQAAAHNlcmllc19pZAAAAAgACAAAAAQACAAAAAwAAAAIAAwACAAHAAgAAAAAAAABIAAAAAQABAAEAAAAAAAA"
    "AP////+oAAAAFAAAAAAAAAAMABQABgAFAAgADAAMAAAAAAIEABQAAAAYAAAAAAAAAAgACgAAAAQACAAAABAAAAAAAAoAGAAMAAQACAAKAAAA"
    "TAAAABAAAAACAAAAAAAAAAAAAAADAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAADAAAAAAAAAAQAAAAAAAAAAMAAAAAAAAAAAAAAAEAAAAC"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAEAAAADAAAAAAAAAGLDpAAAAAAA/////xgBAAAUAAAAAAAAAAwAFgAGAAUACAAMAAwAAAAAAwQAGAAAADAA"
    "AAAAAAAAAAAKABgADAAEAAgACgAAAJwAAAAQAAAAAgAAAAAAAAAAAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAgAAAAAAAAACAAA"
    "AAAAAAAAAAAAAAAAAAgAAAAAAAAAEAAAAAAAAAAYAAAAAAAAAAAAAAAAAAAAGAAAAAAAAAAQAAAAAAAAACgAAAAAAAAAAAAAAAAAAAAoAAAA"
    "AAAAAAgAAAAAAAAAAAAAAAQAAAACAAAAAAAAAAAAAAAAAAAAAgAAAAAAAAAAAAAAAAAAAAIAAAAAAAAAAAAAAAAAAAACAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAD7/////////wYAAAAAAAAAAQAAAAAA+P8AAAAAAAAAgMAAAAD//////////wAAAAA="
)


def held(chunk: Chunk) -> tuple[Any, ...]:
    return chunk.key, chunk.series_ids, {source_id: as_rows(points) for source_id, _, points in chunk.by_series()}


def again(value: Any) -> Any:
    coder = beam.coders.registry.get_coder(type(value))
    return coder.decode(coder.encode(value))


@given(raw_chunks)
def test_raw_chunks_round_trip(raw: RawChunk) -> None:
    assert again(raw) == raw


@given(chunks())
def test_chunks_round_trip_bit_for_bit(made: Any) -> None:
    chunk, expected = made
    back = again(chunk)
    assert held(back) == (chunk.key, chunk.series_ids, expected)
    back.batch.validate(full=True)


@given(chunks(), st.data())
def test_a_view_of_a_batch_encodes_just_what_it_shows(made: Any, data: st.DataObject) -> None:
    whole, _ = made
    offset = data.draw(st.integers(0, whole.num_points))
    length = data.draw(st.integers(0, whole.num_points - offset))
    view = Chunk(whole.key, whole.batch.slice(offset, length))
    assert held(again(view)) == held(view)
    assert as_rows(again(view).points) == as_rows(whole.points)[offset : offset + length]


@given(chunks())
def test_receipts_round_trip(made: Any) -> None:
    receipt = Receipt.of(made[0], "parquet:out/", ("a.parquet",), 2)
    assert again(receipt) == receipt


@given(failures)
def test_failures_round_trip(failure: WindowFailure) -> None:
    assert again(failure) == failure


@given(shards)
def test_shards_round_trip(shard: WindowShard) -> None:
    assert again(shard) == shard


@given(st.one_of(raw_chunks, failures, shards))
def test_encoding_is_deterministic(value: Any) -> None:
    coder = beam.coders.registry.get_coder(type(value))
    assert coder.is_deterministic()
    assert coder.encode(value) == coder.encode(again(value))


def test_a_view_costs_its_own_points_and_not_those_of_its_batch() -> None:
    rows = as_points([(i, i, 192) for i in range(10_000)])
    whole = Chunk.from_points(ChunkKey(("a",), TimeRange(0, 10_000)), {"a": rows})
    view = Chunk(whole.key, whole.batch.slice(5_000, 10))
    assert len(ChunkCoder().encode(view)) < 2_000
    assert len(ChunkCoder().encode(whole)) > 10_000 * 20


@pytest.mark.parametrize(("value", "pinned"), PINNED, ids=lambda each: type(each).__name__)
def test_version_1_is_pinned(value: Any, pinned: bytes) -> None:
    coder = CODERS[type(value)]()
    assert coder.encode(value) == pinned
    assert coder.decode(pinned) == value


def test_version_1_of_a_chunk_is_pinned() -> None:
    assert held(ChunkCoder().decode(PINNED_CHUNK)) == held(CHUNK)
    header, _, stream = ChunkCoder().encode(CHUNK).partition(b"\n")
    assert header == PINNED_CHUNK.partition(b"\n")[0]
    # The stream is Arrow's own format: what is in it is ours, its padding and its metadata are Arrow's.
    [batch] = pa.ipc.open_stream(stream)
    assert held(Chunk(KEY, batch)) == held(CHUNK)


@pytest.mark.parametrize("version", [0, 2, "1", None])
@pytest.mark.parametrize("kind", CODERS, ids=lambda kind: kind.__name__)
def test_other_versions_are_refused(kind: type, version: object) -> None:
    value = CHUNK if kind is Chunk else next(value for value, _ in PINNED if isinstance(value, kind))
    header, _, rest = CODERS[kind]().encode(value).partition(b"\n")
    changed = json.dumps(json.loads(header) | {"v": version}).encode()
    with pytest.raises(ValueError, match=r"version .*, this is version 1: drain the job"):
        CODERS[kind]().decode(changed + b"\n" + rest)


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_a_raw_chunk_cut_short_is_refused(cut: int) -> None:
    raw, encoded = PINNED[0]
    assert RawChunkCoder().decode(encoded) == raw
    with pytest.raises(ValueError, match="bytes"):
        RawChunkCoder().decode(encoded[:-cut])
    with pytest.raises(ValueError, match="bytes"):
        RawChunkCoder().decode(encoded + b"x" * cut)


@pytest.mark.parametrize("kind", CODERS, ids=lambda kind: kind.__name__)
def test_beam_finds_the_coder_by_the_type(kind: type) -> None:
    assert type(beam.coders.registry.get_coder(kind)) is CODERS[kind]
    assert CODERS[kind]().to_type_hint() is kind
    hinted = beam.typehints.Tuple[str, kind]  # type: ignore[valid-type]  # a type that is made here
    assert CODERS[kind] in {type(part) for part in beam.coders.registry.get_coder(hinted).coders()}


def test_sizes_are_told_without_encoding() -> None:
    raw = RawChunk(KEY, (PAGE, PAGE))
    assert RawChunkCoder().estimate_size(raw) == 6
    assert ChunkCoder().estimate_size(CHUNK) == CHUNK.batch.nbytes
