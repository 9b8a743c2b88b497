"""A job that runs again and again: rolling windows, refresh, order, deadline, changed configurations; over real HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnia_beam.beam import execution, record
from omnia_beam.beam.context import RunContext
from omnia_beam.beam.execution import stopping_after
from omnia_beam.beam.progress import RunBoard
from omnia_beam.config import JobConfig
from omnia_beam.core.summary import Summary
from omnia_beam.core.timestamps import NS_PER_SECOND, parse_time
from omnia_beam.emulator.common.points import as_points
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.io.files import write as write_files
from omnia_beam.io.omnia import read
from omnia_beam.pipelines import work_plan
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.run import run_backfill
from tests.pipelines.conftest import differences, emulated_points, stored_points

MINUTE = 60 * NS_PER_SECOND
DAY = 1_440 * MINUTE
START = parse_time("2024-01-01")
SERIES = ["a", "b"]


def every_minute(days: float, first: int = START) -> Any:
    times = first + np.arange(int(days * 1_440)) * MINUTE
    return times, np.sin(times / 1e13), 192


class Scheduled:
    """One job, and a clock that the test moves: `now` is what the configuration and the ledger see."""

    def __init__(self, emulator: EmulatorThread, write: Callable[..., Path], context: RunContext, out: Path) -> None:
        self.emulator, self.context, self.out = emulator, context, out
        self._write = write
        self.now_ns = START + 10 * DAY

    def clock(self) -> int:
        self.now_ns += 1
        return self.now_ns

    def config(self, **keys: Any) -> JobConfig:
        keys.setdefault("max_chunk_points", 1_500)
        source = {"page_limit": 1_500, **keys.pop("source", {})}
        path = self._write(self.emulator.url, source=source, **keys)
        return load_config(str(path), now_ns=self.now_ns)

    def run(self, **keys: Any) -> Summary:
        return run_backfill(self.config(**keys), self.context)

    def said(self) -> str:
        return self.context.err.file.getvalue()  # type: ignore[attr-defined,no-any-return]  # StringIO, by the fixture

    def put(self, name: str, first: int, values: list[float], status: int = 192) -> None:
        """Late points, a minute apart; over what is there."""
        times = first + np.arange(len(values)) * MINUTE
        self._series(name).write(as_points(times, values, status))

    def delete(self, name: str, first: int, end: int) -> None:
        self._series(name).delete(first, end)

    def wrong(self, start: int, end: int) -> dict[str, str]:
        found = stored_points(self.out)
        return differences(found, emulated_points(self.emulator, start, end))

    def served(self) -> int:
        return int(self.emulator.stats()["points_served"])

    def _series(self, name: str) -> Any:
        found = self.emulator.store.named("EMU", name)
        assert found is not None
        return found


@pytest.fixture
def scheduled(
    job_file: Callable[..., Path], context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scheduled]:
    with EmulatorThread(series={name: every_minute(10) for name in SERIES}) as emulator:
        made = Scheduled(emulator, job_file, context, tmp_path / "out")
        writer = record.LedgerWriter
        monkeypatch.setattr(record, "LedgerWriter", lambda *args, **how: writer(*args, **how, clock=made.clock))
        monkeypatch.setattr("omnia_beam.ledger.job.LedgerWriter", record.LedgerWriter)
        monkeypatch.setattr(work_plan, "time_ns", made.clock)
        yield made


def test_a_rolling_window_reads_what_is_new_and_nothing_else(scheduled: Scheduled) -> None:
    window = {"start": "2024-01-01", "end": "now-15m"}
    scheduled.now_ns = START + 3 * DAY
    assert scheduled.run(window=window).status == "complete"
    assert scheduled.wrong(START, START + 3 * DAY - 15 * MINUTE) == {}
    before = scheduled.served()
    scheduled.now_ns = START + 3 * DAY + 120 * MINUTE
    summary = scheduled.run(window=window)
    assert summary.status == "complete"
    assert scheduled.wrong(START, START + 3 * DAY + 105 * MINUTE) == {}
    assert scheduled.served() - before < 2 * 120 + 10


def test_a_refresh_follows_late_changed_and_deleted_points(scheduled: Scheduled) -> None:
    window = {"start": "2024-01-01", "end": "2024-01-10"}
    scheduled.delete("a", START + 8 * DAY, START + 8 * DAY + 600 * MINUTE)
    assert scheduled.run(window=window).status == "complete"
    scheduled.put("a", START + 8 * DAY, [1.5] * 600)  # late
    scheduled.put("b", START + 7 * DAY, [2.5] * 30)  # changed
    scheduled.delete("b", START + 8 * DAY + 60 * MINUTE, START + 9 * DAY)  # deleted, all of a window or more
    unseen = scheduled.run(window=window)
    assert (unseen.status, unseen.windows_done) == ("complete", 0)
    before = scheduled.served()
    summary = scheduled.run(window=window, refresh="3d", vanished="follow", max_removed="100%")
    assert summary.status == "complete"
    assert summary.points_removed == 1_380
    assert scheduled.wrong(START, START + 9 * DAY) == {}
    assert summary.windows_skipped > 0
    assert scheduled.served() - before < 2 * 6 * 1_440  # not the days before


def test_a_window_of_the_future_is_read_again_when_it_has_come(scheduled: Scheduled) -> None:
    window = {"start": "2024-01-01", "end": "2024-01-21"}
    scheduled.now_ns = START + 5 * DAY
    scheduled.delete("a", START + 5 * DAY, START + 30 * DAY)
    assert scheduled.run(window=window).status == "complete"
    scheduled.put("a", START + 5 * DAY, [3.5] * 7_000)
    scheduled.now_ns = START + 25 * DAY
    assert scheduled.run(window=window).status == "complete"
    assert scheduled.wrong(START, START + 20 * DAY) == {}
    assert scheduled.run(window=window).windows_done == 0


@pytest.mark.parametrize("order", ["oldest_first", "newest_first"])
def test_the_order_is_that_of_the_requests(order: str, scheduled: Scheduled, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    fetch = read.fetch_page

    def noting(session: Any, query: Any, token: str | None) -> bytes:
        asked.append(query.start_ns)
        return fetch(session, query, token)

    monkeypatch.setattr(read, "fetch_page", noting)
    rate = {"requests_per_second": None, "max_in_flight": 1}
    window = {"start": "2024-01-01", "end": "2024-01-10"}
    assert scheduled.run(window=window, order=order, source={"rate": rate}).status == "complete"
    assert len(set(asked)) > 5
    assert asked == sorted(asked, reverse=order == "newest_first")


@contextmanager
def after_a_window(deadline_s: float | None, board: RunBoard) -> Iterator[None]:
    """A deadline that comes when the first window has been read, however fast the machine is."""
    if deadline_s is None:
        yield
        return
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            if board.snapshot().get("windows_read"):
                board.stop.set()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_deadline_is_a_time() -> None:
    board = RunBoard()
    with stopping_after(0.01, board):
        assert board.stop.wait(60)


def test_a_deadline_stops_between_windows_and_the_next_run_goes_on(
    scheduled: Scheduled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "stopping_after", after_a_window)
    window = {"start": "2024-01-01", "end": "2024-01-10"}
    scheduled.emulator.set_faults(["path=/data stall=0.2"])
    rate = {"requests_per_second": None, "max_in_flight": 1}
    stopped = scheduled.run(window=window, deadline="1s", source={"rate": rate})
    assert (stopped.status, stopped.exit_code) == ("incomplete", 1)
    assert stopped.windows_failed == 0
    assert "the deadline came" in stopped.details["stopped"]
    assert 0 < stopped.windows_done < stopped.windows_planned
    scheduled.emulator.set_faults([])
    again = scheduled.run(window=window)
    assert again.status == "complete"
    assert "stopped" not in again.details
    assert again.windows_skipped == stopped.windows_done
    assert scheduled.wrong(START, START + 9 * DAY) == {}


@pytest.mark.long
@pytest.mark.parametrize(
    "window", [("2024-01-01", "2024-01-10"), ("2024-01-03", "2024-01-05"), ("2024-01-01", "2024-01-11")]
)
@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
def test_a_changed_status_filter_is_told_and_redone(
    window: tuple[str, str], names: list[str], scheduled: Scheduled
) -> None:
    """Also where it is narrower or wider than what is there, in time and in series."""
    scheduled.put("a", START + 2 * DAY, [9.0] * 500, status=0)
    scheduled.run(window={"start": "2024-01-01", "end": "2024-01-10"})
    asked = dict(zip(("start", "end"), window, strict=True))
    selected = {"series": {"search": [{"name": name} for name in names]}, "status": [192]}
    summary = scheduled.run(window=asked, source=selected)
    assert summary.status == "complete"
    assert "changed since the last run: statuses was all, is now 192" in scheduled.said()
    assert "all windows are read again, and what was written before is replaced" in scheduled.said()
    stored = stored_points(scheduled.out)
    expected = emulated_points(scheduled.emulator, parse_time(window[0]), parse_time(window[1]))
    for name in names:
        series_id = scheduled._series(name).id
        here = stored[series_id]
        inside = here[(here["time"] >= parse_time(window[0])) & (here["time"] < parse_time(window[1]))]
        good = expected[series_id][expected[series_id]["status"] == 192]
        assert np.array_equal(inside, good)
    for points in stored.values():
        assert len(np.unique(points["time"])) == len(points)


def test_a_change_that_is_killed_half_way_is_gone_on_with(
    scheduled: Scheduled, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = {"start": "2024-01-01", "end": "2024-01-10"}
    scheduled.put("a", START + 2 * DAY, [9.0] * 500, status=0)
    scheduled.run(window=window)
    write, written = write_files.write_durably, []

    def dying(path: str, *args: Any, **options: Any) -> Any:
        if len(written) == 4:
            raise OSError("pulled the plug")
        written.append(path)
        return write(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(write_files, "write_durably", dying)
        with pytest.raises(Exception, match="pulled the plug"):
            scheduled.run(window=window, source={"status": [192]})
    # And now with the old configuration: half of it has to be redone once more.
    assert scheduled.run(window=window).status == "complete"
    assert scheduled.wrong(START, START + 9 * DAY) == {}


def test_another_federation_source_is_another_answer(scheduled: Scheduled) -> None:
    window = {"start": "2024-01-01", "end": "2024-01-03"}
    first = scheduled.run(window=window, source={"federation_source": "IMS"})
    second = scheduled.run(window=window, source={"federation_source": "DataLake"})
    assert second.windows_done == first.windows_done > 0
    assert "federation source was IMS, is now DataLake" in scheduled.said()
    assert scheduled.wrong(START, START + 2 * DAY) == {}


def test_what_does_not_change_the_answer_redoes_nothing(scheduled: Scheduled) -> None:
    window = {"start": "2024-01-01", "end": "2024-01-03"}
    scheduled.run(window=window)
    other = {"page_limit": 300, "format": "json", "rate": {"max_in_flight": 3}}
    assert scheduled.run(window=window, source=other, max_chunk_points=700).windows_done == 0
