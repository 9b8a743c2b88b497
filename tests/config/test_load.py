"""Loading: what a file, its mistakes and the command line come to."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.config.document import apply_setting, parse_document, walk
from omnia_beam.config.load import validate
from omnia_beam.core.errors import UsageError
from omnia_beam.core.timestamps import parse_time
from omnia_beam.io.files.options import ParquetSink
from omnia_beam.io.omnia.options import OmniaSource
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.pipelines.config import job_model, load_config

from .conftest import GOOD, NOW_NS, Files

HOUR = 3_600 * 10**9


def test_the_design_example(files: Files) -> None:
    config = files.load(
        """\
name: well-pressures-2023
source:
  kind: omnia
  environment: prod            # dev | test | prod
  credential: {kind: client_secret}
  federation_source: TSDB
  format: protobuf
  series: {ids: [i1, i2], ids_file: tags.csv, search: {facility: "1191", name: "*PT*"}}
  status: [192]
  rate: {requests_per_second: 20, max_in_flight: 8}
window: {start: 2023-01-01, end: 2024-01-01}
sink: {kind: parquet, path: out/}
state: state/
"""
    )
    assert isinstance(config.source, OmniaSource)
    assert config.source.series.ids == ("i1", "i2")
    assert [search.patterns() for search in config.source.series.search] == [{"facility": "1191", "name": "*PT*"}]
    assert config.source.status == (192,)
    assert config.source.rate.requests_per_second == 20.0
    assert config.source.credential == CredentialSpec("client_secret")
    assert config.window is not None
    assert (config.window.start, config.window.end) == (parse_time("2023-01-01"), parse_time("2024-01-01"))
    assert isinstance(config.sink, ParquetSink)
    assert (config.sink.path, config.sink.compression, config.state) == ("out/", "zstd", "state/")


def test_defaults_are_read_like_what_is_written(files: Files) -> None:
    source = files.load().source
    assert isinstance(source, OmniaSource)
    assert (source.retry.deadline, source.retry.first_wait) == (600 * 10**9, 500_000_000)
    assert (source.timeouts.connect, source.timeouts.read) == (10 * 10**9, 120 * 10**9)
    assert (source.rate.requests_per_second, source.rate.max_in_flight) == (20.0, 8)
    assert (source.page_limit, source.format, source.status) == (100_000, "protobuf", ())


def test_texts_stay_as_they_are_written(files: Files) -> None:
    search = "search: {facility: 0123, name: NO, description: 1e5, unit: 12:30, source: 0x10, assetId: 2023-01-01}"
    config = files.load(GOOD.replace("ids: [a, b]", f"{search}, ids: [1_0, null_, 007]"))
    assert isinstance(config.source, OmniaSource)
    assert config.source.series.ids == ("1_0", "null_", "007")
    assert config.source.series.search[0].patterns() == {
        "name": "NO",
        "description": "1e5",
        "facility": "0123",
        "unit": "12:30",
        "source": "0x10",
        "assetId": "2023-01-01",
    }


def test_times_keep_nine_decimals_and_know_now(files: Files) -> None:
    config = files.load(GOOD.replace("2023-01-01,", "2023-01-01T00:00:00.123456789Z,").replace("2024-01-01", "now-15m"))
    assert config.window is not None
    assert config.window.start == parse_time("2023-01-01") + 123_456_789
    assert config.window.end == NOW_NS - HOUR // 4


def test_start_and_end_replace_the_window(files: Files) -> None:
    window = files.load(start="-7d", end="now").window
    assert window is not None
    assert (window.start, window.end) == (NOW_NS - 168 * HOUR, NOW_NS)
    without = GOOD.replace("window: {start: 2023-01-01, end: 2024-01-01}\n", "")
    assert files.load(without).window is None
    window = files.load(without, start="2024-01-01").window
    assert window is not None
    assert (window.start, window.end) == (parse_time("2024-01-01"), None)
    assert files.problems(without, end="2024-01-01") == ["--end: window.start: required key is missing: First instant."]
    assert files.problems(end="tomorrow")[0].startswith('--end: window.end: "tomorrow" is not a time')


@pytest.mark.parametrize(
    ("window", "line"),
    [
        (
            "{start: 2024-01-01, end: 2023-01-01}",
            "job.yaml:7:29: window.end: ends before it starts: start 2024-01-01T00:00:00Z, end 2023-01-01T00:00:00Z",
        ),
        (
            "{start: 2024-01-01, end: 2024-01-01T01:00+01:00}",
            "job.yaml:7:29: window.end: is empty: it starts and ends at 2024-01-01T00:00:00Z (the end does not belong to it)",
        ),
        ("{}", "job.yaml:7:1: window.start: required key is missing: First instant."),
        ("2024", 'job.yaml:7:1: window: must be a mapping of keys (start, end), not "2024"'),
    ],
)
def test_windows_that_are_none(files: Files, window: str, line: str) -> None:
    assert files.problems(GOOD.replace("{start: 2023-01-01, end: 2024-01-01}", window)) == [line]


def test_a_required_key_that_is_misspelt_is_one_problem(files: Files) -> None:
    (line,) = files.problems(GOOD.replace("  series:", "  serie:"))
    assert 'source.serie: unknown key; did you mean "series"?' in line


def test_all_problems_are_listed_from_top_to_bottom(files: Files) -> None:
    text = """\
