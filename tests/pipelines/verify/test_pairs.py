"""Verify for every pair of kinds: no difference after a copy, every harm found, and repaired through the engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.core.errors import UsageError
from omnia_beam.io.kinds import sink_of
from omnia_beam.pipelines.run import run_migrate
from omnia_beam.pipelines.tail.tail import run_tail
from omnia_beam.pipelines.verify.verify import run_verify
from tests.pipelines.pairs import COUNT, PAIRS, Pair, expected, pair


@pytest.fixture(params=PAIRS)
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    with pair(tmp_path, *request.param) as found:
        yield found


@pytest.mark.long
def test_a_copy_that_was_harmed_is_repaired(job: Pair, context: RunContext) -> None:
    config = job.load()
    assert run_migrate(config, context).status == "complete"
    assert job.held() == expected()
    for against_source in (False, True):
        found = run_verify(config, context, source=against_source)
        assert (found.status, found.points_read) == ("complete", COUNT * 2 * (2 if against_source else 1))
    lost = job.harm()
    assert run_verify(config, context).details["differences"] == lost
    repaired = run_verify(config, context, repair=True)
    assert (repaired.status, repaired.details["repaired"]["status"]) == ("complete", "complete")
    assert job.held() == expected()
    assert run_verify(config, context, source=True).status == "complete"


@pytest.mark.long
@pytest.mark.parametrize("job", [("csv", "parquet"), ("csv", "omnia")], indirect=True, ids=lambda pair: "-".join(pair))
def test_several_workers(job: Pair, context: RunContext) -> None:
    config = job.load(workers=2)
    assert run_migrate(config, context).status == "complete"
    job.harm()
    assert run_verify(config, context, source=True, repair=True).status == "complete"
    assert job.held() == expected()


def test_a_tail_is_refused_where_nothing_is_replaced(
    tmp_path: Path, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pair(tmp_path, "csv", "csv") as job:
        config = job.load()

        def appending(job: Any) -> Any:
            sink = sink_of(job)
            sink.accepts = replace(sink.accepts, upserts=False)
            return sink

        monkeypatch.setattr("omnia_beam.pipelines.job.sink_of", appending)
        with pytest.raises(UsageError, match=r"^tail writes points again"):
            run_tail(config, context)
        assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("job", [("csv", "csv"), ("csv", "omnia")], indirect=True, ids=lambda pair: "-".join(pair))
@pytest.mark.parametrize("repair", [False, True])
def test_a_sink_that_cannot_be_read_back_is_refused_before_anything_starts(
    job: Pair, context: RunContext, monkeypatch: pytest.MonkeyPatch, repair: bool
) -> None:
    config = job.load()

    def blind(job: Any) -> Any:
        sink = sink_of(job)
        sink.observer = lambda place, with_source: None
        return sink

    monkeypatch.setattr("omnia_beam.pipelines.job.sink_of", blind)
    with pytest.raises(UsageError, match=f"^sink: what a sink of kind {job.sink} holds cannot be read back"):
        run_verify(config, context, repair=repair)
    assert not (job.folder / "state").exists()
