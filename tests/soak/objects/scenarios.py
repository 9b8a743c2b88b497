"""The commands that are disturbed, each on a job in some state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.soak.objects.service import Driver, Fault
from tests.soak.objects.world import GOOD, QUESTIONABLE, World

Prepare = Callable[[World], None]

_STRICT: Final[dict[str, Any]] = {
    "mapping": {"status_map": {GOOD: GOOD}, "unlisted_status": "reject"},
    "accept": ["unlisted_status"],
}
_LENIENT: Final[dict[str, Any]] = {
    "mapping": {"status_map": {GOOD: GOOD, QUESTIONABLE: QUESTIONABLE}, "unlisted_status": "reject"},
    "accept": ["unlisted_status"],
}


@dataclass(frozen=True)
class Scenario:
    """A command on a job in some state.

    Args:
        command: what is disturbed.
        prepare: brings a new world into the state.
        settles: the command that brings the job to its end.
        good_only: whether points of another status are dead letters in the end.
        looks: whether the command moves nothing.
        until: hour from which on the command is responsible for nothing; None for no such hour.
    """

    command: str
    prepare: Prepare
    settles: str = "backfill"
    good_only: bool = False
    looks: bool = False
    until: int | None = None


def _copied(world: World) -> None:
    world.run("backfill", Driver("earlier"))


def _changed(world: World) -> None:
    _copied(world)
    world.change()
    world.lose_a_file()


def _half(world: World) -> None:
    world.run("backfill", Driver("earlier", Fault("crash before", 80)))


def _with_letters(world: World) -> None:
    world.sink, world.keys = "csv", _STRICT
    world.run("migrate", Driver("earlier"))


def _letters_changed(world: World) -> None:
    _with_letters(world)
    world.change()


def _remapped(world: World) -> None:
    _with_letters(world)
    world.keys = _LENIENT


def _mapped(world: World) -> None:
    world.sink, world.keys = "csv", _STRICT


SCENARIOS: Final[dict[str, Scenario]] = {
    "backfill, new": Scenario("backfill", lambda world: None),
    "backfill, half done": Scenario("backfill", _half),
    "backfill, changed": Scenario("backfill", _changed),
    "migrate, new": Scenario("migrate", _mapped, "migrate", good_only=True),
    "migrate, changed": Scenario("migrate", _letters_changed, "migrate", good_only=True),
    "tail, new": Scenario("tail", lambda world: None),
    "tail, changed": Scenario("tail", _changed),
    "verify --repair": Scenario("verify", _changed, until=48),  # it repairs what is recorded
    "replay": Scenario("replay", _remapped, "migrate"),
    "status, copied": Scenario("status", _copied, looks=True),
    "status, half done": Scenario("status", _half, looks=True),
}
