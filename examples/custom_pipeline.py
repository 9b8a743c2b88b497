"""A pipeline of one's own: keep the good points of some tags as Parquet, and print statistics of each tag and month.

    python examples/custom_pipeline.py --out points/                                  # against the bundled emulator
    python examples/custom_pipeline.py --base-url http://… --name "*PT*" --out points/

Elements are chunks: Arrow record batches that hold *every* point of their series in their range. So a step can work on whole
columns with numpy, and what it returns for a chunk is final: no later element changes it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from omnia_beam.core.chunk import Chunk
from omnia_beam.core.time_range import TimeRange
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.io.files.write import WriteToParquet
from omnia_beam.io.omnia.read import ReadFromOmnia
from omnia_beam.net.api.client import OmniaClient
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.transforms.decode import DecodeChunks

GOOD = 192


@dataclass(frozen=True)
class Statistics:
    """What is known of some points of one series: how many they are, and their sum and extremes."""

    points: int
    total: float
    lowest: float
    highest: float


def only_good(chunk: Chunk) -> Chunk:
    """Return the chunk with its good points alone. It still holds everything of its series that is good."""
    points = {source_id: columns.take(columns.statuses == GOOD) for source_id, _, columns in chunk.by_series()}
    return Chunk.from_points(chunk.key, points)


def statistics(chunk: Chunk) -> Iterator[tuple[str, Statistics]]:
    """Yield the statistics of each series of a chunk that has points."""
    for _, series_id, points in chunk.by_series():
        values = points.values
        if len(values):
            yield series_id, Statistics(len(values), float(values.sum()), float(values.min()), float(values.max()))


def joined(parts: Sequence[Statistics]) -> Statistics:
    """Return the statistics of all parts together; the parts of a series are its chunks, which share no point."""
    each = list(parts)
    return Statistics(
        sum(one.points for one in each),
        sum(one.total for one in each),
        min((one.lowest for one in each), default=float("inf")),
        max((one.highest for one in each), default=float("-inf")),
    )


def line(item: tuple[str, Statistics]) -> str:
    """Return a line for people."""
    series_id, found = item
    mean = found.total / found.points
    return f"{series_id}: {found.points:,} points, {found.lowest:.2f} to {found.highest:.2f}, mean {mean:.2f}"


def run(base_url: str, name: str, out: str, time_range: TimeRange, beam_args: Sequence[str] = ()) -> None:
    """Build the pipeline and run it to its end."""
    service = ServiceSettings(base_url=base_url)  # with credential=… and resource_id=… where a token is needed
    with OmniaClient(base_url) as omnia:
        ids = [series.id for series in omnia.search_timeseries(name=name)]
    with beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(list(beam_args))) as p:
        good = (
            p
            | ReadFromOmnia(service, series_ids=ids, time_range=time_range)
            | DecodeChunks()
            | "Only good" >> beam.Map(only_good)
        )
        good | WriteToParquet(out, prefix="good")
        (
            good
            | beam.FlatMap(statistics)
            | beam.CombinePerKey(joined)
            | "As a line" >> beam.Map(line)
            | "Print" >> beam.Map(print)
        )


def main() -> None:
    """Read the command line and run the pipeline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", help="of the Timeseries API; without it an emulator is started")
    parser.add_argument("--name", default="*", help="pattern of the tags' names (default: all)")
    parser.add_argument("--start", default="2024-01-01")
    parser.add_argument("--end", default="2024-01-08")
    parser.add_argument("--out", required=True, help="folder for the Parquet files")
    args, beam_args = parser.parse_known_args()
    served = ["--synthetic", "mixed:series=4,days=7,step=60s"]
    with nullcontext() if args.base_url else EmulatorThread(served) as emulator:
        base_url = args.base_url or emulator.url
        run(base_url, args.name, args.out, TimeRange.parse(args.start, args.end), beam_args)


if __name__ == "__main__":
    main()
