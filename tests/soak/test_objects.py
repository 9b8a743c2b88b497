"""A sample of `tests.soak.objects`; `make soak-objects` plays ten thousand schedules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.soak.objects.play import TOGETHER, Player
from tests.soak.objects.service import Driver, Fault, Service
from tests.soak.objects.world import World, Wrong, simulated

SAMPLE = 24
LONG_SAMPLE = 250


@pytest.fixture
def service() -> Iterator[Service]:
    with simulated("content") as service:
        yield service


@pytest.fixture
def player(service: Service, tmp_path: Path) -> Player:
    return Player(service, tmp_path, seed=1, counted=Counter())


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_nothing_false_is_said_and_no_harm_is_done(service: Service, tmp_path: Path, seed: int) -> None:
    counted: Counter[str] = Counter()
    player = Player(service, tmp_path, seed, counted)
    for number, schedule in enumerate(player.schedules()[: SAMPLE if seed == 1 else LONG_SAMPLE]):
        try:
            player.play(schedule)
        except Wrong as error:
            raise AssertionError(f"--seed {seed} --only {number}: {schedule}: {error}") from error
    assert counted["(was hit)"] > 0


def test_a_schedule_is_the_same_each_time(player: Player) -> None:
    of_kinds = {each.kind: each for each in player.schedules()[:200] if each.scenario.startswith("backfill")}
    for kind in ("lands late", "pause before", TOGETHER):
        assert player.play(of_kinds[kind]) == player.play(of_kinds[kind])


def test_a_store_that_ignores_versions_is_caught(
    service: Service, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without conditional writes a driver that wakes up replaces what its successor has written, and two hold one lease."""
    real = service._do_put
    monkeypatch.setattr(service, "_do_put", lambda key, content, mode: real(key, content, "overwrite"))
    pauses = [
        each for each in player.schedules() if each.kind == "pause before" and each.scenario == "backfill, changed"
    ]
    found = []
    for schedule in pauses:
        try:
            player.play(schedule)
        except Wrong as error:
            found.append(str(error))
    assert any("replaced a file of its successor" in each for each in found), found


def test_a_run_that_does_not_look_is_caught(service: Service, tmp_path: Path) -> None:
    world = World(service, tmp_path)
    world.begin()
    assert world.run("backfill", Driver("one")).says == "complete"
    assert world.stored() == world.truth()
    world.lose_a_file()
    world.keys = {"destination_check": "off"}
    assert world.run("backfill", Driver("one")).says == "complete"
    assert world.stored() != world.truth()


def test_a_driver_that_is_dead_does_nothing_more(service: Service, tmp_path: Path) -> None:
    world = World(service, tmp_path)
    world.begin()
    driver = Driver("one", Fault("crash before", 40))
    assert world.run("backfill", driver).killed
    assert driver.operations == 41