name: well pressures
sorce: 1
source:
  kind: omnia
  environment: prd
  credential: {kind: anonymus}
  serie: {ids: [a]}
  series: {ids: [a, b c], search: {nam: x}}
  status: [192, x, -1]
  requests_per_second: 3
  rate: {requests_per_second: nan, max_in_flight: 0}
  page_limit: 200000
start: 2020-01-01
window: {start: 2023-01-01, end: yesterday}
sink: {kind: csw, path: out}
workers:
accept: [unmaped]
"""
    lines = files.problems(text)
    assert [line.split(": ")[:2] for line in lines] == [
        ["job.yaml:1:1", "name"],
        ["job.yaml:1:1", "state"],
        ["job.yaml:2:1", "sorce"],
        ["job.yaml:5:3", "source.environment"],
        ["job.yaml:6:16", "source.credential.kind"],
        ["job.yaml:7:3", "source.serie"],
        ["job.yaml:8:21", "source.series.ids.1"],
        ["job.yaml:8:36", "source.series.search.nam"],
        ["job.yaml:9:17", "source.status.1"],
        ["job.yaml:9:20", "source.status.2"],
        ["job.yaml:10:3", "source.requests_per_second"],
        ["job.yaml:11:10", "source.rate.requests_per_second"],
        ["job.yaml:11:36", "source.rate.max_in_flight"],
        ["job.yaml:12:3", "source.page_limit"],
        ["job.yaml:13:1", "start"],
        ["job.yaml:14:29", "window.end"],
        ["job.yaml:15:8", "sink.kind"],
        ["job.yaml:16:1", "workers"],
        ["job.yaml:17:10", "accept.0"],
    ]
    said = dict(zip((line.split(": ")[1] for line in lines), lines, strict=True))
    assert 'unknown key; did you mean "source"? known keys: name, source, window, sink' in said["sorce"]
    assert '"prd" is not one of dev, test, prod; did you mean "prod"?' in said["source.environment"]
    assert 'unknown key; did you mean "series"? known keys: kind, environment' in said["source.serie"]
    assert 'did you mean "name"?' in said["source.series.search.nam"]
    assert '"x" is not a whole number' in said["source.status.1"]
    assert '"-1" is out of range: at least 0' in said["source.status.2"]
    assert "unknown key; it belongs below rate; known keys:" in said["source.requests_per_second"]
    assert '"nan" is not a finite number' in said["source.rate.requests_per_second"]
    assert '"0" is out of range: at least 1 and at most 1,024' in said["source.rate.max_in_flight"]
    assert "it belongs below window" in said["start"]
    assert '"csw" is not one of omnia, csv, parquet, postgresql; did you mean "csv"?' in said["sink.kind"]
    assert "is empty; give a value or remove the key" in said["workers"]
    assert '"unmaped" is not a finding' in said["accept.0"]


def test_an_error_carries_its_problems_and_survives_pickling(files: Files) -> None:
    with pytest.raises(UsageError) as caught:
        files.load(GOOD.replace("name: job", "eman: job"))
    again = pickle.loads(pickle.dumps(caught.value))
    assert len(again.problems) == 2
    assert str(again) == "\n".join(again.problems)


def test_a_thousand_mistakes_are_one_screen(files: Files) -> None:
    lines = files.problems(GOOD.replace("[a, b]", str([f"a {at}" for at in range(1_000)])))
    assert len(lines) == 51
    assert lines[-1] == "… and 950 more problems like these"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "job.yaml: the configuration is empty; it needs at least name, source, sink and state"),
        ("# nothing\n", "job.yaml: the configuration is empty; it needs at least name, source, sink and state"),
        ("- a\n", "job.yaml:1:1: the configuration must be a mapping of keys to values, such as `name: x`"),
        ("name\n", "job.yaml:1:1: the configuration must be a mapping of keys to values, such as `name: x`"),
        (
            "name: a\nname: b\n",
            "job.yaml:2:1: name: the key is given twice, first at job.yaml:1:1; keep one of the two",
        ),
        (
            "sink: {path: a, path: b}\n",
            "job.yaml:1:17: sink.path: the key is given twice, first at job.yaml:1:8; keep one of the two",
        ),
        ("name: !env X\n", "job.yaml:1:7: a YAML tag (an exclamation mark) has no meaning here; quote the text"),
        (
            "name: !!python/object:os.system x\n",
            "job.yaml:1:7: a YAML tag (an exclamation mark) has no meaning here; quote the text",
        ),
        ("[a, b]: c\n", "job.yaml:1:1: the configuration: a key must be a text; quote it if it begins with a bracket"),
        ("<<: 3\nname: a\n", "job.yaml:1:5: <<: only a mapping, or a list of them, can be merged in"),
    ],
)
def test_texts_that_are_no_configuration(files: Files, text: str, line: str) -> None:
    assert files.problems(text) == [line]


@pytest.mark.parametrize(
    "text",
    ["a: [1", "a: 'b", "a: b: c", "a: 1\n---\nb: 2", "a: @x", "a: *x", "%YAML 9", "a: \x07", "a:\n\t- b", "[" * 5_000],
)
def test_bad_yaml_is_one_line_with_a_place(files: Files, text: str) -> None:
    [line] = files.problems(text)
    assert re.match(r"job\.yaml(:\d+:\d+)?: not valid YAML: \S", line)


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}"])
def test_an_alias_of_itself_is_refused(files: Files, text: str) -> None:
    [line] = files.problems(text)
    assert "aliases that repeat themselves" in line


def test_anchors_and_merges(files: Files) -> None:
    text = """\
