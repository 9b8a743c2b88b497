"""The contract of a kind's options: what changes the points changes the scope, and no secret is carried along."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apache_beam.internal import pickler

from omnia_beam.config import JobConfig
from omnia_beam.config.kind import KindOptions, SourceOptions
from omnia_beam.io.base import WHOLE
from omnia_beam.io.kinds import kinds, sink_of, source_of
from omnia_beam.ledger.job import JobView, RunState
from omnia_beam.ledger.lease_file import LeaseToken
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.config.schema import json_schema
from omnia_beam.pipelines.config.starter import starter_job
from omnia_beam.pipelines.job_state import scope_of
from tests.io.contract.place import End, Place, case, places
from tests.pipelines.conftest import rows

KINDS = sorted(places())
ENDS = [(kind, end) for kind in KINDS for end in places()[kind].ends]


def test_every_registered_kind_is_under_contract() -> None:
    assert set(kinds()) == set(places()), "a kind without a module in tests/io/contract/kinds"
    for name, kind in kinds().items():
        assert [each for each in ("source", "sink") if getattr(kind, each) is not None] == list(places()[name].ends)


def options_of(config: JobConfig, end: End) -> KindOptions:
    return config.source if end == "source" else config.sink


@pytest.mark.parametrize(("kind", "end"), ENDS)
def test_a_key_is_part_of_the_scope_or_beside_it(
    kind: str, end: End, make: Callable[..., Place], job: Callable[..., JobConfig]
) -> None:
    place, other = make(kind, only_named=True), make("parquet")
    changes = place.source_changes if end == "source" else place.sink_changes
    config = job(place, other) if end == "source" else job(other, place)
    given = options_of(config, end).model_copy(update=dict(place.sink_base) if end == "sink" else {})
    fields = set(type(given).model_fields) - {"kind"}
    assert set(changes) == fields, "each key needs another value in the kind's module"
    assert given.beside | given.apart <= fields
    for name, value in changes.items():
        before = given.model_copy(update={"environment": None}) if name == "base_url" else given
        changed = before.model_copy(update={name: value if not isinstance(value, list) else tuple(value)})
        assert getattr(changed, name) != getattr(before, name), name
        assert (changed.identity() != before.identity()) == (name not in given.beside), name
        assert all(isinstance(text, str) and "\n" not in text for text in changed.identity().values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_scope_names_both_places(kind: str, make: Callable[..., Place], job: Callable[..., JobConfig]) -> None:
    place, other = make(kind, only_named=True), make("parquet")
    ends = [{"source": (place, other), "sink": (other, place)}[end] for end in place.ends]
    for pair in ends:
        assert scope_of(job(*pair)).digest != scope_of(job(other, other)).digest
    assert len({scope_of(job(*ends[0])).digest for _ in range(2)}) == 1


def test_the_same_options_have_the_same_scope_in_every_process(
    make: Callable[..., Place], job: Callable[..., JobConfig]
) -> None:
    config = job(make("csv"), make("parquet"))
    assert scope_of(pickle.loads(pickle.dumps(config))).digest == scope_of(config).digest


SECRET = "Xy7-s3cr3t~value"


@pytest.mark.parametrize("kind", [case(kind) for kind in KINDS])
def test_no_secret_is_in_what_workers_and_people_get(
    kind: str,
    make: Callable[..., Place],
    job: Callable[..., JobConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("CONTRACT_USER", "CONTRACT_SECRET", "CONTRACT_KEY"):
        monkeypatch.setenv(name, SECRET)
    source, sink = (make(kind if end in places()[kind].ends else "parquet") for end in ("source", "sink"))
    source.put({"A": rows([0], [1.0], [192])})
    config = job(source, sink)
    update: dict[str, Any] = {"subscription_key_env": "CONTRACT_KEY"}
    for end in ("source", "sink"):
        options = options_of(config, end)
        if "subscription_key_env" in type(options).model_fields:
            config = config.model_copy(update={end: options.model_copy(update=update)})
    state_dir = StateDir.open(str(tmp_path / "state"), "job")
    run = RunState(state_dir, "run", scope_of(config), LeaseToken(1, "nonce"))
    ends = source_of(config), sink_of(config)
    opened = ends[0].open(JobView.load(state_dir, run.scope), print, metadata=True)
    carried = [opened.reading(WHOLE), ends[1].writing(WHOLE, run), list(opened.shards([], 1))]
    for each in carried:
        assert SECRET.encode() not in pickler.dumps(each)
        assert SECRET.encode() not in pickle.dumps(each)
    shown = [*map(repr, carried), *map(repr, ends), repr(config), config.model_dump_json()]
    assert SECRET not in json.dumps([shown, config.source.identity(), config.sink.identity()])


@pytest.mark.parametrize("kind", KINDS)
def test_schema_and_init_know_it(kind: str) -> None:
    assert f'"{kind}"' in json.dumps(json_schema())
    ends = places()[kind].ends
    text = starter_job(*(kind if end in ends else "parquet" for end in ("source", "sink")))
    for end in ends:
        model = getattr(kinds()[kind], end)
        for name, field in model.model_fields.items():
            assert field.description, f"{kind}: {name} has no description"
            assert f"{name}:" in text
    assert issubclass(kinds()[kind].source or object, SourceOptions)
