"""Which side holds a copy up: measured by hand with a clock that is passed in, and shown in words."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.execution import progress_facts
from omnia_beam.beam.progress import RunBoard
from omnia_beam.beam.progress_display import describe
from omnia_beam.beam.progress_text import amount, conditions
from omnia_beam.beam.time_step import MeasureFn
from omnia_beam.config import JobConfig
from omnia_beam.core.chunk import Chunk
from omnia_beam.core.summary import ProgressFacts
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.http.stats import StatsSnapshot
from omnia_beam.pipelines.run import run_backfill
from omnia_beam.plan.plan import Plan
from tests.io.emulated import steady_series
from tests.pipelines.conftest import job_file, load  # noqa: F401  # fixtures

CHUNK = Chunk.from_points(ChunkKey(("a",), TimeRange(0, 10)), {})


def test_the_time_until_a_chunk_comes_is_the_sources_and_the_rest_the_sinks() -> None:
    now = [100.0]
    board = RunBoard()
    step = MeasureFn(board, lambda: now[0])
    step.start_bundle()
    for coming, going in ((2.0, 0.5), (3.0, 0.25)):
        now[0] += coming
        passing: Iterator[Chunk] = step.process(CHUNK)
        assert next(passing) is CHUNK
        now[0] += going
        assert next(passing, None) is None
    board.add_decoding(4.5)
    assert board.snapshot() == {"source_us": 5_000_000, "sink_us": 750_000, "decode_us": 4_500_000}
    facts = progress_facts(board.snapshot(), StatsSnapshot(), Plan.of_windows([]))
    assert (facts.source_s, facts.decode_s, facts.sink_s) == (0.5, 4.5, 0.75)
    assert facts.bottleneck == ("decode", 4.5 / 5.75)


def test_time_before_a_bundle_is_nobodys() -> None:
    now = [0.0]
    board = RunBoard()
    step = MeasureFn(board, lambda: now[0])
    for _ in range(2):
        now[0] += 50
        step.start_bundle()
        now[0] += 1
        list(step.process(CHUNK))
    assert board.snapshot() == {"source_us": 2_000_000, "sink_us": 0}


@pytest.mark.parametrize(
    ("spent", "text"),
    [
        ({}, None),
        ({"source_s": 9.0, "sink_s": 1.0}, "bottleneck source 90%"),
        ({"source_s": 1.0, "decode_s": 2.0, "sink_s": 1.0}, "bottleneck decode 50%"),
        ({"sink_s": 1.0}, "bottleneck sink 100%"),
    ],
)
def test_it_is_shown(spent: dict[str, float], text: str | None) -> None:
    facts = ProgressFacts(1, 2, 10, 20, **spent)  # type: ignore[arg-type]  # only floats are among them
    assert conditions(facts) == ([] if text is None else [text])


def test_a_line_of_the_log_has_points_bytes_rates_and_the_time_left() -> None:
    facts = ProgressFacts(1, 4, 1_000, 4_000, retries=2, bytes=5_000_000, source_s=3.0, sink_s=1.0)
    assert describe(facts, 10.0) == (
        "1/4 windows, 1,000 points, 100 points/s, 5.0 MB, 500.0 kB/s, ETA 0:30, bottleneck source 75%, 2 retries"
    )


def test_bytes_are_shown_where_there_are_any() -> None:
    assert describe(ProgressFacts(1, 2, 10, 20), 1.0) == "1/2 windows, 10 points, 10 points/s, ETA 0:01"
    assert [amount(each) for each in (0, 12_345, 2e9, 3.2e12)] == ["0.0 kB", "12.3 kB", "2.0 GB", "3.2 TB"]


def test_a_run_measures_all_three(
    load: Callable[..., JobConfig],  # noqa: F811
    tmp_path: Path,
) -> None:
    from omnia_beam.beam.runner import pipeline_options
    from omnia_beam.beam.terminal import console

    context = RunContext(pipeline_options(None, []), console(), console(stderr=True), quiet=True)
    with EmulatorThread(series=steady_series()) as emulator:
        assert run_backfill(load(emulator.url), context).status == "complete"
    counts = context.board.snapshot()
    assert counts["source_us"] >= counts["decode_us"] > 0
    assert counts["sink_us"] > 0
    assert pickle.loads(pickle.dumps(context.board.add_decoding)).__self__ is context.board
