"""The driver as the one committer of a run: at intervals, at its end, and of what dead runs left."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import DestinationError
from omnia_beam.io import commit_step, kind_sink
from omnia_beam.pipelines.run import run_migrate
from tests.io.contract.place import Place
from tests.pipelines.conftest import differences, rows

POINTS = {"A": rows(range(0, 40 * 10**9, 10**9), [float(at) for at in range(40)], [192] * 40)}


@pytest.fixture
def ends(make: Callable[..., Place]) -> tuple[Place, Place]:
    source, sink = make("parquet"), make("sqlite")
    source.put(POINTS)
    return source, sink


def test_a_long_run_commits_while_its_workers_stage(
    ends: tuple[Place, Place], job: Callable[..., JobConfig], context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, waited = threading.Event(), list[bool]()
    note, commit_noted = commit_step.note_staged, kind_sink.commit_noted

    def noting(*args: Any) -> None:
        if not waited:
            note(*args)
            waited.append(stored.wait(20))  # the first window is stored before the second is staged
        else:
            note(*args)

    def committing(*args: Any, **keys: Any) -> Any:
        receipts = commit_noted(*args, **keys)
        if receipts:
            stored.set()
        return receipts

    monkeypatch.setattr(kind_sink, "COMMIT_EVERY_S", 0.05)
    monkeypatch.setattr(commit_step, "note_staged", noting)
    monkeypatch.setattr(kind_sink, "commit_noted", committing)
    summary = run_migrate(job(*ends, max_chunk_points=10), context)
    assert waited == [True]
    assert (summary.status, summary.points_written) == ("complete", 40)
    assert differences(ends[1].held(), POINTS) == {}


def test_a_commit_that_fails_ends_the_run_and_the_next_one_reads_nothing_again(
    ends: tuple[Place, Place], job: Callable[..., JobConfig], context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = job(*ends, max_chunk_points=10)

    def failing(*args: Any) -> Any:
        raise DestinationError("no space")

    with monkeypatch.context() as patched:
        patched.setattr("omnia_beam_sqlite.table.Table.commit", failing)
        with pytest.raises(DestinationError, match="no space"):
            run_migrate(config, context)
    assert ends[1].held() == {}
    summary = run_migrate(config, context)
    assert (summary.status, summary.points_read) == ("complete", 0)
    assert differences(ends[1].held(), POINTS) == {}
