"""Runs of one process at the same time share nothing: one completes while another fails and a third is stopped."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import UnauthorizedError
from omnia_beam.core.summary import Summary
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.io.omnia import read
from omnia_beam.pipelines.run import run_backfill
from tests.pipelines.conftest import differences, emulated_points, stored_points

SERIES = ["--synthetic", "dense:series=1,days=9,step=600s"]
WAIT_S = 60.0


class Runs:
    """Three jobs, each with a service, a state and a destination of its own, and what became of them."""

    def __init__(self, load: Callable[..., JobConfig], folder: Path, emulators: dict[str, EmulatorThread]) -> None:
        self.emulators = emulators
        self.contexts = {name: RunContext(None, *(Console(file=io.StringIO()) for _ in range(2))) for name in emulators}
        self.ended: dict[str, Any] = {}
        self.folder = folder
        self._jobs = {
            name: load(
                emulator.url,
                name=name,
                source={"rate": {"requests_per_second": None, "max_in_flight": 1}},
                window={"start": "2024-01-01", "end": "2024-01-10"},
                max_chunk_points=144,
                state=str(folder / "state" / name),
                sink={"kind": "parquet", "path": str(folder / name)},
            )
            for name, emulator in emulators.items()
        }

    def run(self, name: str) -> None:
        try:
            self.ended[name] = run_backfill(self._jobs[name], self.contexts[name])
        except Exception as error:
            self.ended[name] = error

    def started(self, name: str) -> threading.Thread:
        thread = threading.Thread(target=self.run, args=(name,))
        thread.start()
        return thread


@pytest.fixture
def runs(load: Callable[..., JobConfig], tmp_path: Path) -> Iterator[Runs]:
    with ExitStack() as stack:
        names = ("whole", "failed", "stopped")
        yield Runs(load, tmp_path, {name: stack.enter_context(EmulatorThread(SERIES)) for name in names})


def test_the_others_end_as_they_end_and_one_completes(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, over = threading.Event(), threading.Event()
    pages = dict.fromkeys(runs.emulators, 0)
    fetch = read.fetch_page

    def fetched(session: Any, query: Any, token: str | None) -> bytes:
        [name] = [name for name, each in runs.emulators.items() if session.settings.base_url == each.url]
        pages[name] += 1
        if name == "whole" and pages[name] == 3:
            under_way.set()
            assert over.wait(WAIT_S)  # both others begin and end while this run reads
        if name == "stopped" and pages[name] == 4:
            runs.contexts[name].board.stop.set()
        return fetch(session, query, token)

    monkeypatch.setattr(read, "fetch_page", fetched)
    runs.emulators["failed"].set_faults(["path=/data status=401 after=8"])
    whole = runs.started("whole")
    try:
        assert under_way.wait(WAIT_S)
        others = [runs.started(name) for name in ("failed", "stopped")]
        for each in others:
            each.join()
    finally:
        over.set()
        whole.join()

    expected = emulated_points(runs.emulators["whole"], 0, 2**62)
    [points] = [len(each) for each in expected.values()]
    summary = runs.ended["whole"]
    assert isinstance(summary, Summary), summary
    assert (summary.status, summary.windows_done, summary.windows_failed) == ("complete", summary.windows_planned, 0)
    assert (summary.points_read, summary.points_written) == (points, points)
    assert differences(stored_points(runs.folder / "whole"), expected) == {}
    board = runs.contexts["whole"].board
    counted = {name: count for name, count in board.snapshot().items() if not name.endswith("_us")}  # times vary
    assert counted == {"windows_read": summary.windows_planned, "points_written": points}
    assert board.fatal is None

    assert isinstance(runs.ended["failed"], UnauthorizedError), runs.ended["failed"]
    assert runs.contexts["failed"].board.fatal is runs.ended["failed"]

    stopped = runs.ended["stopped"]
    assert isinstance(stopped, Summary), stopped
    assert stopped.status == "incomplete"
    held = sum(map(len, stored_points(runs.folder / "stopped").values()))
    assert 0 < stopped.windows_done < stopped.windows_planned
    assert stopped.points_written == held > 0
    assert runs.contexts["stopped"].board.snapshot()["windows_read"] == stopped.windows_done