name: job
source: &service
  kind: omnia
  base_url: http://localhost:1/v
  credential: &who {kind: anonymous}
  rate: {max_in_flight: 3}
  series: {ids: a}
sink:
  <<: *service
  base_url: http://localhost:2/v
  rate: {max_in_flight: 4}
state: s
"""
    assert files.problems(text)[0].startswith("job.yaml:7:3: sink.series: unknown key")
    config = files.load(
        text.replace("source: &service\n", "source:\n  <<: &service {base_url: 'http://localhost:1/v'}\n", 1)
        .replace("  base_url: http://localhost:1/v\n", "", 1)
        .replace("  base_url: http://localhost:2/v\n", "  kind: omnia\n  credential: *who\n")
    )
    assert config.source.base_url == config.sink.base_url == "http://localhost:1/v"  # type: ignore[union-attr]  # omnia
    assert config.sink.rate.max_in_flight == 4  # type: ignore[union-attr]  # omnia


def test_of_merged_mappings_the_first_wins() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc: {<<: [*a, *b], y: 3}\nd: {<<: {<<: *b, x: 4}}\n"
    data = parse_document(text, "x").data
    assert data["c"] == {"x": "1", "y": "3", "z": "2"}
    assert data["d"] == {"x": "4", "z": "2"}


@pytest.mark.parametrize(
    ("key", "shown"), [("''", '""'), ("'a b'", '"a b"'), ('"a\\tb"', '"a\\tb"'), ("x" * 90, "x" * 80 + "…")]
)
def test_odd_keys_can_be_told(files: Files, key: str, shown: str) -> None:
    [line] = files.problems(GOOD.replace("{ids: [a, b]}", "{ids: a, KEY: 1}").replace("KEY", key))
    assert line.split(": ", 1)[1].startswith(f"source.series.{shown}: unknown key; known keys: ids, ids_file, search")


_scalar = st.one_of(
    st.none(), st.text(max_size=6), st.sampled_from(["", "0", "-1", "now", "1h", "{name}", "omnia", "*", "true"])
)
_anything = st.recursive(
    _scalar,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "name", "ids", "0", "to", ""]), inner, max_size=3)
    ),
    max_leaves=5,
)
_FULL = """\
name: job
source: {kind: omnia, base_url: http://localhost/v, credential: {kind: anonymous}, status: [1],
  series: {ids: [a], search: [{name: x}]}, rate: {max_in_flight: 1}, retry: {deadline: 1h}}
