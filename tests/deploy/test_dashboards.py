"""The dashboard and the alerts ask for metrics that a run exports, and for nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from omnia_beam.beam.metrics import COUNTERS, GAUGES, PREFIX

DEPLOY = Path(__file__).parents[2] / "deploy"
EXPOSED = {f"{PREFIX}{name}_total" for name in COUNTERS} | {f"{PREFIX}{name}" for name in GAUGES}
GROWING = re.compile(r"(?:rate|increase)\((\w+)")


def queries() -> Iterator[tuple[str, str]]:
    """Where each query stands, and the query."""
    for group in yaml.safe_load((DEPLOY / "alerts.yaml").read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    board: dict[str, Any] = json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


def names(query: str) -> set[str]:
    return set(re.findall(r"\bomnia_beam_\w+", query))


QUERIES = list(queries())


@pytest.mark.parametrize(("where", "query"), QUERIES, ids=[where for where, _ in QUERIES])
def test_a_query_asks_for_what_is_exposed(where: str, query: str) -> None:
    assert names(query)
    assert names(query) <= EXPOSED
    assert query.count("(") == query.count(")")
    assert query.count("{") == query.count("}")
    # Only a counter has a rate.
    assert {name for name in names(query) if name in GROWING.findall(query)} == {
        name for name in names(query) if name.endswith("_total") and not query.startswith("label_values(")
    }
    assert set(re.findall(r"by \((\w+)\)", query)) <= {"beam_job"}


def test_everything_that_is_exposed_is_shown() -> None:
    assert {name for _, query in QUERIES for name in names(query)} == EXPOSED


def test_the_alerts_are_those_that_matter() -> None:
    rules = {where: query for where, query in QUERIES if where.startswith("OmniaBeam")}
    wanted = ("lag_seconds", "windows_failed_total", "dead_letters_total", "last_success_timestamp_seconds")
    for name in wanted:
        assert any(PREFIX + name in query for query in rules.values()), name


def test_the_panels_overlap_nowhere_and_have_numbers_of_their_own() -> None:
    panels = json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert all(0 <= x < 24 for x, _ in cells)
