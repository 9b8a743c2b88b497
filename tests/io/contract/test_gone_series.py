"""A series that was copied and that its source no longer has: it is kept and named once, or follows, and nothing asks for more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.cli import main
from tests.io.contract.conftest import write_job
from tests.io.contract.place import Place, case
from tests.pipelines.conftest import differences, rows

POINTS = {
    name: rows(range(0, 40 * 10**9, 10**9), [at + shift for at in range(40)], [192] * 40)
    for name, shift in (("A", 0.5), ("B", -0.25))
}
WITHOUT_B = {"A": POINTS["A"]}
LOSING = [case(kind) for kind in ("csv", "parquet", "sqlite", "postgresql")]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Runs a command; returns its exit code and its summary."""

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        code = main([*arguments, "--json", "--no-progress"])
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


@pytest.fixture
def copied(
    make: Callable[..., Place], run: Callable[..., Any], tmp_path: Path
) -> Callable[[str], tuple[str, Place, Place]]:
    """Copies two series, each in windows of its own, and removes one of them at the source."""

    def copied(kind: str) -> tuple[str, Place, Place]:
        source, sink = make(kind), make("parquet")
        source.put(POINTS)
        job = str(write_job(tmp_path, source, sink, max_chunk_points=25))
        assert run("migrate", job)[0] == 0
        source.forget("B")
        return job, source, sink

    return copied


@pytest.mark.parametrize("kind", LOSING)
def test_a_series_that_is_gone_is_kept_and_named_once(
    kind: str, copied: Callable[..., tuple[str, Place, Place]], run: Callable[..., Any]
) -> None:
    job, _, sink = copied(kind)
    code, summary = run("migrate", job)
    assert code == 1
    assert "B" in str(summary["incomplete"])
    assert summary["points_kept"] == 40
    assert differences(sink.held(), POINTS) == {}
    code, summary = run("migrate", job)
    assert code == 0
    assert "40 points" in str(summary["warnings"])
    assert run("verify", job, "--source")[0] == 0
    assert run("status", job)[0] == 0


@pytest.mark.parametrize("kind", LOSING)
def test_a_series_that_is_gone_follows_where_the_job_says_so(
    kind: str, copied: Callable[..., tuple[str, Place, Place]], run: Callable[..., Any]
) -> None:
    job, _, sink = copied(kind)
    code, summary = run("migrate", job, "--set", "vanished=follow")
    assert (code, summary["points_removed"]) == (0, 40)
    assert differences(sink.held(), WITHOUT_B) == {}
    code, summary = run("migrate", job, "--set", "vanished=follow")
    assert (code, summary["series"], summary["windows_done"]) == (0, 1, 0)


@pytest.mark.parametrize("kind", LOSING)
def test_a_series_that_is_gone_leaves_no_time_to_be_copied(
    kind: str, copied: Callable[..., tuple[str, Place, Place]], run: Callable[..., Any]
) -> None:
    job, _, _ = copied(kind)
    assert run("migrate", job, "--set", "vanished=follow")[0] == 0
    wider = ("--start", "1969-12-01", "--end", "1970-02-01")
    assert run("migrate", job, *wider, "--set", "vanished=follow")[0] == 0
    assert run("status", job, *wider)[0] == 0
    assert run("verify", job, *wider)[0] == 0
    assert run("verify", job, *wider, "--source")[0] == 0


def test_a_replacement_that_was_not_finished_is_missing_of_a_series_that_is_gone(
    copied: Callable[..., tuple[str, Place, Place]], run: Callable[..., Any], tmp_path: Path
) -> None:
    job, _, _ = copied("csv")
    assert run("migrate", job, "--set", "max_removed=1", "--set", "vanished=follow")[0] == 1  # announced, and withheld
    code, summary = run("status", job)
    assert code == 1
    assert [each["series_id"] for each in summary["incomplete"]] == ["B"]
