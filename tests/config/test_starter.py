"""`init`: a job of any two kinds is valid once its marked places are filled in, and says which they are before."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path

import jsonschema
import pytest
import yaml

from omnia_beam.cli import main
from omnia_beam.core.errors import UsageError
from omnia_beam.pipelines.config.schema import json_schema
from omnia_beam.pipelines.config.starter import MARK, SCHEMA_FILE, kinds_of, starter_job

from .conftest import Files

PAIRS = list(product(kinds_of("source"), kinds_of("sink")))
ANSWERS = {
    "environment": "dev",
    "kind": "anonymous",
    "name": '"*"',
    "start": "2024-01-01",
    "path": "some/place/",
    "base_url": "https://pi.example.com/piwebapi",
}
ANSWERS |= {"url": "postgresql://host/plant", "table": "points", "credential": "{kind: anonymous}"}
"""What a user would fill in, by key."""

_MARKED = re.compile(rf"^( *)([a-z_]+): +# {MARK}: .*$", re.MULTILINE)
_OPTIONAL = re.compile(r"^( *)# ([a-z_]+): (\S.*?) +# .*$", re.MULTILINE)


def filled_in(text: str) -> str:
    """The job with an answer in every marked place."""
    return _MARKED.sub(lambda found: f"{found[1]}{found[2]}: {ANSWERS[found[2]]}", text)


@pytest.mark.parametrize(("source", "sink"), PAIRS)
def test_a_filled_in_job_is_valid(files: Files, source: str, sink: str) -> None:
    text = filled_in(starter_job(source, sink))
    assert MARK not in text.split("\n", 2)[2]
    config = files.load(text)
    assert (config.source.kind, config.sink.kind) == (source, sink)
    jsonschema.validate(yaml.load(text, yaml.BaseLoader), json_schema())


@pytest.mark.parametrize(("source", "sink"), PAIRS)
def test_what_is_not_filled_in_is_named(files: Files, source: str, sink: str) -> None:
    text = starter_job(source, sink)
    lines = [number for number, line in enumerate(text.splitlines(), start=1) if f"# {MARK}: " in line]
    assert lines
    told = "\n".join(files.problems(text))
    # A credential or a search without anything in it is told of at its own line.
    assert {int(line) for line in re.findall(r"^job\.yaml:(\d+):", told, re.MULTILINE)} & set(lines)


@pytest.mark.parametrize(("source", "sink"), PAIRS)
def test_a_default_taken_out_of_its_comment_changes_nothing(files: Files, source: str, sink: str) -> None:
    text = filled_in(starter_job(source, sink))
    plain = files.load(text)
    found = [each for each in _OPTIONAL.finditer(text) if "null" not in each[3] and each[2] != "mapping"]
    assert len(found) >= 8
    for each in found:
        config = files.load(text[: each.start()] + f"{each[1]}{each[2]}: {each[3]}" + text[each.end() :])
        assert config == plain, each[0]


@pytest.mark.parametrize(("source", "sink"), PAIRS)
def test_every_key_of_the_two_kinds_is_there(source: str, sink: str) -> None:
    text = starter_job(source, sink)
    for model in (kinds_of("source")[source], kinds_of("sink")[sink]):
        for name, field in model.model_fields.items():
            assert re.search(rf"^ *(# )?{name}:", text, re.MULTILINE), name
            assert (field.description or "").split(". ")[0].rstrip(".") in text


def test_the_file_and_its_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = tmp_path / "job.yaml"
    assert main(["init", "csv", "parquet", "--output", str(job)]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert f"wrote {job}" in told.err
    lines = job.read_text().splitlines()
    assert lines[0] == f"# yaml-language-server: $schema=./{SCHEMA_FILE}"
    schema = json.loads((tmp_path / SCHEMA_FILE).read_text())
    jsonschema.validate(yaml.load(filled_in(job.read_text()), yaml.BaseLoader), schema)
    assert main(["init", "csv", "parquet"]) == 0
    assert capsys.readouterr().out.splitlines() == lines[1:]


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job, schema = tmp_path / "job.yaml", tmp_path / SCHEMA_FILE
    job.write_text("mine")
    assert main(["init", "csv", "parquet", "--output", str(job)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (job.read_text(), schema.exists()) == ("mine", False)
    schema.write_text('{"title": "somebody else\'s"}')
    assert main(["init", "csv", "parquet", "--output", str(tmp_path / "other.yaml")]) == 2
    assert schema.read_text() == '{"title": "somebody else\'s"}'
    assert not (tmp_path / "other.yaml").exists()
    schema.unlink()
    for name in ("a.yaml", "b.yaml"):  # a second job shares the schema
        assert main(["init", "csv", "parquet", "--output", str(tmp_path / name)]) == 0
    assert main(["init", "csv", "parquet", "--output", str(job / "below" / "a file.yaml")]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.endswith("a file.yaml: cannot be written: Not a directory")


def test_the_folder_is_made(tmp_path: Path) -> None:
    """As in the README, whose first folder may not be there yet."""
    job = tmp_path / "new" / "folder" / "job.yaml"
    assert main(["init", "csv", "parquet", "--output", str(job)]) == 0
    assert job.exists()
    assert job.with_name(SCHEMA_FILE).exists()


@pytest.mark.parametrize(("source", "sink"), [("cvs", "parquet"), ("csv", "parqet"), ("x", "omnia")])
def test_a_kind_that_is_none(source: str, sink: str) -> None:
    with pytest.raises(UsageError, match=r"there is no (source|sink) of kind .*\. The|did you mean"):
        starter_job(source, sink)
