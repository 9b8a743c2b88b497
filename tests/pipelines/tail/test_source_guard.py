"""The streaming tail's source, driven by hand: what becomes of stored points that the source no longer shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.tail.report import TailReport, read_report
from tests.pipelines.conftest import differences, emulated_points, stored_points
from tests.pipelines.tail.test_source import DAY, MINUTE, SECOND, Load, Stage, staged, steady, tail_config


def turn(stage: Stage, until: Callable[[TailReport], bool] = lambda report: True) -> None:
    """Cycles, each stored before the next look, until a report says so; one look of a hundred at most gives windows out."""
    for _ in range(300):
        given = stage.look()
        if given:
            stage.carry_out(given)
        if stage.lines and until(report_of(stage)):
            return
    raise AssertionError(stage.lines[-3:])


def report_of(stage: Stage) -> TailReport:
    report = read_report(stage.run.state_dir, stage.run.run_id)
    assert report is not None
    return report


def delete(emulator: EmulatorThread, start_ns: int, end_ns: int) -> None:
    for each in emulator.store.listed():
        each.delete(start_ns, end_ns)


def test_a_service_that_shows_nothing_any_more_is_not_believed(load: Load, tmp_path: Path) -> None:
    with (
        EmulatorThread(series=steady()) as emulator,
        staged(tail_config(load, emulator.url), DAY + 6 * MINUTE) as stage,
    ):
        turn(stage)
        before = stored_points(tmp_path / "out")
        assert [len(each) for each in before.values()] == [30]
        delete(emulator, DAY, DAY + 86_400 * SECOND)
        turn(stage, lambda report: bool(report.problems))
        after = stored_points(tmp_path / "out")
        assert {name: rows.tolist() for name, rows in after.items()} == {n: r.tolist() for n, r in before.items()}
        assert any("no longer shows 30 points" in text for text in report_of(stage).problems)


@pytest.mark.parametrize("allowed", [5, "1%"])
def test_fewer_points_are_followed_as_far_as_may_be(load: Load, tmp_path: Path, allowed: int | str) -> None:
    with EmulatorThread(series=steady()) as emulator:
        config = tail_config(load, emulator.url, max_removed=allowed)
        with staged(config, DAY + 6 * MINUTE) as stage:
            turn(stage)
            delete(emulator, DAY + 2 * MINUTE, DAY + 3 * MINUTE)
            turn(stage, lambda report: bool(report.problems or report.removed))
            reached_ns = stage.cursor.complete_to_ns
            while stage.look():  # what was replaced goes at the next look
                pass
            report, stored = report_of(stage), stored_points(tmp_path / "out")
            missing = differences(stored, emulated_points(emulator, DAY, reached_ns))
            if allowed == 5:
                assert len(next(iter(stored.values()))) >= 30
                assert any("--set max_removed=6" in text for text in report.problems)
                assert missing
            else:
                assert report.removed == 6
                assert not report.problems
                assert not missing
