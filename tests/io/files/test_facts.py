"""Facts of files: kept whole in an index, added up over blocks and files, and no reason to read again after an upgrade."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from omnia_beam.io.facts import FileFacts, Noted, ReadingNotes, SeriesFacts, names_quality
from omnia_beam.io.files.forms import CsvForm, FileSource, ParquetForm
from omnia_beam.io.files.found import list_files
from omnia_beam.io.files.index import FileIndex, index_file

LONG = "time,series_id,value,status\n" + "".join(
    f"2024-03-01T00:00:{second:02d}Z,PT-1,{second}.5,{24 if second % 2 else 192}\n" for second in (1, 2, 3, 3, 2)
)


@pytest.fixture
def source(tmp_path: Path) -> FileSource:
    (tmp_path / "log.csv").write_text(LONG)
    return FileSource((str(tmp_path / "log.csv"),))


def test_reading_digests_of_the_first_release() -> None:
    # Pinned: another digest would make every recorded window of a running job out of date.
    assert FileSource(("a.csv",)).reading_digest == "702240a64ac82648"
    assert FileSource(("a.parquet",), ParquetForm(), timezone="Europe/Oslo").reading_digest == "af384195ea355748"


def test_an_index_reads_back_whole(source: FileSource) -> None:
    index = index_file(source, list_files(source.paths)[0])
    noted = {"infinite_values": Noted(2, "log.csv:3: '1e309'")}
    told = replace(
        index,
        facts={"PT-1": index.facts["PT-1"].plus(SeriesFacts(noted=noted))},
        about=FileFacts({"layout": "long"}, (("time", "time"),), ("quality",), ("log.csv: is empty",)),
    )
    back = FileIndex.from_bytes(told.to_bytes())
    assert (back.facts, back.about, back.outdated) == (told.facts, told.about, False)
    assert back.facts["PT-1"].noted == {"duplicates": Noted(2), **noted}


def test_an_index_of_the_release_before_is_read_and_is_outdated(source: FileSource) -> None:
    index = index_file(source, list_files(source.paths)[0])
    head, body = index.to_bytes().split(b"\n", 1)
    old = json.loads(head)
    del old["about"]
    old |= {"v": 1, "series": [each[:-1] for each in old["series"]]}
    back = FileIndex.from_bytes(json.dumps(old).encode() + b"\n" + body)
    assert back.outdated
    assert back.holds_the_same_as(index)
    assert not back.holds_the_same_as(replace(index, facts={"PT-1": replace(index.facts["PT-1"], points=4)}))


def test_notes_add_up_and_keep_the_first_example() -> None:
    notes = ReadingNotes()
    notes.about_points("integer_precision", "PT-1", 2, "a.csv:2: '9007199254740993'")
    notes.about_points("integer_precision", "PT-1", 1, "a.csv:9: '9007199254740995'")
    notes.about_points("integer_precision", "PT-2", 0)
    assert notes.take_series() == {"PT-1": {"integer_precision": Noted(3, "a.csv:2: '9007199254740993'")}}
    assert notes.take_series() == {}
    with pytest.raises(ValueError, match="is not one of"):
        notes.about_points("odd", "PT-1", 1)


def test_facts_of_two_files_together() -> None:
    first = SeriesFacts(3, 1, 0, {192: 2, 24: 1}, {"duplicates": Noted(1)})
    second = SeriesFacts(2, 0, 2, {192: 2}, {"duplicates": Noted(2), "text_values": Noted(1, "x")})
    both = first.plus(second)
    assert both == SeriesFacts(5, 1, 2, {192: 4, 24: 1}, {"duplicates": Noted(3), "text_values": Noted(1, "x")})
    assert SeriesFacts.from_json(json.loads(json.dumps(both.to_json()))) == both


@pytest.mark.parametrize(
    "name", ["quality", "Quality", "PT-1.Status", "opc_quality", "QC", "IsGood", "tag quality", "Questionable"]
)
def test_names_of_qualities(name: str) -> None:
    assert names_quality(name)


@pytest.mark.parametrize(
    "name", ["value", "time", "PT-1", "statusquo_flow", "unit", "Goodwood", "stateroom", "comment"]
)
def test_names_of_other_things(name: str) -> None:
    assert not names_quality(name)


def test_forms_with_defaults_have_equal_digests() -> None:
    assert FileSource((), CsvForm()).reading_digest == FileSource(("b",)).reading_digest
    assert FileSource((), CsvForm(delimiter=";")).reading_digest != FileSource(()).reading_digest
