"""A program that uses the public API, for type checkers to read: `assert_type` states what each call returns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_type

from omnia_beam import (
    Chunk,
    DecodeChunks,
    DecodeEvents,
    ExplodeChunks,
    FileSource,
    MapSeries,
    OmniaClient,
    RawChunk,
    ReadFromFiles,
    ReadFromOmnia,
    SeriesRule,
    ServiceSettings,
    TimeRange,
    WriteToCsv,
    WriteToOmnia,
    WriteToParquet,
)
from omnia_beam.core.chunk import Points
from omnia_beam.core.window import ChunkKey
from omnia_beam.net.api.datapoints import Datapoints
from omnia_beam.wire import decode_page


def nouns(chunk: Chunk, raw: RawChunk) -> None:
    january = TimeRange.parse("2024-01-01", "2024-02-01")
    assert_type(january, TimeRange)
    assert_type(january.split(4), list[TimeRange])
    assert_type(january.intersect(january), TimeRange | None)
    assert_type(chunk.key, ChunkKey)
    assert_type(chunk.num_points, int)
    assert_type(chunk.points, Points)
    assert_type(chunk.series_ids, tuple[str, ...])
    assert_type(chunk.by_series(), Iterator[tuple[str, str, Points]])
    assert_type(raw.key.range, TimeRange)


def client(url: str) -> None:
    with OmniaClient(url, credential="client_secret", resource_id="api://x", requests_per_second=5.0) as omnia:
        assert_type(omnia, OmniaClient)
        for series in omnia.search_timeseries(name="*PT*"):
            assert_type(series.id, str)
            assert_type(omnia.get_datapoints(series.id, "2024-01-01", "2024-02-01"), Datapoints)
        assert_type(omnia.stats.requests, int)


def transforms(ids: list[str], url: str) -> list[object]:
    service = ServiceSettings(base_url=url)
    assert_type(service.max_in_flight, int)
    january = TimeRange.parse("2024-01-01", "2024-02-01")
    return [
        ReadFromOmnia(service, series_ids=ids, time_range=january, on_error="output"),
        DecodeChunks(),
        DecodeEvents(on_error="output"),
        MapSeries({ids[0]: SeriesRule("target", scale=2.0)}),
        ReadFromFiles(FileSource(("pump/*.csv",))),
        WriteToCsv("out/"),
        WriteToParquet("out/", prefix="pump"),
        WriteToOmnia(service, on_error="output"),
        ExplodeChunks(timestamped=True),
    ]


def page(body: bytes) -> None:
    decoded = decode_page(body)
    assert_type(decoded.continuation_token, str | None)
    assert_type(decoded.items[0].series_id, str)
    assert_type(decoded.items[0].total_count, int | None)
