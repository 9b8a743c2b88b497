"""One schedule of faults: what is played, and what has to be true afterwards.

Right after the fault:
- a run says `complete` only where the sink holds exactly the source's points, each once;
- a run that does not say so ends with one of the product's errors, in one line, or names a reason.

At each operation the rules of `watch.py` hold.

Then the world is quiet, and after a few runs of the job's own command:
- the run is complete (or its points without an image are dead letters, all of them), and the sink is exact;
- no file lies there that no receipt names, and one more run writes nothing.

Of two drivers, in addition: the one that took over is complete and exact; the other one, when it goes on, replaces none of its
successor's files, not even those of one that has died. It may still put a file under a name that the successor does not
write, or delete one, as docs/stores.md says: both are counted, and the next run has to repair them.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

from tests.soak.objects.race import Race
from tests.soak.objects.scenarios import SCENARIOS, Scenario
from tests.soak.objects.service import Driver, Fault, Held, Kind, Service
from tests.soak.objects.world import End, World, Wrong

Tags = Literal["content", "number"]

TOGETHER: Final = "together"
"""Two drivers start at once, and the store serves them in a random order."""

_SETTLING_RUNS: Final = 4
_TOGETHER_PER_SCENARIO: Final = 60
_SUCCESSORS_DIE: Final = 0.3
_LATEST_DEATH: Final = 160


@dataclass(frozen=True)
class Schedule:
    """What is played.

    Args:
        scenario: name of a scenario.
        tags: how the store names versions.
        kind: what happens; `together` for two drivers at once.
        at: the operation at which it happens; of `together`, which order.
    """

    scenario: str
    tags: Tags
    kind: Kind | Literal["together"]
    at: int

    def __str__(self) -> str:
        return f"{self.scenario}: {self.kind} at {self.at}, versions by {self.tags}"


class Player:
    """Plays schedules on one simulated store.

    Args:
        service: see `simulated`.
        folder: for configurations.
        seed: of all choices.
        counted: what happened, a count each.
    """

    def __init__(self, service: Service, folder: Path, seed: int, counted: Counter[str]) -> None:
        self._service = service
        self._folder = folder
        self._seed = seed
        self.counted = counted
        self._saved: dict[tuple[str, str], _Saved] = {}

    def schedules(self) -> list[Schedule]:
        """Return every kind of fault at every operation of every scenario, in an order that the seed gives."""
        found: list[Schedule] = []
        for name, scenario in SCENARIOS.items():
            operations = len(self.trace(name, "content"))
            for number, kind in enumerate(get_args(Kind)):
                if scenario.looks and kind.startswith("pause"):
                    continue
                found += [
                    Schedule(name, ("content", "number")[(at + number) % 2], kind, at) for at in range(operations)
                ]
            if not scenario.looks:
                for at in range(_TOGETHER_PER_SCENARIO):
                    found.append(Schedule(name, ("content", "number")[at % 2], TOGETHER, at))
        random.Random(self._seed).shuffle(found)
        return found

    def trace(self, scenario: str, tags: Tags) -> tuple[str, ...]:
        """Return the operations of a scenario that nothing disturbs."""
        return self._saved_of(scenario, tags).trace

    def play(self, schedule: Schedule) -> list[str]:
        """Play one schedule, and return the operations of the disturbed run.

        Raises:
            Wrong: something that has to be true is not.
        """
        broken = self._service.watch.broken
        try:
            trace = self._played(schedule)
        except Wrong as error:
            raise Wrong("; ".join([str(error), *broken[:3]])) from error
        if broken:
            raise Wrong("; ".join(broken[:3]))
        return trace

    def _played(self, schedule: Schedule) -> list[str]:
        draw = random.Random(f"{self._seed} {schedule}")
        scenario = SCENARIOS[schedule.scenario]
        world = self._saved_of(schedule.scenario, schedule.tags).restored(self._service, self._folder, schedule.tags)
        self.counted[schedule.kind] += 1
        self.counted[schedule.scenario] += 1
        self._service.names = draw
        if schedule.kind == TOGETHER:
            drivers = self._together(world, scenario, draw)
        elif schedule.kind in ("pause before", "pause after"):
            drivers = [self._taken_over(world, scenario, Fault(schedule.kind, schedule.at), draw)]
        else:
            drivers = [self._disturbed(world, scenario, Fault(schedule.kind, schedule.at, draw.randrange(1, 30)))]
        self._settle(world, scenario, "one" if draw.random() < 0.5 else "two")
        return [each for driver in drivers for each in driver.trace]

    def _disturbed(self, world: World, scenario: Scenario, fault: Fault) -> Driver:
        driver = Driver("one", fault)
        end = world.run(scenario.command, driver)
        _judge(world, scenario, end, "the disturbed run")
        if scenario.looks and any(" put " in each or " delete " in each for each in driver.trace):
            raise Wrong("a command that only looks has written")
        self._service.land()
        self.counted["(was hit)"] += driver.was_hit
        self.counted[f"({'killed' if end.killed else end.says or 'error'})"] += 1
        return driver

    def _taken_over(self, world: World, scenario: Scenario, fault: Fault, draw: random.Random) -> Driver:
        """The first driver stands still at an operation; another one takes over, and the first one goes on."""
        failed: list[Wrong] = []
        met: list[dict[str, Held]] = []
        left: list[dict[str, Held]] = []
        changes = draw.random() < 0.6
        dies = Fault("crash after", draw.randrange(_LATEST_DEATH)) if draw.random() < _SUCCESSORS_DIE else None

        def take_over() -> None:
            met.append(dict(self._service.objects))
            self._service.clock.now_s += 300
            if changes:
                world.change()
            try:
                second = world.run(scenario.settles, Driver("two", dies))
                self.counted["(second driver died too)"] += second.killed
                if not second.killed and not _is_settled(world, scenario, second):
                    failed.append(
                        Wrong(f"the second driver ends with {second.says or second.error} {_reasons(second)}")
                    )
            except Wrong as error:  # the product's code is around this, and converts errors
                failed.append(error)
            self._service.driver = first
            if first.lease is not None and not self._service.holds(first):  # otherwise nobody has taken over
                left.append(dict(self._service.objects))

        first = Driver("one", fault, take_over)
        end = world.run(scenario.command, first)
        if failed:
            raise failed[0]
        if left:
            self._count_harm(met[0], left[0])
        if not left or not self._harm(left[0]):
            if dies is None or not changes:  # otherwise nobody has to have copied what changed
                _judge(world, scenario, end, "the first driver")
        elif end.says == "complete" and dies is None:
            raise Wrong("the first driver says complete after it has harmed its successor's files")
        self.counted["(was hit)"] += first.was_hit
        self.counted[f"(first driver: {end.says or end.error.partition(':')[0]})"] += 1
        return first

    def _harm(self, left: dict[str, Held]) -> dict[str, str]:
        """Return what became of the successor's files of points, by key."""
        now = self._service.objects
        kinds = {}
        for key in {*left, *now}:
            if key.startswith("sim/out/year=") and "/_" not in key and left.get(key) != now.get(key):
                kinds[key] = "replaced" if key in left and key in now else "deleted" if key in left else "appeared"
        return kinds

    def _count_harm(self, met: dict[str, Held], left: dict[str, Held]) -> None:
        """Count what became of the successor's files; it met the objects `met`, and left the objects `left`.

        Where versions are named by content, a file that has its old content again cannot be told from the old one.
        """
        for key, kind in self._harm(left).items():
            untouched = key in met and key in left and met[key] == left[key]  # by a successor that died
            same = self._service.tags == "content" and key in met and key in left and met[key].data == left[key].data
            if kind == "replaced" and not (untouched or same):
                raise Wrong("the first driver has replaced a file of its successor")
            self.counted[f"(first driver: {kind} a file, {self._service.tags})"] += 1

    def _together(self, world: World, scenario: Scenario, draw: random.Random) -> list[Driver]:
        """Two drivers start at once; the heartbeat of the first one may be cut off."""
        drivers = [Driver("one"), Driver("two")]
        drivers[0].beats = draw.random() < 0.5
        ends: dict[str, End] = {}
        failed: list[BaseException] = []
        race = Race(self._service, drivers, draw)

        def work(driver: Driver) -> None:
            try:
                with race.taking_part(driver):
                    ends[driver.name] = world.run(scenario.command, driver)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(each,)) for each in drivers]
        race.run(threads)
        if failed:
            raise failed[0]
        for name, end in ends.items():
            if end.says == "complete" and len([each for each in ends.values() if each.says]) == 1:
                _judge(world, scenario, end, f"driver {name}")
            self.counted[f"(together: {end.says or end.error.partition(':')[0]})"] += 1
        return drivers

    def _settle(self, world: World, scenario: Scenario, name: str) -> None:
        end = End()
        for number in range(_SETTLING_RUNS):
            end = world.run(scenario.settles, Driver(f"{name} {number}"))
            if _is_settled(world, scenario, end) and (
                number or not world.strays()
            ):  # what landed late is removed by the next run
                break
        else:
            state = "exact" if _is_exact(world, scenario) else "not exact"
            raise Wrong(
                f"after {_SETTLING_RUNS} quiet runs {end.says or end.error} {_reasons(end)}, and the sink is {state}"
            )
        if strays := world.strays():
            raise Wrong(f"no receipt names {', '.join(strays)}")
        again = world.run(scenario.settles, Driver("last"))
        if again.summary is None or again.summary.points_written or not _is_settled(world, scenario, again):
            raise Wrong(f"one more run ends with {again.says or again.error}, and writes points that were there")

    def _saved_of(self, scenario: str, tags: Tags) -> _Saved:
        if (scenario, tags) not in self._saved:
            self._service.tags = tags
            self._service.objects = {}
            world = World(self._service, self._folder)
            world.begin()
            self._service.names = random.Random(scenario)
            SCENARIOS[scenario].prepare(world)
            saved = _Saved.of(world)
            counting = Driver("counting")
            saved.restored(self._service, self._folder, tags).run(SCENARIOS[scenario].command, counting)
            self._saved[scenario, tags] = replace(saved, trace=tuple(counting.trace))
        return self._saved[scenario, tags]


