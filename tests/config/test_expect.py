"""What may stand below `expect`, which rules a series has, and the messages for what may not."""

from __future__ import annotations

from fractions import Fraction

import pytest

from omnia_beam.config.expect import share_of
from omnia_beam.pipelines.config.schema import json_schema

from .conftest import GOOD, Files

HOUR = 3_600 * 10**9


def expecting(text: str) -> str:
    return f"{GOOD}expect: {text}\n"


def test_without_the_key_nothing_is_expected(files: Files) -> None:
    assert files.load().expect is None


def test_all_keys(files: Files) -> None:
    expect = files.load(
        expecting('{max_gap: 1h, min_points: 1000, bad_share: 1%, range: [0, 250], series: {"PT*": {max_gap: 5m}}}')
    ).expect
    assert expect is not None
    assert (expect.max_gap, expect.min_points, expect.bad_share, expect.range) == (HOUR, 1_000, "1%", (0.0, 250.0))
    assert expect.series["PT*"].max_gap == HOUR // 12
    assert share_of(expect.bad_share) == Fraction(1, 100)


def test_the_first_pattern_that_gives_a_key_counts_and_null_takes_it_back(files: Files) -> None:
    expect = files.load(
        expecting(
            '{max_gap: 1h, min_points: 5, series: {"PT-1": {max_gap: null}, "PT*": {max_gap: 5m, range: [0, null]}, '
            '"*-9": {min_points: 0, bad_share: 0.5 %}}}'
        )
    ).expect
    assert expect is not None
    assert expect.rules_of("FT-1") == {"max_gap": HOUR, "min_points": 5}
    assert expect.rules_of("PT-1") == {"range": (0.0, None), "min_points": 5}
    assert expect.rules_of("PT-9") == {
        "max_gap": HOUR // 12,
        "range": (0.0, None),
        "min_points": 0,
        "bad_share": "0.5%",
    }
    assert expect.rules_of("some name", "PT-9") == expect.rules_of("PT-9")
    assert expect.rules_of("pt-1") == expect.rules_of("FT-1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "expects nothing: give max_gap, min_points, bad_share or range"),
        ('{series: {"*": {}}}', "expects nothing"),
        ("{max_gap: 0s}", "must be longer than 0 s"),
        ("{max_gap: 3}", "is not a duration"),
        ("{min_points: -1}", "is out of range: at least 0"),
        ("{bad_share: 1}", "is not a percentage from 0% to 100%: write 1% or 0.5%"),
        ("{bad_share: 101%}", "is not a percentage"),
        ("{range: [250, 0]}", "[250, 0] ends below its beginning"),
        ("{range: [1]}", "is not a range: write [0, 250]"),
        ("{range: [a, b]}", "is not a range"),
        ("{range: [.inf, 1]}", "is not a range"),
        ("{range: [null, null]}", "has neither a lower nor an upper end"),
        ('{series: {"": {min_points: 1}}}', "a pattern is empty"),
        ("{max_gab: 1h}", 'did you mean "max_gap"?'),
        ('{series: {"*": {series: {}}}}', "unknown key"),
    ],
)
def test_what_is_refused(files: Files, text: str, message: str) -> None:
    problems = files.problems(expecting(text))
    assert any(message in line and "expect" in line for line in problems), problems


def test_a_sink_that_is_not_read_as_a_whole_is_refused(files: Files) -> None:
    text = expecting("{min_points: 1}").replace(
        "{kind: parquet, path: out/}", "{kind: omnia, environment: dev, credential: {kind: default}}"
    )
    (problem,) = files.problems(text)
    assert "which a sink of kind omnia is not: remove it" in problem


def test_overrides_reach_it_and_take_it_back(files: Files) -> None:
    text = expecting("{max_gap: 1h, min_points: 3}")
    expect = files.load(text, "expect.max_gap=2h", "expect.range=[0, 5]").expect
    assert expect is not None
    assert (expect.max_gap, expect.min_points, expect.range) == (2 * HOUR, 3, (0.0, 5.0))
    assert files.load(text, "expect=null").expect is None


def test_the_schema_has_it() -> None:
    schema = json_schema()
    assert "expect" in schema["properties"]
    assert "expect" not in schema.get("required", [])
    rules = schema["$defs"]["ExpectRules"]["properties"]
    assert set(rules) == {"max_gap", "min_points", "bad_share", "range"}
