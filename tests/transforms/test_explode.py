"""Exploding: a schema'd row for each point, in the chunk's order, with the point's own time where asked for."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.coders import RowCoder, registry
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.utils.timestamp import MAX_TIMESTAMP, MIN_TIMESTAMP
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.chunk import Chunk
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.transforms.explode import Datapoint, ExplodeChunks, datapoints, timestamped_datapoints
from tests.core.strategies import as_points, as_rows, chunks

KEY = ChunkKey(("a", "b"), TimeRange(-10_000, 10**18))
CHUNK = Chunk.from_points(
    KEY,
    {"a": as_points([(-1_001, 0x3FF8000000000000, 192)]), "b": as_points([(0, 0, 0), (1_999, 1 << 63, 2**32 - 1)])},
    ["tag-a", "tag-b"],
)
ROWS = [Datapoint("tag-a", -1_001, 1.5, 192), Datapoint("tag-b", 0, 0.0, 0), Datapoint("tag-b", 1_999, -0.0, 2**32 - 1)]


def as_row(point: Datapoint) -> tuple[str, int, int, int]:
    return point.series_id, point.time_ns, struct.unpack("<Q", struct.pack("<d", point.value))[0], point.status


@given(chunks(), st.data())
def test_rows_are_the_points_in_order(made: Any, data: st.DataObject) -> None:
    whole, _ = made
    chunk = Chunk(whole.key, whole.batch.slice(data.draw(st.integers(0, whole.num_points))))
    expected = [(stored, *row) for _, stored, points in chunk.by_series() for row in as_rows(points)]
    rows = list(datapoints(chunk))
    assert [as_row(row) for row in rows] == expected
    assert {type(part) for row in rows for part in row} <= {str, int, float}


@given(chunks())
def test_event_times_are_those_of_the_points(made: Any) -> None:
    chunk, _ = made
    stamped = list(timestamped_datapoints(chunk))
    assert [as_row(each.value) for each in stamped] == [as_row(row) for row in datapoints(chunk)]
    for each in stamped:
        assert MIN_TIMESTAMP < each.timestamp < MAX_TIMESTAMP  # Beam's time is longer than what int64 ns can hold
        assert each.timestamp.micros * 1_000 <= each.value.time_ns < (each.timestamp.micros + 1) * 1_000


def test_rows_have_a_schema() -> None:
    coder = registry.get_coder(Datapoint)
    assert isinstance(coder, RowCoder)
    assert [coder.decode(coder.encode(row)) for row in ROWS] == ROWS
    fields = {field.name: field.type.atomic_type for field in coder.schema.fields}
    assert list(fields) == ["series_id", "time_ns", "value", "status"]


def test_in_a_pipeline_with_beams_schemas() -> None:
    pipeline = beam.Pipeline(runner=FnApiRunner())
    rows = pipeline | beam.Create([CHUNK]) | ExplodeChunks()
    assert rows.element_type is Datapoint
    assert_that(rows | beam.Reshuffle(), equal_to(ROWS))
    by_series = rows | beam.GroupBy("series_id").aggregate_field("time_ns", max, "last_ns")
    assert_that(
        by_series | beam.Map(lambda row: (row.series_id, row.last_ns)),
        equal_to([("tag-a", -1_001), ("tag-b", 1_999)]),
        label="schema",
    )
    pipeline.run()


class _Times(beam.DoFn):
    def process(self, row: Datapoint, timestamp: Any = beam.DoFn.TimestampParam) -> Iterator[tuple[int, int]]:
        yield row.time_ns, timestamp.micros


def test_timestamps_in_a_pipeline() -> None:
    pipeline = beam.Pipeline(runner=FnApiRunner())
    rows = pipeline | beam.Create([CHUNK]) | ExplodeChunks(timestamped=True)
    assert rows.element_type is Datapoint
    assert_that(rows | beam.ParDo(_Times()), equal_to([(-1_001, -2), (0, 0), (1_999, 1)]))
    pipeline.run()
