"""The rules that a model keeps: what fits together, what is refused, and what the message says."""

from __future__ import annotations

import pytest

from omnia_beam.config import MappingConfig
from omnia_beam.config.status_maps import STATUS_MAPS
from omnia_beam.io.files.options import CsvSource, ParquetSource
from omnia_beam.io.omnia.options import OmniaSink
from omnia_beam.net.http.settings import ServiceSettings

from .conftest import GOOD, Files

SOURCE = GOOD[GOOD.index("source:") : GOOD.index("window:")]
SINK = "sink: {kind: parquet, path: out/}\n"
SERVICE = "kind: omnia, base_url: 'https://host/v1', credential: {kind: anonymous}"


def with_source(text: str) -> str:
    return GOOD.replace(SOURCE, f"source: {{{text}}}\n")


def with_sink(text: str) -> str:
    return GOOD.replace(SINK, f"sink: {{{text}}}\n")


def with_mapping(text: str) -> str:
    return f"{GOOD}mapping: {{{text}}}\n"


OMNIA = "kind: omnia, series: {ids: a}"


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (f"{OMNIA}, credential: {{kind: anonymous}}", "source: needs an address: environment (dev, test or prod) or base_url"),
        (
            f"{OMNIA}, credential: {{kind: default}}, environment: dev, base_url: http://localhost/v",
            "source.base_url: environment and base_url exclude each other: remove one of the two",
        ),
        (
            f"{OMNIA}, credential: {{kind: default}}, environment: dev, resource_id: x",
            "source.resource_id: environment dev has its own resource id: remove the key",
        ),
        (
            f"{OMNIA}, credential: {{kind: default}}, base_url: https://host/v",
            "source.resource_id: credential default needs the OAuth resource that tokens are requested for, with base_url",
        ),
        (
            f"{OMNIA}, credential: {{kind: default}}, base_url: http://host/v, resource_id: x",
            "source.base_url: plain http would carry the token over the network for all to read: use https",
        ),
        (
            f"{OMNIA}, credential: {{kind: anonymous}}, base_url: http://host/v, subscription_key_env: KEY",
            "source.base_url: plain http would carry the subscription key over the network for all to read: use https",
        ),
        (f"{OMNIA}, environment: dev", "source.credential: required key is missing (kind, tenant_id, "),
        ("kind: omnia, environment: dev, credential: {kind: default}", "source.series: required key is missing (ids, "),
        ("path: x", "source.kind: required key is missing; one of omnia, csv, parquet"),
    ],
)  # fmt: skip
def test_services(files: Files, source: str, line: str) -> None:
    [found] = files.problems(with_source(source))
    assert found.split(": ", 1)[1].startswith(line)


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "127.8.8.8:2", "[::1]:3", "emulator.localhost"])
def test_a_token_may_travel_over_plain_http_inside_the_machine(files: Files, host: str) -> None:
    source = f"{OMNIA}, credential: {{kind: default}}, base_url: 'http://{host}/v/', resource_id: x"
    assert files.load(with_source(source)).source.base_url == f"http://{host}/v"  # type: ignore[union-attr]  # omnia


@pytest.mark.parametrize("host", ["10.0.0.1", "128.0.0.1", "127.0.0.1.example.com", "localhost.example.com", "0.0.0.0"])
def test_but_not_outside_of_it(files: Files, host: str) -> None:
    source = f"{OMNIA}, credential: {{kind: default}}, base_url: 'http://{host}/v', resource_id: x"
    assert "plain http" in files.problems(with_source(source))[0]
    assert "plain http" in files.problems(with_source(source.replace("http:", "HTTP:")))[0]
    allowed = files.load(with_source(f"{source}, allow_plain_http: true")).source
    assert ServiceSettings.of(allowed).allow_plain_http  # type: ignore[arg-type]  # omnia


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/v",
        "h/v",
        "http://",
        "http://h:p/v",
        "https://h/v?a=b",
        "https://h/v#a",
        "https://u@h/v",
        "https://h t/v",
        "http://[::1/v",
    ],
)
def test_addresses_that_are_none(files: Files, url: str) -> None:
    [line] = files.problems(with_source(f"{OMNIA}, credential: {{kind: anonymous}}, base_url: '{url}'"))
    assert ": source.base_url: " in line


@pytest.mark.parametrize(
    ("series", "line"),
    [
        ("{}", "source.series: selects nothing: give ids, ids_file or search"),
        ("{ids: }", "source.series.ids: is empty; give a value or remove the key: Ids of timeseries."),
        ("{ids: []}", "source.series.ids: is an empty list; remove the key or give at least one item"),
        ("{search: {}}", 'source.series.search: is empty: give at least one of its keys'),
        ("{search: [{name: a}, {}]}", 'source.series.search.1: is empty: give at least one of its keys'),
        ("{ids: ['a\\tb']}".replace("'", '"'), 'source.series.ids.0: "a\\tb" is not an id: it holds a blank'),
        ("{ids: [{a: b}]}", "source.series.ids.0: a mapping is not a text"),
        ("abc", 'source.series: must be a mapping of keys (ids, ids_file, search), not "abc"'),
    ],
)  # fmt: skip
def test_selections(files: Files, series: str, line: str) -> None:
    [found] = files.problems(GOOD.replace("{ids: [a, b]}", series))
    assert found.split(": ", 1)[1].startswith(line)


