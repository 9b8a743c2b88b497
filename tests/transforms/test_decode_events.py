"""Event messages: every point of a good one, none of a bad one, and no claim that a message cannot make."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.beam.progress import RunBoard
from omnia_beam.core.chunk import Chunk
from omnia_beam.core.errors import UsageError, WireFormatError
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.files.write import WriteFiles
from omnia_beam.transforms.decode_events import EVENT_SCHEMA, BadEvent, DecodeEvents, DecodeEventsFn, event_chunk

HOUR = 3_600 * 10**9
Point = tuple[int, float, int]

points_of_a_series = st.dictionaries(
    st.integers(-(10**15), 2 * 10**16).map(lambda hundreds: hundreds * 100),
    st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**32 - 1)),
    max_size=8,
)
messages = st.lists(st.tuples(st.sampled_from("abcdé"), points_of_a_series), max_size=5)


def text_of(items: list[tuple[str, list[Point]]], schema: str = EVENT_SCHEMA, **dump: Any) -> str:
    data = [
        {"id": series_id, "datapoints": [{"time": format_time(t), "value": v, "status": s} for t, v, s in points]}
        for series_id, points in items
    ]
    return json.dumps({"schema": schema, "data": {"items": data}}, **dump)


def exact(value: float) -> bytes:
    return struct.pack("<d", value)


def held(chunk: Chunk | None) -> dict[str, list[tuple[int, bytes, int]]]:
    if chunk is None:
        return {}
    return {
        series_id: [(int(t), exact(float(v)), int(s)) for t, v, s in zip(*points[:3], strict=True)]
        for series_id, _, points in chunk.by_series()
    }


@given(messages, st.sampled_from([None, 1]), st.booleans(), st.booleans())
def test_every_point_of_a_message_once_and_sorted(
    items: list[tuple[str, dict[int, tuple[float, int]]]], indent: int | None, sort_keys: bool, repeated: bool
) -> None:
    seen: dict[str, dict[int, tuple[float, int]]] = {}
    given_items: list[tuple[str, list[Point]]] = []
    for series_id, points in items:
        new = {t: p for t, p in points.items() if t not in seen.get(series_id, {})}
        seen.setdefault(series_id, {}).update(new)
        given_items.append((series_id, [(t, *p) for t, p in new.items()]))
    if repeated:
        given_items += given_items
    chunk = event_chunk(text_of(given_items, indent=indent, sort_keys=sort_keys, ensure_ascii=False).encode())
    expected = {
        series_id: [(t, exact(v), s) for t, (v, s) in sorted(points.items())]
        for series_id, points in seen.items()
        if points
    }
    assert held(chunk) == expected
    assert chunk is None or not chunk.key.range


BAD = {
    "no JSON": ("{", "not JSON"),
    "not UTF-8": (b"\xff", "not JSON"),
    "no object": ("[]", "names no schema"),
    "no schema": ('{"data":{"items":[]}}', "names no schema"),
    "another schema": (text_of([], schema="equinor/plant/schemas/ingest/datapoints_v1"), "datapoints_v1'; expected"),
    "no data": (json.dumps({"schema": EVENT_SCHEMA, "items": []}), "'data' in the response is missing"),
    "no id": (text_of([("", [(0, 1.0, 192)])]), r"data\.items\[0\]: the series has no id"),
    "no status": (text_of([("a", [(0, 1.0, 192)])]).replace(', "status": 192', ""), "have no status"),
    "null": (text_of([("a", [(0, 1.0, 192)])]).replace("1.0", "null"), "value"),
    "two at one time": (text_of([("a", [(0, 1.0, 192), (0, 1.0, 64)])]), "two different points at 1970-01-01"),
    "a surrogate": (text_of([("\ud800", [(0, 1.0, 192)])], ensure_ascii=False), "not JSON"),
    "cut short": (text_of([("a", [(0, 1.0, 192)])])[:-20], "not JSON"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_message_is_told_and_nothing_of_it_goes_on(case: str) -> None:
    message, reason = BAD[case]
    with pytest.raises(WireFormatError, match=reason):
        list(DecodeEventsFn(None).process(message))
    [output] = DecodeEventsFn("bad").process(message)
    assert output.tag == "bad"
    assert output.value.error == "WireFormatError"
    whole = message if isinstance(message, bytes) else message.encode("utf-8", "surrogatepass")
    assert output.value.message == whole


@given(
    st.lists(
        st.binary(max_size=20) | messages.map(lambda m: text_of([(i, [(t, *p) for t, p in d.items()]) for i, d in m]))
    )
)
def test_whatever_comes_each_message_goes_one_way(elements: list[bytes | str]) -> None:
    for element in elements:
        outputs = list(DecodeEventsFn("bad").process(element))
        chunks = [each for each in outputs if isinstance(each, Chunk)]
        assert len(outputs) <= 1
        if isinstance(element, bytes):
            assert not chunks
            assert len(outputs) == 1


def test_what_is_no_message_is_a_mistake_of_the_pipeline() -> None:
    with pytest.raises(TypeError, match=r"not tuple.*beam\.Values"):
        list(DecodeEventsFn("bad").process((b"key", b"value")))


def test_on_error_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="on_error is raise or output, not 'skip'"):
        DecodeEvents(on_error="skip")


def test_files_refuse_what_claims_nothing(tmp_path: Path) -> None:
    write = WriteFiles(str(tmp_path), "parquet:x", lambda chunk: [], board=RunBoard())
    write.setup()
    chunk = event_chunk(text_of([("a", [(HOUR, 1.0, 192)])]).encode())
    try:
        with pytest.raises(UsageError, match="event messages cannot go into files"):
            list(write.process(chunk))  # type: ignore[arg-type]  # the message has a point, so there is a chunk
    finally:
        write.teardown()


def test_in_a_pipeline() -> None:
    good = [text_of([("b", [(HOUR, 1.0, 192)]), ("a", [(0, -0.0, 0)])]), text_of([]).encode()]
    pipeline = beam.Pipeline(runner=FnApiRunner())
    decoded = pipeline | beam.Create([*good, "{"]) | DecodeEvents(on_error="output")
    assert decoded.chunks.element_type is Chunk
    assert decoded.bad.element_type is BadEvent
    assert_that(
        decoded.chunks | beam.Reshuffle() | beam.Map(held),
        equal_to([{"a": [(0, exact(-0.0), 0)], "b": [(HOUR, exact(1.0), 192)]}]),
    )
    assert_that(
        decoded.bad | "Shuffle bad" >> beam.Reshuffle() | beam.Map(lambda bad: bad.message),
        equal_to([b"{"]),
        label="bad",
    )
    pipeline.run()
