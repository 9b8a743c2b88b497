"""The JSON Schema: complete, and of one mind with the loader."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from omnia_beam.config.document import parse_document
from omnia_beam.config.load import validate
from omnia_beam.core.errors import UsageError
from omnia_beam.pipelines.config import job_model, load_config
from omnia_beam.pipelines.config.schema import json_schema

from .conftest import GOOD, NOW_NS, Files

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


class AsJson(yaml.SafeLoader):
    """YAML as JSON knows it: times are texts, keys too."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        return {str(key): value for key, value in super().construct_mapping(node, deep=True).items()}


AsJson.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(section, key, its schema) of every key."""
    for section, body in [("job", schema), *schema["$defs"].items()]:
        for name, field in body["properties"].items():
            yield section, name, field


def test_every_key_has_a_description_and_no_other_key_is_known() -> None:
    schema = json_schema()
    for section, name, field in properties(schema):
        referred = schema["$defs"][field["$ref"].rpartition("/")[2]] if "$ref" in field else {}
        assert field.get("description") or referred.get("description"), f"{section}.{name}"
    assert all(body["additionalProperties"] is False for body in [schema, *schema["$defs"].values()])


def test_times_and_durations_are_texts_with_patterns_and_defaults_are_as_written() -> None:
    found = {f"{section}.{name}": field for section, name, field in properties(json_schema())}
    assert found["TailConfig.poll"]["type"] == "string"
    assert re.search(found["TailConfig.poll"]["pattern"], found["TailConfig.poll"]["default"])
    start = found["WindowConfig.start"]
    assert start["title"] == "time"
    for text in ("2024-01-01", "2024-01-01T00:00:00.123456789+01:00", "now", "now-15m", "-7d", "now-PT1H"):
        assert re.search(start["pattern"], text), text
    for text in ("yesterday", "2024", "now-15", "7d", "x2024-01-01", "2024-01-01x"):
        assert not re.search(start["pattern"], text), text
    integers = [
        name for name, field in found.items() if isinstance(field.get("default"), int) and field["default"] > 10**8
    ]
    assert integers == []  # a default in ns would be one


def test_it_is_plain_json_and_the_same_each_time() -> None:
    assert json.dumps(json_schema()) == json.dumps(json_schema())


GOOD_ONES = [
    GOOD,
    GOOD.replace("{ids: [a, b]}", "{search: {facility: 1191}}"),
    GOOD.replace("2024-01-01", "now-15m") + "refresh: 3d\ntail: {refresh: PT12H}\naccept: nan_values\n",
    GOOD
    + "mapping: {status_maps: {x: {1: 2}}, status_map: {0: 192}, unlisted_status: 8, units: {psi: bar, a: {to: b, scale: 2}}}\n",
]
BAD_ONES = [
    GOOD.replace("name: job", "nam: job"),
    GOOD.replace("state: state/\n", ""),
    GOOD.replace("2023-01-01", "yesterday"),
    GOOD.replace("kind: parquet", "kind: parket"),
    GOOD.replace("{ids: [a, b]}", "{}"),
    GOOD.replace("{ids: [a, b]}", "{ids: []}"),
    GOOD.replace("base_url: http://127.0.0.1:8080/plant/timeseries/v1.7", "page_limit: 5"),
    GOOD.replace("credential: {kind: anonymous}", "credential: {kind: nobody}"),
    GOOD + "refresh: 90\n",
    GOOD + "workers: 0\n",
    GOOD + "accept: [nan]\n",
]


def accepts(schema: dict[str, Any], text: str) -> bool:
    jsonschema = pytest.importorskip("jsonschema", reason="the schema's own validator is not installed")
    validator = jsonschema.Draft202012Validator(schema)
    return bool(validator.is_valid(yaml.load(text, AsJson)))


@pytest.mark.parametrize("text", GOOD_ONES)
def test_it_accepts_what_the_loader_accepts(files: Files, text: str) -> None:
    files.load(text)
    assert accepts(json_schema(), text)


@pytest.mark.parametrize("text", BAD_ONES)
def test_it_refuses_what_the_loader_refuses(files: Files, text: str) -> None:
    files.problems(text)
    assert not accepts(json_schema(), text)


def test_it_is_a_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="the schema's own validator is not installed")
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_example_configurations_load(path: Path) -> None:
    # What has a port in it says so in its first lines; the loader does not care which port.
    load_config(str(path), now_ns=NOW_NS)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_example_configurations_follow_the_schema(path: Path) -> None:
    assert accepts(json_schema(), path.read_text(encoding="utf-8"))


def blocks() -> list[str]:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    return re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", blocks(), ids=lambda text: text.split("\n")[0])
def test_the_examples_of_the_page_load(files: Files, text: str) -> None:
    files.load(text if "source:" in text else f"{GOOD}\n{text}")  # a part of a job is shown alone


def test_the_page_has_examples() -> None:
    assert len(blocks()) >= 4


def test_a_document_without_the_schema_s_required_keys_is_told_which() -> None:
    required = set(json_schema()["required"])
    assert set(parse_document(GOOD, "x").data) >= required
    document = parse_document("window:\n", "x")
    with pytest.raises(UsageError) as caught:
        validate(document, job_model(), NOW_NS)
    assert {line.split(": ")[1] for line in str(caught.value).splitlines()} == required