@pytest.mark.parametrize("name", ["a b", "..", ".a", "a/b", "", "æ", "x" * 101, "-a", "a\\b"])
def test_a_job_name_is_fit_for_a_path(files: Files, name: str) -> None:
    assert ": name: " in files.problems(GOOD.replace("name: job", f"name: '{name}'"))[0]


def test_csv_sources(files: Files) -> None:
    source = files.load(
        with_source('kind: csv, path: "pump/*.csv", layout: wide, delimiter: ";", time_column: datetime')
    ).source
    assert isinstance(source, CsvSource)
    assert (source.path, source.delimiter, source.default_status, source.timezone) == (("pump/*.csv",), ";", 192, "UTC")
    source = files.load(
        with_source("kind: csv, path: [a, b], delimiter: tab, missing: ['', NA], timezone: Europe/Oslo")
    ).source
    assert isinstance(source, CsvSource)
    assert (source.path, source.delimiter, source.missing) == (("a", "b"), "\t", ("", "NA"))


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("layout: wide, value_column: v", "source.value_column: is for long files; in a wide one every"),
        ("delimiter: ',', decimal: ','", "source.delimiter: is the decimal mark too: a value would look like two cells"),
        ("delimiter: '::'", 'source.delimiter: "::" is not a delimiter: use one character such as , or ;, or tab, or auto'),
        ("delimiter: x", 'source.delimiter: "x" is not a delimiter: use one character such as , or ;, or tab, or auto'),
        ("timezone: Mars/Base", 'source.timezone: "Mars/Base" is not a time zone: use UTC, a name'),
        ("timezone: ../../etc/passwd", 'source.timezone: "../../etc/passwd" is not a time zone: use UTC, a name'),
        ("default_status: 4294967296", 'source.default_status: "4294967296" is out of range: at least 0 and at most 4,294,967,295'),
        ("facility: ' '", "source.facility: is empty; remove the key or give a text"),
        ("series: {ids: a}", "source.series: unknown key; "),
    ],
)  # fmt: skip
def test_csv_sources_that_cannot_be(files: Files, source: str, line: str) -> None:
    [found] = files.problems(with_source(f"kind: csv, path: x, {source}"))
    assert found.split(": ", 1)[1].startswith(line)


def test_parquet_sources(files: Files) -> None:
    source = files.load(
        with_source("kind: parquet, path: x, columns: {series_id: tag, status: null}, time_unit: ms")
    ).source
    assert isinstance(source, ParquetSource)
    assert (source.columns.series_id, source.columns.time, source.columns.status) == ("tag", "time", None)


def test_omnia_sinks(files: Files) -> None:
    sink = files.load(with_sink(f'{SERVICE}, create_missing: {{facility: 1191, name: "{{facility}}-{{name}}"}}')).sink
    assert isinstance(sink, OmniaSink)
    assert sink.create_missing is not None
    assert (sink.create_missing.facility, sink.create_missing.name) == ("1191", "{facility}-{name}")
    assert (sink.nan, sink.time_resolution, sink.batch_points) == ("dead_letter", "dead_letter", 10_000)


@pytest.mark.parametrize(
    ("sink", "line"),
    [
        (f'{SERVICE}, create_missing: {{facility: "{{plant}}"}}', 'sink.create_missing.facility: "{plant}" has an unknown'),
        (f'{SERVICE}, create_missing: {{facility: "{{nam}}"}}', 'sink.create_missing.facility: "{nam}" has an unknown'),
        (f'{SERVICE}, create_missing: {{facility: "{{name"}}', 'sink.create_missing.facility: "{name" is not a template'),
        (f'{SERVICE}, create_missing: {{facility: "{{name.x}}"}}', 'sink.create_missing.facility: "{name.x}" has an unknown field'),
        (f'{SERVICE}, create_missing: {{facility: "{{name!r}}"}}', 'sink.create_missing.facility: "{name!r}" has a format'),
        (f'{SERVICE}, create_missing: {{facility: "{{}}"}}', 'sink.create_missing.facility: "{}" has an unknown field "{}"'),
        (f"{SERVICE}, nan: drop", 'sink.nan: "drop" is not one of dead_letter, drop_counted, as_bad_status'),
        (f"{SERVICE}, batch_points: 0", 'sink.batch_points: "0" is out of range: at least 1 and at most 1,000,000'),
        (f"{SERVICE}, bad_value: inf", 'sink.bad_value: "inf" is not a finite number'),
        ("kind: parquet, path: x, compression: snappy, compression_level: 3", "sink.compression_level: compression snappy has"),
        ("kind: parquet, path: x, compression_level: 23", "sink.compression_level: 23 is no level of zstd: use 1 to 22"),
        ("kind: parquet, path: ''", "sink.path: is empty; remove the key or give a text"),
        ("kind: csv, path: x, delimiter: auto", "sink.delimiter: auto is for reading: name the character to write"),
        ("kind: Parquet, path: x", 'sink.kind: "Parquet" is not one of omnia, csv, parquet, postgresql; did you mean "parquet"?'),
        ("path: x", "sink.kind: required key is missing; one of omnia, csv, parquet"),
    ],
)  # fmt: skip
def test_sinks_that_cannot_be(files: Files, sink: str, line: str) -> None:
    [found] = files.problems(with_sink(sink))
    assert found.split(": ", 1)[1].startswith(line), found


