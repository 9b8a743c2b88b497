"""A sample of `tests.soak.objects`; `make soak-objects` plays ten thousand schedules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.soak.objects.play import TOGETHER, Player, Schedule
from tests.soak.objects.service import Driver, Fault, Service
from tests.soak.objects.world import World, Wrong, simulated

SAMPLE = (
    Schedule("backfill, new", "content", "crash after", 38),
    Schedule("backfill, changed", "number", "pause before", 50),
    Schedule("tail, changed", "content", "lands late", 60),
    Schedule("migrate, new", "number", TOGETHER, 1),
    Schedule("replay", "content", "response lost", 45),
    Schedule("verify --repair", "number", "outage", 70),
    Schedule("status, half done", "content", "fails", 5),
)
FOUND = (
    # A woken driver renamed files of its successor that it took for nobody's.
    Schedule("verify --repair", "content", "pause before", 10),
    # A woken driver forgot a change of the source that its successor had noted and not copied before it died.
    Schedule("backfill, new", "number", "pause before", 61),
)
LONG_SAMPLE = 250


@pytest.fixture
def service() -> Iterator[Service]:
    with simulated("content") as service:
        yield service


@pytest.fixture
def player(service: Service, tmp_path: Path) -> Player:
    return Player(service, tmp_path, seed=1, counted=Counter())


@pytest.mark.parametrize("schedule", SAMPLE, ids=str)
def test_nothing_false_is_said_and_no_harm_is_done(player: Player, schedule: Schedule) -> None:
    player.play(schedule)
    assert schedule.kind == TOGETHER or player.counted["(was hit)"] == 1


@pytest.mark.parametrize("schedule", FOUND, ids=str)
def test_what_was_found_stays_mended(service: Service, tmp_path: Path, schedule: Schedule) -> None:
    Player(service, tmp_path, seed=6, counted=Counter()).play(schedule)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_many_schedules(player: Player) -> None:
    for number, schedule in enumerate(player.schedules()[:LONG_SAMPLE]):
        try:
            player.play(schedule)
        except Wrong as error:
            raise AssertionError(f"--seed 1 --only {number}: {schedule}: {error}") from error


def test_a_schedule_is_the_same_each_time(player: Player) -> None:
    for schedule in SAMPLE[1], SAMPLE[3]:
        assert player.play(schedule) == player.play(schedule)


@pytest.mark.long
def test_a_store_that_ignores_versions_is_refused(
    service: Service, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On such a store a driver that wakes up within a write could replace what its successor has written."""
    real = service._do_put
    monkeypatch.setattr(service, "_do_put", lambda key, content, mode: real(key, content, "overwrite"))
    with pytest.raises(Wrong, match="carries out writes whose condition does not hold"):
        player.play(Schedule("backfill, new", "number", "fails", 20))


def test_a_run_that_does_not_look_is_caught(service: Service, tmp_path: Path) -> None:
    world = World(service, tmp_path)
    world.begin()
    assert world.run("backfill", Driver("one")).says == "complete"
    assert world.stored() == world.truth()
    world.lose_a_file()
    world.keys = {"destination_check": "off"}
    assert world.run("backfill", Driver("one")).says == "complete"
    assert world.stored() != world.truth()


def test_a_source_that_is_overwritten_within_a_second_by_one_of_its_size_is_copied_again(
    service: Service, tmp_path: Path
) -> None:
    world = World(service, tmp_path)
    world.begin()
    world.put_source("a.csv", tuple(("a", hour, float(hour % 7), 192) for hour in range(0, 48, 2)))
    began_s = service.clock.now_s
    assert world.run("backfill", Driver("one")).says == "complete"
    before = service.objects["sim/in/a.csv"]
    service.clock.now_s = began_s
    world.put_source("a.csv", tuple(("a", hour, float(hour % 9), 192) for hour in range(0, 48, 2)))
    after = service.objects["sim/in/a.csv"]
    assert (len(after.data), after.changed_s) == (len(before.data), before.changed_s)
    service.clock.now_s += 600
    end = world.run("backfill", Driver("two"))
    assert (end.says, world.stored()) == ("complete", world.truth())


def test_a_driver_that_is_dead_does_nothing_more(service: Service, tmp_path: Path) -> None:
    world = World(service, tmp_path)
    world.begin()
    driver = Driver("one", Fault("crash before", 40))
    assert world.run("backfill", driver).killed
    assert driver.operations == 41
