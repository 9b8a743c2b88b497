"""Templates of mapping files: a guess for every series with its reason, each target once, and a file that is valid as it is."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.cli import main
from omnia_beam.config import MappingRow, read_mapping_file
from omnia_beam.core.errors import UsageError
from omnia_beam.core.series import Timeseries
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.mapping.resolution import Resolution
from omnia_beam.mapping.template import guess_targets, write_template


def series(name: str, unit: str | None = None, facility: str = "F", id: str | None = None) -> Timeseries:
    return Timeseries(id or f"id of {name}", name, facility, unit=unit)


TARGETS = [
    series("27PT-1001", "kPa"),
    series("27PT-1002", "kPa"),
    series("27TT-1001", "degC"),
    series("Flow", "m3/h", "A", "flow a"),
    series("Flow", "kg/s", "B", "flow b"),
]


@pytest.mark.parametrize(
    ("source", "target", "why"),
    [
        (series("27PT-1001", "kPa"), "27PT-1001", "the same name; the same unit kPa"),
        (series("27PT-1001", "bar"), "27PT-1001", "the same name; unit bar converts to kPa"),
        (series("27PT-1001", "degC"), "27PT-1001", "do not fit: give scale and offset"),
        (series("27PT-1001"), "27PT-1001", "the source names no unit, the target has kPa: give source_unit"),
        (series("27pt1001"), "27PT-1001", "the same name but for case and signs: 27PT-1001"),
        (series("27_PT_1002.PV"), "27PT-1002", "a similar name with the same numbers: 27PT-1002"),
        (series("27PT-1003"), None, "no timeseries of a similar name"),  # another number is another tag
        (series("unheard of"), None, "no timeseries of a similar name"),
        (series("Flow", "l/min"), "flow a", "2 timeseries of the target are called so: check the facility"),
        (series("Flow", "t/h"), "flow b", "unit t/h converts to kg/s"),
        (series("Flow", None, "B"), "flow b", "check the facility"),
    ],
)
def test_guesses(source: Timeseries, target: str | None, why: str) -> None:
    (guess,) = guess_targets([source], TARGETS)
    assert why in guess.why
    if target is None:
        assert guess.target is None
    else:
        assert guess.target is not None
        assert target in (guess.target.name, guess.target.id)


def test_each_target_is_guessed_once_and_the_better_fit_has_it() -> None:
    guesses = list(guess_targets([series("27pt1001"), series("27PT-1001"), series("27PT_1001")], TARGETS))
    assert [each.target is not None for each in guesses] == [False, True, False]
    assert guesses[0].why == "27PT-1001 in F fits 27PT-1001 better"


name = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)


@given(sources=st.lists(name, unique=True, min_size=1, max_size=8), targets=st.lists(name, unique=True, max_size=8))
def test_every_template_is_a_valid_mapping_file(
    sources: list[str], targets: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("t") / "map.csv"
    left = tuple(Timeseries(f"s{i}", each, "F", unit="bar") for i, each in enumerate(sources))
    candidates = [series(each) for each in targets]
    assert write_template(str(path), Resolution((), (), left), (), candidates) == len(sources)
    rows = read_mapping_file(str(path))
    assert sorted(row.source for row in rows) == sorted(sources)
    held = [row.target_name for row in rows if row.target_name]
    assert len(held) == len(set(held))
    assert set(held) <= set(targets)


def test_what_the_mapping_file_says_already_stays(tmp_path: Path) -> None:
    row = MappingRow("27PT-1001", "chosen", "F", target_unit="kPa", scale=100.0, status_map="pi", source_unit="bar")
    resolution = Resolution((), (), (series("27PT-1001"),))
    write_template(str(tmp_path / "map.csv"), resolution, [row], TARGETS)
    assert read_mapping_file(str(tmp_path / "map.csv")) == (row,)


def test_a_template_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text("reviewed")
    with pytest.raises(UsageError, match=r"map\.csv: exists already"):
        write_template(str(tmp_path / "map.csv"), Resolution((), (), (series("a"),)), (), ())
    assert (tmp_path / "map.csv").read_text() == "reviewed"


def test_from_a_plan_to_a_migration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("time,27pt1001,27TT-9\n2024-03-01T00:00:00Z,1.5,20\n")
    Path("there.csv").write_text("time,27PT-1001\n2024-03-01T00:00:00Z,1\n")
    with EmulatorThread(["--data", "there.csv"]) as emulator:
        target = emulator.url
        job: dict[str, Any] = {
            "name": "copy",
            "source": {"kind": "csv", "path": "in.csv", "facility": "NEW"},
            "sink": {
                "kind": "omnia",
                "base_url": target,
                "credential": {"kind": "anonymous"},
                "create_missing": {},
            },
            "mapping": {"by": "template", "target_name": "{name}"},
            "state": "state/",
        }
        Path("job.yaml").write_text(json.dumps(job))

        def run(text: str) -> int:
            return main([*shlex.split(text), "--no-progress"])

        assert run("plan job.yaml --mapping-template map.csv") == 0
        with Path("map.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["source"] for row in rows] == ["27TT-9", "27pt1001"]
        assert rows[0]["why"] == "it will be created as 27TT-9 in NEW"
        assert run("migrate job.yaml --set mapping.file=map.csv") == 0
        assert run("plan job.yaml --mapping-template map.csv") == 2
        assert "exists already" in capsys.readouterr().err
