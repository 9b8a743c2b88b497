"""Series that were copied and are not among those of a run any more.

One that the source no longer has is kept and named once, or follows, and nothing asks for more of it. One that is not selected any
more is left alone, also where its windows are read again for the sake of others.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
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
LOSING = [case(kind) for kind in ("csv", "parquet", "sqlite", "postgresql", "pi", "omnia")]
ONLY_A = {
    "csv": "source.exclude=[B]",
    "parquet": "source.include=[A]",
    "postgresql": "source.series={ids: [A]}",
    "pi": "source.series={ids: [A]}",
    "omnia": "source.series={search: {name: A}}",
}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Runs a command; returns its exit code and its summary."""

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        code = main([*arguments, "--json", "--no-progress"])
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


@pytest.fixture
def copied(make: Callable[..., Place], run: Callable[..., Any], tmp_path: Path) -> Callable[..., Copied]:
    """Copies two series, which share no window where `apart`, and removes one of them at the source."""

    def copied(kind: str, *, apart: bool = True, **keys: Any) -> Copied:
        source, sink = make(kind), make("parquet")
        source.put(POINTS)
        found = Copied(tmp_path, source, sink, {"max_chunk_points": 60 if apart else 1_000, **keys}, source.ids())
        assert run("migrate", found.job())[0] == 0
        source.forget("B")
        return found

    return copied


@dataclass
class Copied:
    """A job that has copied A and B, of which the source has only A by now."""

    folder: Path
    source: Place
    sink: Place
    keys: dict[str, Any]
    names: dict[str, str]

    def job(self, **keys: Any) -> str:
        return str(write_job(self.folder, self.source, self.sink, **self.keys, **keys))

    def held(self) -> dict[str, Any]:
        return {self.names.get(series_id, series_id): points for series_id, points in self.sink.held().items()}


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("kind", LOSING)
def test_a_series_that_is_gone_is_kept_and_named_once(
    kind: str, apart: bool, copied: Callable[..., Copied], run: Callable[..., Any]
) -> None:
    done = copied(kind, apart=apart, refresh="30d")
    code, summary = run("migrate", done.job())
    assert code == 1
    assert "B" in str(summary["incomplete"])
    assert summary["points_kept"] == 40
    assert differences(done.held(), POINTS) == {}
    code, summary = run("migrate", done.job())
    assert code == 0
    assert "40 points" in str(summary["warnings"])
    assert run("verify", done.job(), "--source")[0] == 0
    assert run("status", done.job())[0] == 0


@pytest.mark.parametrize("kind", [case(kind) for kind in ("csv", "sqlite", "pi", "omnia")])
def test_a_second_series_of_a_window_that_is_gone_is_named_too(
    kind: str, make: Callable[..., Place], run: Callable[..., Any], tmp_path: Path
) -> None:
    source, sink = make(kind), make("parquet")
    points = {**POINTS, "C": POINTS["B"]}
    source.put(points)
    job = str(write_job(tmp_path, source, sink))
    names = source.ids()
    assert run("migrate", job)[0] == 0
    for gone in ("B", "C"):
        source.forget(gone)
        code, summary = run("migrate", job)
        assert code == 1
        assert gone in str(summary["incomplete"])
        assert run("migrate", job)[0] == 0
    assert differences({names.get(each, each): held for each, held in sink.held().items()}, points) == {}


def test_a_gone_series_is_not_asked_for_in_json(copied: Callable[..., Copied], run: Callable[..., Any]) -> None:
    done = copied("omnia", apart=False, refresh="30d")
    code, summary = run("migrate", done.job(), "--set", "source.format=json")
    assert (code, summary["windows_failed"], summary["points_kept"]) == (1, 0, 40)
    assert run("migrate", done.job(), "--set", "source.format=json")[0] == 0


@pytest.mark.parametrize("kind", LOSING)
def test_a_series_that_is_gone_follows_where_the_job_says_so(
    kind: str, copied: Callable[..., Copied], run: Callable[..., Any]
) -> None:
    done = copied(kind, vanished="follow")
    code, summary = run("migrate", done.job())
    assert (code, summary["points_removed"]) == (0, 40)
    assert differences(done.held(), WITHOUT_B) == {}
    code, summary = run("migrate", done.job())
    assert (code, summary["series"], summary["windows_done"]) == (0, 1, 0)


@pytest.mark.parametrize("kind", LOSING)
def test_a_series_that_is_gone_leaves_no_time_to_be_copied(
    kind: str, copied: Callable[..., Copied], run: Callable[..., Any]
) -> None:
    done = copied(kind, vanished="follow")
    assert run("migrate", done.job())[0] == 0
    wider = done.job(window={"start": "1969-12-01", "end": "1970-02-01"})
    assert run("migrate", wider)[0] == 0
    assert run("status", wider)[0] == 0
    assert run("verify", wider)[0] == 0
    assert run("verify", wider, "--source")[0] == 0


@pytest.mark.parametrize("kind", [case(kind) for kind in ("csv", "sqlite", "pi")])
def test_a_window_is_repaired_of_which_a_series_is_gone_that_had_nothing_in_it(
    kind: str, copied: Callable[..., Copied], run: Callable[..., Any]
) -> None:
    done = copied(kind, apart=False, vanished="follow", refresh="30d")
    assert run("migrate", done.job())[0] == 0
    done.sink.spoil("A", 10**9)
    assert run("verify", done.job())[0] == 1
    assert run("verify", done.job(), "--repair")[0] == 0
    assert differences(done.held(), WITHOUT_B) == {}


def test_a_replacement_that_was_not_finished_is_missing_of_a_series_that_is_gone(
    copied: Callable[..., Copied], run: Callable[..., Any]
) -> None:
    done = copied("csv", vanished="follow", max_removed=1)
    assert run("migrate", done.job())[0] == 1  # announced, and withheld
    code, summary = run("status", done.job())
    assert code == 1
    assert [each["series_id"] for each in summary["incomplete"]] == ["B"]


@pytest.mark.parametrize("vanished", ["keep", "follow"])
@pytest.mark.parametrize("kind", [case(kind) for kind in ONLY_A])
def test_a_series_that_is_not_selected_any_more_stays(
    kind: str, vanished: str, make: Callable[..., Place], run: Callable[..., Any], tmp_path: Path
) -> None:
    source, sink = make(kind), make("parquet")
    source.put(POINTS)
    job = str(write_job(tmp_path, source, sink, refresh="30d", vanished=vanished))
    assert run("migrate", job)[0] == 0
    names = source.ids()
    narrow = (job, "--set", ONLY_A[kind])
    code, summary = run("migrate", *narrow)
    assert (code, summary["points_removed"]) == (0, 0)
    assert "incomplete" not in summary
    assert differences({names.get(each, each): points for each, points in sink.held().items()}, POINTS) == {}
    assert run("verify", *narrow)[0] == 0
    assert run("status", *narrow)[0] == 0
