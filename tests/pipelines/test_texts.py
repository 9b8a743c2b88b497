"""Texts from files to files: kept where the sink says so, otherwise a finding; verify sees each of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from omnia_beam.beam.context import RunContext
from omnia_beam.config.scope import scope_parts
from omnia_beam.core.errors import UsageError
from omnia_beam.io.files.csv.readback import read_csv_points
from omnia_beam.io.files.csv.write import CsvOptions
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.run import run_backfill
from omnia_beam.pipelines.verify.verify import run_verify

START = 1_704_067_200_000_000_000
TEXTS = [None, "running", "", 'a "quoted", text\nof two lines', None, "på"]


def write_source(path: Path, texts: list[str | None], **columns: Any) -> None:
    count = len(texts)
    values = [1.5 if each is None else float("nan") for each in texts]
    table = {
        "series_id": pa.array(["mode"] * count),
        "time": pa.array(np.arange(count) * 1_000_000_000 + START).cast(pa.timestamp("ns", "UTC")),
        "value": pa.array(values),
        "status": pa.array([192] * count, pa.uint32()),
        "text": pa.array(texts, pa.string()),
        **columns,
    }
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(table), path)


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Any]:
    def load(sink: dict[str, Any], **source: Any) -> Any:
        data = {
            "name": "job",
            "source": {"kind": "parquet", "path": str(tmp_path / "in" / "*.parquet"), **source},
            "sink": {"path": str(tmp_path / "out"), **sink},
            "state": str(tmp_path / "state"),
        }
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(data), encoding="utf-8")
        return load_config(str(path), now_ns=START)

    return load


def stored(folder: Path) -> list[str | None]:
    [file] = folder.rglob("*.parquet")
    table = pq.ParquetFile(file).read()
    assert table.schema.field("text").type == pa.string()
    found: list[str | None] = table["text"].to_pylist()
    return found


def test_texts_are_kept_and_verified(job: Callable[..., Any], context: RunContext, tmp_path: Path) -> None:
    write_source(tmp_path / "in" / "a.parquet", TEXTS)
    config = job({"kind": "parquet", "text": True})
    assert run_backfill(config, context).status == "complete"
    assert stored(tmp_path / "out") == TEXTS
    assert run_verify(config, context).status == "complete"
    write_source(tmp_path / "in" / "a.parquet", [*TEXTS[:5], "pa"])
    found = run_verify(config, context, source=True)
    assert (found.status, found.details["differences"], found.details["by_kind"]["changed_text"]) == (
        "incomplete",
        1,
        1,
    )
    assert run_backfill(config, context).status == "complete"
    assert stored(tmp_path / "out") == [*TEXTS[:5], "pa"]
    assert run_verify(config, context).status == "complete"


def test_without_the_key_texts_stop_the_run(job: Callable[..., Any], context: RunContext, tmp_path: Path) -> None:
    write_source(tmp_path / "in" / "a.parquet", TEXTS)
    config = job({"kind": "parquet"})
    with pytest.raises(UsageError, match="text_values"):
        run_backfill(config, context)
    accepting = config.model_copy(update={"accept": job({"kind": "parquet"}).accept})
    assert scope_parts(accepting)["writing"] == "as read"
    assert scope_parts(job({"kind": "parquet", "text": True}))["writing"] == "as read, with texts"


def test_long_csv_keeps_texts_and_tells_an_empty_one_from_none(
    job: Callable[..., Any], context: RunContext, tmp_path: Path
) -> None:
    write_source(tmp_path / "in" / "a.parquet", TEXTS)
    config = job({"kind": "csv", "text": True})
    assert run_backfill(config, context).status == "complete"
    [file] = (tmp_path / "out" / "year=2024").rglob("*.csv")
    [(name, points)] = read_csv_points(str(file), CsvOptions(text=True))
    assert points.texts is not None
    assert (name, points.texts.tolist()) == ("mode", TEXTS)
    assert run_verify(config, context).status == "complete"


def test_a_job_without_any_text_has_the_column_all_the_same(
    job: Callable[..., Any], context: RunContext, tmp_path: Path
) -> None:
    write_source(tmp_path / "in" / "a.parquet", [None, None])
    config = job({"kind": "parquet", "text": True})
    assert run_backfill(config, context).status == "complete"
    assert stored(tmp_path / "out") == [None, None]
    assert run_verify(config, context).status == "complete"


def test_rows_of_a_named_column_of_texts_are_points_without_a_value(
    job: Callable[..., Any], context: RunContext, tmp_path: Path
) -> None:
    note = pa.array(["on", None, "off"])
    write_source(tmp_path / "in" / "a.parquet", [None] * 3, value=pa.array([None, 2.0, None]), note=note)
    config = job({"kind": "parquet", "text": True}, columns={"text": "note"})
    assert run_backfill(config, context).status == "complete"
    assert stored(tmp_path / "out") == ["on", None, "off"]


def test_wide_files_have_no_place_for_texts(job: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match=r"sink\.text: wide files have no place for texts"):
        job({"kind": "csv", "layout": "wide", "text": True})