window: {start: 2023-01-01, end: now}
sink: {kind: omnia, environment: dev, credential: {kind: client_secret, client_secret_env: X}, create_missing: {facility: x}}
mapping: {units: {a: {to: b}}, status_maps: {m: {1: 2}}, status_map: m, unlisted_status: 3}
state: s
tail: {poll: 1s}
accept: [nan_values]
"""
_PATHS = [path for path, _ in walk(parse_document(_FULL, "x").data) if path]


@given(st.sampled_from(_PATHS), _anything)
def test_whatever_stands_anywhere_is_taken_or_refused_in_lines(path: tuple[str | int, ...], value: Any) -> None:
    document = parse_document(_FULL, "job.yaml")
    apply_setting(document, ".".join(map(str, path)), value, "--set")
    problems: tuple[str, ...] = ()
    try:
        validate(document, job_model(), NOW_NS)
    except UsageError as error:
        problems = error.problems  # type: ignore[attr-defined]  # a member by name
    assert all(re.match(r"(--set|job\.yaml:\d+:\d+): [^:]+: \S", line) for line in problems), problems
    assert all("\n" not in line for line in problems)


def test_files_that_cannot_be_read(files: Files) -> None:
    def lines(path: Any) -> list[str]:
        with pytest.raises(UsageError) as caught:
            load_config(str(path), now_ns=NOW_NS)
        return files.lines(caught.value)

    assert lines(files.directory / "none.yaml") == [
        "none.yaml: there is no such configuration file: correct the path, or let omnia-beam init write one"
    ]
    assert lines(files.directory)[0].endswith("is a directory; name the configuration file in it")
    (files.directory / "latin.yaml").write_bytes("name: Å\n".encode("latin-1"))
    assert lines(files.directory / "latin.yaml") == ["latin.yaml: is not UTF-8 text (byte 6); save it as UTF-8"]
    assert lines(files.directory / "latin.yaml" / "x") == [
        "latin.yaml/x: the configuration cannot be read: Not a directory"
    ]


def test_a_byte_order_mark_and_windows_lines_are_fine(files: Files) -> None:
    path = files.directory / "job.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_config(str(path), now_ns=NOW_NS) == files.load()


def test_a_configuration_is_frozen_and_travels(files: Files) -> None:
    config = files.load()
    with pytest.raises(pydantic.ValidationError):
        config.name = "other"
    assert pickle.loads(pickle.dumps(config)) == config
    assert job_model().model_validate(config.model_dump()) == config


def test_a_list_of_many_ids_is_read_in_one_go(files: Files) -> None:
    ids = "\n".join(f"    - id-{at}" for at in range(20_000))
    source = files.load(GOOD.replace("{ids: [a, b]}", f"\n    ids:\n{ids}")).source
    assert isinstance(source, OmniaSource)
    assert len(source.series.ids) == 20_000
