"""Decoding in Beam: a chunk for each raw chunk, and what cannot be decoded where it was asked to go."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from omnia_beam.beam import coders
from omnia_beam.core.chunk import Chunk, RawChunk, RawPage
from omnia_beam.core.errors import IncompleteReadError, WireFormatError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.transforms.decode import DecodeChunks, DecodeFn
from tests.io.scripted_service import held, protobuf_page

coders.register_coders()


def raw_of(start: int, points: int = 3, body: bytes | None = None) -> RawChunk:
    query = TimeRange(start, start + 100)
    rows = [(start + i, i, 192) for i in range(points)]
    return RawChunk(ChunkKey(("a",), query), (RawPage(query, body or protobuf_page([("a", rows, points)])),))


BROKEN = raw_of(200, body=b"\xff")
SHORT = raw_of(300, body=protobuf_page([("a", [(300, 1, 192)], 2)]))


def outputs_of(fn: DecodeFn, raw: RawChunk) -> list[Any]:
    return list(fn.process(raw))


def test_one_chunk_for_each_raw_chunk() -> None:
    [chunk] = outputs_of(DecodeFn(None), raw_of(0))
    assert chunk.key == raw_of(0).key
    assert held(chunk) == {"a": [(0, 0, 192), (1, 1, 192), (2, 2, 192)]}


def test_what_cannot_be_decoded_raises() -> None:
    with pytest.raises(WireFormatError):
        outputs_of(DecodeFn(None), BROKEN)
    with pytest.raises(IncompleteReadError):
        outputs_of(DecodeFn(None), SHORT)


def test_or_is_given_as_a_failure() -> None:
    outputs = [*outputs_of(DecodeFn("failures"), BROKEN), *outputs_of(DecodeFn("failures"), SHORT)]
    assert [output.tag for output in outputs] == ["failures", "failures"]
    failures = [output.value for output in outputs]
    assert [(each.key, each.error) for each in failures] == [
        (BROKEN.key, "WireFormatError"),
        (SHORT.key, "IncompleteReadError"),
    ]
    assert "counts 2 points but sent 1" in failures[1].message


def test_a_mistake_of_ours_is_no_failure_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: RawChunk) -> Chunk:
        raise ZeroDivisionError

    monkeypatch.setattr("omnia_beam.transforms.decode.assemble_chunk", broken)
    with pytest.raises(ZeroDivisionError):
        outputs_of(DecodeFn("failures"), raw_of(0))


def test_on_error_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="on_error is raise or output, not 'skip'"):
        DecodeChunks(on_error="skip")


def test_in_a_pipeline() -> None:
    raws = [raw_of(start * 1_000, points=start) for start in range(5)]
    pipeline = beam.Pipeline(runner=FnApiRunner())
    chunks = pipeline | beam.Create([*raws, BROKEN, SHORT]) | DecodeChunks(on_error="output")
    assert chunks.chunks.element_type is Chunk
    assert chunks.failures.element_type is WindowFailure
    assert_that(
        chunks.chunks | "Shuffle chunks" >> beam.Reshuffle() | beam.Map(lambda chunk: (chunk.key, chunk.num_points)),
        equal_to([(raw.key, points) for points, raw in enumerate(raws)]),
    )
    assert_that(
        chunks.failures | beam.Reshuffle() | beam.Map(lambda failure: failure.key),
        equal_to([BROKEN.key, SHORT.key]),
        label="failures",
    )
    result = pipeline.run()
    counters = {each.key.metric.name: each.committed for each in result.metrics().query()["counters"]}
    assert counters["points_read"] == 0 + 1 + 2 + 3 + 4


def test_raising_ends_the_pipeline() -> None:
    pipeline = beam.Pipeline(runner=FnApiRunner())
    chunks = pipeline | beam.Create([SHORT]) | DecodeChunks()
    assert chunks.element_type is Chunk
    with pytest.raises(Exception, match="counts 2 points but sent 1"):
        pipeline.run()