def load_mapping(files: Files, text: str) -> MappingConfig:
    mapping = files.load(with_mapping(text)).mapping
    assert mapping is not None
    return mapping


def test_mappings(files: Files) -> None:
    mapping = load_mapping(
        files, "file: tags.csv, units: {psi: bar, degF: {to: degC, scale: 0.5, offset: -1e1}}, unlisted_status: 8"
    )
    assert mapping.units["psi"].to == "bar"
    assert (mapping.units["degF"].scale, mapping.units["degF"].offset) == (0.5, -10.0)
    assert (mapping.unlisted_status, mapping.on_unmapped, mapping.status_table()) == (8, "fail", None)
    assert load_mapping(files, "status_map: ip21").status_table() == STATUS_MAPS["ip21"]
    assert load_mapping(files, "status_map: {0: 192, 1: 64}").status_table() == {0: 192, 1: 64}
    own = load_mapping(files, "status_maps: {mine: {7: 8}}, status_map: mine")
    assert own.status_table() == {7: 8}
    assert set(own.tables()) == {*STATUS_MAPS, "mine"}


@pytest.mark.parametrize(
    ("mapping", "line"),
    [
        ("status_map: ip12", 'mapping.status_map: "ip12" is not a status map; did you mean "ip21"? known: pi,'),
        ("status_map: [1]", "mapping.status_map: must be the name of a status map, or a table such as {0: 192, 1: 64}"),
        ("status_map: {a: 1}", 'mapping.status_map: "a" is not a status: whole numbers from 0'),
        ("status_map: {1: -1}", 'mapping.status_map: "-1" is not a status: whole numbers from 0'),
        ("status_maps: {pi: {1: 2}}", "mapping.status_maps: pi is the name of a built-in status map: choose another"),
        ("status_maps: {x: {1: y}}, status_map: x", 'mapping.status_maps.x: "y" is not a status: whole numbers from 0'),
        ("status_maps: {x: {1: 2}}, status_map: z", 'mapping.status_map: "z" is not a status map; known: pi, ip21,'),
        ("unlisted_status: keep", 'mapping.unlisted_status: "keep" is not carry, reject or a status (0 to'),
        ("by: template", 'mapping.target_name: by: template needs a template for the name, such as "{name}"'),
        ("by: same_id, target_name: x", "mapping.target_name: has no meaning without by: template"),
        ("units: {psi: {to: bar, scale: 0}}", "mapping.units.psi.scale: 0 would make every value the same"),
        ("units: {psi: {scale: 2}}", "mapping.units.psi.to: required key is missing: The target's unit."),
        ("units: {psi: {to: bar, skale: 1}}", 'mapping.units.psi.skale: unknown key; did you mean "scale"? known keys: to'),
        ("files: x", 'mapping.files: unknown key; did you mean "file"? known keys: file, by, target_name'),
    ],
)  # fmt: skip
def test_mappings_that_cannot_be(files: Files, mapping: str, line: str) -> None:
    found = [problem.split(": ", 1)[1] for problem in files.problems(with_mapping(mapping))]
    assert any(problem.startswith(line) for problem in found), found


def test_a_wrong_table_is_not_an_unknown_one_as_well(files: Files) -> None:
    assert len(files.problems(with_mapping("status_maps: {x: {1: y}}, status_map: x"))) == 1


@pytest.mark.parametrize("name", sorted(STATUS_MAPS))
def test_the_built_in_status_maps_lead_back(name: str) -> None:
    there = STATUS_MAPS[name]
    back = STATUS_MAPS[name.removeprefix("omnia_to_") if name.startswith("omnia_to_") else f"omnia_to_{name}"]
    assert all(back[target] == source for source, target in there.items())
    assert len(set(there.values())) == len(there) == 6


def test_a_refresh_reaches_behind_the_lag(files: Files) -> None:
    [line] = files.problems(f"{GOOD}tail: {{lag: 1h, refresh: 30m}}\n")
    assert line == "job.yaml:10:17: tail.refresh: reaches back no further than lag: nothing would be read again"
    assert files.load(f"{GOOD}tail: {{lag: 1h, refresh: 1d}}\n").tail.refresh == 86_400 * 10**9
