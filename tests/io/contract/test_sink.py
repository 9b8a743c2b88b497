"""The contract of a sink: what it can hold is there to the last bit, what it cannot is a dead letter, whenever a run dies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.ledger.dead_letters import read_dead_letters
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.run import run_migrate
from omnia_beam.pipelines.verify.verify import run_verify
from tests.io.contract.dying import dying
from tests.io.contract.place import Place, case, cases_at, kinds_at, places, special_points
from tests.pipelines.conftest import differences, rows

KINDS = cases_at("sink")
STEPS = [case(kind, step) for kind in kinds_at("sink") for step in places()[kind].steps]


@pytest.mark.parametrize("kind", KINDS)
def test_special_points_are_stored_or_dead_letters_and_verify_agrees(
    kind: str, make: Callable[..., Place], job: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    source, sink = make("parquet"), make(kind)
    points = special_points()
    source.put(points)
    config = job(source, sink, max_chunk_points=4)
    summary = run_migrate(config, context)
    held = {name: sink.holds(each) for name, each in points.items()}
    assert differences(sink.held(), {name: each for name, each in held.items() if len(each)}) == {}
    stored = sum(map(len, held.values()))
    letters = list(read_dead_letters(StateDir.open(str(tmp_path / "state"), "job", create=False)))
    assert sum(each.count for each in letters) == summary.dead_letters == sum(map(len, points.values())) - stored
    for each in letters:  # the exact points
        lost = rows(*each.points[:3])
        assert all(point in points[each.source_id] for point in lost)
    assert summary.points_written == stored
    assert summary.status == ("incomplete" if letters else "complete")
    again = run_migrate(config, context)
    assert (again.points_read, again.windows_done) == (0, 0)
    assert run_verify(config, context, source=True).status == "complete"


@pytest.mark.parametrize("kind", KINDS)
def test_verify_finds_what_changed_and_repairs_it(
    kind: str, make: Callable[..., Place], job: Callable[..., JobConfig], context: RunContext
) -> None:
    source, sink, other = make("parquet"), make(kind), make("parquet")
    points = {"A": rows([0, 100, 200], [1.0, 2.0, 3.0], [192, 0, 64])}
    source.put(points)
    config = job(source, sink)
    assert run_migrate(config, context).status == "complete"
    sink.spoil("A", 100)
    assert run_verify(config, context).status == "incomplete"
    assert run_verify(config, context, repair=True).status == "complete"
    assert differences(sink.held(), points) == {}
    assert other.held() == {}


@pytest.mark.long
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("kind", "step"), STEPS)
def test_a_kill_between_any_two_steps_loses_nothing_and_writes_nothing_twice(
    kind: str, step: str, after: bool, make: Callable[..., Place], job: Callable[..., JobConfig], context: RunContext
) -> None:
    source, sink = make("parquet"), make(kind)
    points = special_points(sink.grid_ns)
    source.put(points)
    config = job(source, sink, max_chunk_points=3)
    with dying(step, after=after) as calls, pytest.raises(Exception):  # noqa: B017, PT011 - as the runner wraps it
        run_migrate(config, context)
    assert calls
    run_migrate(config, context)
    held = {name: sink.holds(each) for name, each in points.items()}
    assert differences(sink.held(), {name: each for name, each in held.items() if len(each)}) == {}
    again = run_migrate(config, context)
    assert again.points_read == 0
    assert again.dead_letters == sum(map(len, points.values())) - sum(map(len, held.values()))
    assert run_verify(config, context, source=True).status == "complete"
