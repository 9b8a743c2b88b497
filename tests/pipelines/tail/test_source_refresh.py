"""The streaming tail's source, driven by hand: where it ends by `--until-lag`, and how much of a long window it reads again."""

from __future__ import annotations

from pathlib import Path

from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.tail.report import read_report
from tests.pipelines.conftest import differences, emulated_points, stored_points
from tests.pipelines.tail.test_source import DAY, MINUTE, Load, staged, steady, tail_config

HOUR = 60 * MINUTE


def test_it_ends_as_soon_as_it_is_no_further_behind(load: Load) -> None:
    with (
        EmulatorThread(series=steady()) as emulator,
        staged(tail_config(load, emulator.url), DAY + 20 * MINUTE) as stage,
    ):
        stage.until_lag_ns = 5 * MINUTE
        stage.begin_anew()
        emulator.set_faults(["path=/data status=503"])
        for _ in range(4):
            stage.carry_out(stage.look())
        assert stage.cursor.mode != "over"
        emulator.set_faults([])
        while stage.cursor.mode != "over":
            stage.carry_out(stage.look())
        report = read_report(stage.run.state_dir, stage.run.run_id)
        assert report is not None
        assert report.complete_to_ns is not None
        assert report.complete_to_ns >= stage.now_ns - 5 * MINUTE


def test_a_long_window_that_has_not_settled_is_read_once_more_and_then_in_part(load: Load, tmp_path: Path) -> None:
    unhurried = {"poll": "30s", "lag": "1m"}
    with EmulatorThread(series=steady()) as emulator:
        with staged(tail_config(load, emulator.url, tail=unhurried), DAY + 6 * HOUR) as stage:
            stage.carry_out(stage.look())
        for first in (True, False):
            now_ns = DAY + 6 * HOUR + (MINUTE if first else 2 * MINUTE)
            with staged(tail_config(load, emulator.url), now_ns) as stage:
                given = stage.look()
                stage.carry_out(given)
                read_ns = sum(each.key.range.duration_ns for each in given)
                assert (read_ns > 5 * HOUR) is first
                assert read_ns > 10 * MINUTE - 2 * MINUTE
                while stage.look():  # what was replaced goes at the next look
                    pass
            end_ns = now_ns - MINUTE
            assert not differences(stored_points(tmp_path / "out"), emulated_points(emulator, DAY, end_ns))