@dataclass(frozen=True)
class _Saved:
    """A world as it was prepared."""

    objects: dict[str, Held]
    source: dict[str, Any]
    changes: int
    sink: str
    keys: dict[str, Any]
    now_s: float
    trace: tuple[str, ...] = ()

    @classmethod
    def of(cls, world: World) -> _Saved:
        service = world.service
        objects, source = dict(service.objects), dict(world.source)
        return cls(objects, source, world.changes, world.sink, world.keys, service.clock.now_s)

    def restored(self, service: Service, folder: Path, tags: Tags) -> World:
        service.tags, service.objects, service.between = tags, dict(self.objects), lambda: None
        service.clock.now_s = self.now_s + 3_600  # what ran before is over
        service.forget()
        world = World(service, folder)
        world.source, world.changes, world.sink, world.keys = dict(self.source), self.changes, self.sink, self.keys
        return world


def _judge(world: World, scenario: Scenario, end: End, who: str) -> None:
    if end.summary is None:
        return
    if end.says == "complete":
        if found := _difference(world, scenario):
            raise Wrong(f"{who} says complete, and the sink is not exact: {found}")
        return
    if not _reasons(end) and not scenario.looks and not end.summary.dead_letters:
        raise Wrong(f"{who} is {end.says} and does not say why")


def _reasons(end: End) -> str:
    details = {} if end.summary is None else end.summary.details
    return str(details.get("incomplete") or details.get("first failure") or details.get("reasons") or details or "")


def _is_exact(world: World, scenario: Scenario) -> bool:
    return world.stored() == world.truth(good_only=scenario.good_only)


def _difference(world: World, scenario: Scenario) -> str:
    """Return in what the sink differs from what the command is responsible for."""
    stored, truth = world.stored(), world.truth(good_only=scenario.good_only, until=scenario.until)
    missing = [cell for cell in truth if stored.get(cell) != truth[cell]]
    more = stored.keys() - world.truth(good_only=scenario.good_only).keys()
    return f"{len(missing)} missing or wrong, {len(more)} too many" if missing or more else ""


def _is_settled(world: World, scenario: Scenario, end: End) -> bool:
    if end.summary is None or not _is_exact(world, scenario):
        return False
    if not scenario.good_only:
        return end.says == "complete"
    rejected = len(world.truth()) - len(world.truth(good_only=True))
    return end.summary.dead_letters == rejected and end.says == ("incomplete" if rejected else "complete")
