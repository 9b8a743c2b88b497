"""`--set`: what it changes, and what it says of what it cannot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnia_beam.config.document import apply_setting, parse_document, parse_value, walk
from omnia_beam.core.errors import UsageError
from omnia_beam.io.files.options import CsvSource
from omnia_beam.io.omnia.options import OmniaSource

from .conftest import GOOD, Files


@pytest.mark.parametrize(
    ("settings", "selected"),
    [
        (["source.series.ids=[x, y]"], ("x", "y")),
        (["source.series.ids=x"], ("x",)),
        (["source.series.ids.0=x"], ("x", "b")),
        (["source.series.ids.2=x"], ("a", "b", "x")),
        (["source.series.ids.2=x", "source.series.ids.3=y"], ("a", "b", "x", "y")),
        (["source.series={ids: [x]}", "source.series.ids.1=y"], ("x", "y")),
        (["source.series.ids=[]", "source.series.ids=c"], ("c",)),
    ],
)
def test_lists(files: Files, settings: list[str], selected: tuple[str, ...]) -> None:
    source = files.load(GOOD, *settings).source
    assert isinstance(source, OmniaSource)
    assert source.series.ids == selected


def test_values_are_yaml_and_sections_come_into_being(files: Files) -> None:
    config = files.load(
        GOOD,
        "source.rate.max_in_flight=4",
        "source.series.search.name=*PT*",
        "source.status=[192, 64]",
        "source.base_url=https://example.com/a=b",
        "window.start=2023-06-01T00:00:00.123456789Z",
        "name='1'",
        "refresh=3d",
    )
    assert isinstance(config.source, OmniaSource)
    assert config.source.rate.max_in_flight == 4
    assert config.source.series.search[0].patterns() == {"name": "*PT*"}
    assert config.source.status == (192, 64)
    assert config.source.base_url == "https://example.com/a=b"
    assert config.window is not None
    assert config.window.start % 10**9 == 123_456_789
    assert (config.name, config.refresh) == ("1", 3 * 86_400 * 10**9)


def test_null_takes_a_key_back(files: Files) -> None:
    text = GOOD.replace("base_url: http://127.0.0.1:8080/plant/timeseries/v1.7", "environment: dev")
    source = files.load(text, "source.environment=null", "source.base_url=http://localhost:1/v").source
    assert isinstance(source, OmniaSource)
    assert (source.environment, source.base_url) == (None, "http://localhost:1/v")
    assert files.load(GOOD, "window=").window is None


@pytest.mark.parametrize(
    "key", ["source.status", "source.rate", "source.format", "accept", "refresh", "max_chunk_points", "tail"]
)
def test_null_takes_any_optional_key_back(files: Files, key: str) -> None:
    assert files.load(GOOD, f"{key}=null") == files.load(GOOD)


def test_null_takes_back_what_the_file_gives(files: Files) -> None:
    text = """
name: n
source: {kind: csv, path: in.csv, exclude: [A, B], include: C, missing: [x], status: [192], delimiter: ";", timezone: Europe/Oslo}
sink: {kind: parquet, path: out, compression: gzip}
state: s
accept: [nan_values]
"""
    keys = [f"source.{key}=null" for key in ("exclude", "include", "missing", "status", "delimiter", "timezone")]
    config = files.load(text, *keys, "sink.compression=null", "accept=null")
    source = config.source
    assert isinstance(source, CsvSource)
    assert (source.exclude, source.include, source.missing, source.status, config.accept) == ((), (), (), (), ())
    assert (source.delimiter, source.timezone) == ("auto", "UTC")


def test_a_null_that_means_something_stays(files: Files) -> None:
    source = files.load(GOOD, "source.rate.requests_per_second=null").source
    assert isinstance(source, OmniaSource)
    assert source.rate.requests_per_second is None


@pytest.mark.parametrize("key", ["name", "sink", "sink.path", "source.series", "state"])
def test_null_takes_no_required_key(files: Files, key: str) -> None:
    with pytest.raises(UsageError, match=rf"{key}: required key is missing"):
        files.load(GOOD, f"{key}=null")


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("source.rat.max_in_flight=3", '--set: source.rat: unknown key; did you mean "rate"? known keys: kind,'),
        ("source.rate.max_in_flght=3", '--set: source.rate.max_in_flght: unknown key; did you mean "max_in_flight"?'),
        ("windw.start=now", '--set: windw: unknown key; did you mean "window"?'),
        ("source.rate.max_in_flight=many", '--set: source.rate.max_in_flight: "many" is not a whole number'),
        ("source.series.ids.7=x", "--set: source.series.ids is a list of 2; 7 is no index of it: use 0 to 2"),
        ("source.series.ids.x=x", "--set: source.series.ids is a list of 2; x is no index of it: use 0 to 2"),
        ("name.x=1", "--set: name holds a value, not keys: no key can be set below it"),
        ("source.series.ids.0.x=1", "--set: source.series.ids.0 holds a value, not keys"),
        ("name", "--set: a setting has the form key.path=value"),
        ("=x", "--set: '' is not the path of a key"),
        ("source..kind=x", "--set: 'source..kind' is not the path of a key"),
        (
            "source.series.ids=[a",
            "--set source.series.ids: not valid YAML: did not find expected ',' or ']' while parsing a flow sequence",
        ),
        (
            "source.rate={max_in_flight: 1, max_in_flight: 2}",
            "--set source.rate: max_in_flight: the key is given twice",
        ),
        (
            "sink.path={name}",
            '--set: sink.path: a mapping is not a text; quote a text that begins with a brace: "{name}"',
        ),
    ],
)
def test_settings_that_cannot_be(files: Files, setting: str, says: str) -> None:
    lines = files.problems(GOOD, setting)
    assert any(line.startswith(says) for line in lines), lines


def test_a_setting_does_not_leak_into_an_alias() -> None:
    document = parse_document("a: &list [1, {b: 2}]\nc: *list\n", "x")
    apply_setting(document, "a.1.b", "3", "--set")
    assert document.data == {"a": ["1", {"b": "3"}], "c": ["1", {"b": "2"}]}


_keys = st.text("abcxyz_", min_size=1, max_size=3)
_scalars = st.one_of(st.none(), st.text("abc 019.", max_size=5))
_data = st.dictionaries(
    _keys,
    st.recursive(_scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3)),
    min_size=1,
)


@settings(max_examples=50)
@given(_data, st.data())
def test_setting_any_key_changes_that_key_alone(data: dict[str, Any], draw: st.DataObject) -> None:
    document = parse_document(json.dumps(data), "x")
    before = dict(walk(document.data))
    path = draw.draw(st.sampled_from([path for path in before if path]))
    value = draw.draw(_data)
    apply_setting(document, ".".join(map(str, path)), value, "--set")
    after = dict(walk(document.data))
    for other, old in before.items():
        if isinstance(old, Mapping | list):
            continue
        if other[: len(path)] != path:
            assert after[other] == old
    assert after[path] == value
    assert str(document.place((*path, "below"))) == "--set"


@settings(max_examples=50)
@given(_data)
def test_yaml_comes_back_as_texts_with_a_place_for_every_key(data: dict[str, Any]) -> None:
    document = parse_document(json.dumps(data), "x")
    assert document.data == data
    assert {path for path, _ in walk(document.data)} == set(document.places)


@given(st.text(max_size=20))
def test_any_value_is_read_or_refused_in_words(text: str) -> None:
    problem = ""
    try:
        parse_value(text, "--set x")
    except UsageError as error:
        problem = str(error)
    assert not problem or problem.startswith("--set x: ")
