"""Where progress comes from: this process's board, or the runner's metrics, asked now and then."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from omnia_beam.beam.counters import counters_of, counts_of
from omnia_beam.beam.progress import RunBoard
from omnia_beam.beam.runner import pipeline_options

DATAFLOW = pipeline_options("DataflowRunner", ["--max_num_workers=1"])


class Result:
    """A job whose metrics grow with every question, until it cannot be asked any more."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False

    def metrics(self) -> Any:
        self.asked += 1
        if self.fails:
            raise ConnectionError("the service is away")
        return self

    def query(self, filter: Any) -> dict[str, Any]:
        named = SimpleNamespace(metric=SimpleNamespace(name="windows_read"))
        return {"counters": [SimpleNamespace(key=named, result=each) for each in (self.asked, 10)]}


def test_counters_of_several_steps_are_added() -> None:
    assert counters_of(Result()) == {"windows_read": 11}


@pytest.mark.parametrize(
    ("runner", "args"),
    [(None, []), ("FlinkRunner", ["--flink_master=[local]"]), ("PortableRunner", ["--environment_type=LOOPBACK"])],
)
def test_workers_in_this_process_count_on_its_board(runner: str | None, args: list[str]) -> None:
    board = RunBoard()
    counts = counts_of(pipeline_options(runner, args), board)
    RunBoard().add(windows_read=100)  # of another run
    board.add(windows_read=3)
    assert counts.reports
    assert counts()["windows_read"] == 3


def test_a_runner_is_asked_every_ten_seconds() -> None:
    now = [0.0]
    counts, result = counts_of(DATAFLOW, RunBoard(), clock=lambda: now[0]), Result()
    assert counts.reports
    assert counts() == {}  # not begun
    counts.follow(result)
    assert [counts()["windows_read"] for _ in range(50)] == [11] * 50
    now[0] = 10.0
    assert counts()["windows_read"] == 12
    result.fails, now[0] = True, 20.0
    assert counts()["windows_read"] == 12  # the last that is known; the job goes on
    assert result.asked == 3


def test_flinks_metrics_come_at_the_end_so_that_there_is_nothing_to_show() -> None:
    options = pipeline_options("FlinkRunner", ["--environment_type=PROCESS", "--parallelism=2"])
    assert not counts_of(options, RunBoard()).reports
