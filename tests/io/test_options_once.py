"""What a job may say of files and services is declared in the kind's model; the dataclasses of the library must say the same."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

import pytest

from omnia_beam.config.section import Section
from omnia_beam.io.files.csv.write import CsvOptions
from omnia_beam.io.files.forms import CsvForm, FileSource, ParquetForm, file_source
from omnia_beam.io.files.options import CsvSink, CsvSource, ParquetColumns, ParquetSink, ParquetSource
from omnia_beam.io.files.parquet.write import ParquetOptions
from omnia_beam.io.omnia.options import OmniaSink, OmniaSource
from omnia_beam.io.omnia.policy import WriteOptions
from omnia_beam.io.omnia.read_options import ReadOptions

# The dataclass, the model, and the fields that are no key of that name.
PAIRS: list[tuple[type[Any], type[Section], set[str]]] = [
    (CsvForm, CsvSource, set()),
    (ParquetForm, ParquetColumns, {"time_unit", "time_format"}),
    (FileSource, CsvSource, {"paths", "form", "statuses"}),
    (FileSource, ParquetSource, {"paths", "form", "statuses"}),
    (CsvOptions, CsvSink, set()),
    (ParquetOptions, ParquetSink, {"level"}),
    (WriteOptions, OmniaSink, {"isolation_requests"}),
    (ReadOptions, OmniaSource, {"absent", "statuses", "max_chunk_points", "ahead"}),
]


@pytest.mark.parametrize(("kind", "model", "others"), PAIRS, ids=[f"{a.__name__}-{b.__name__}" for a, b, _ in PAIRS])
def test_names_and_defaults_are_those_of_the_keys(kind: type[Any], model: type[Section], others: set[str]) -> None:
    assert {each.name for each in fields(kind)} - set(model.model_fields) == others
    for each in fields(kind):
        if each.name in others or each.default is MISSING:
            continue
        default = model.model_fields[each.name].get_default(call_default_factory=True)
        assert (tuple(default.items()) if isinstance(default, dict) else default) == each.default, each.name


def test_every_key_of_a_source_reaches_the_reading() -> None:
    keys: dict[str, Any] = {
        "layout": "long",
        "delimiter": ";",
        "missing": ["n/a"],
        "time_column": ["Date", "Time"],
        "values": {" Bad ": 0, "-": "skip"},
        "status_words": {"good": 192},
        "skip_rows": 2,
        "comment": "#",
    }
    form = file_source(CsvSource.model_validate({"kind": "csv", "path": "a.csv", **keys})).form
    assert isinstance(form, CsvForm)
    assert (form.layout, form.delimiter, form.missing, form.time_column) == ("long", ";", ("n/a",), ("Date", "Time"))
    assert (form.values, form.status_words) == ((("Bad", 0), ("-", None)), (("good", 192),))
    assert (form.skip_rows, form.comment) == (2, "#")
