"""docs/files.md: every example on it is read as the page shows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from omnia_beam.core.timestamps import format_time
from omnia_beam.io.files.catalog import BlockRef, catalog_files
from omnia_beam.io.files.forms import file_source
from omnia_beam.io.files.options import CsvSource, ParquetSource
from omnia_beam.io.files.reader import BlockCache

PAGE = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A file, the keys of the source, the points."""

    heading: str
    file: str
    content: str
    keys: str
    points: str


def examples() -> list[Example]:
    found: list[Example] = []
    for section in re.split(r"^###? ", PAGE, flags=re.MULTILINE)[1:]:
        file = content = keys = ""
        for name, text in BLOCK.findall(section):
            if name == "source":
                keys = text
            elif name == "points":
                found.append(Example(section.splitlines()[0], file, content, keys, text))
                keys = ""
            else:
                file, content = name, text
    return found


def write_parquet(path: Path, columns: str) -> None:
    table = {}
    for line in columns.splitlines():
        name, kind, values = re.split(r"\s{1,}", line, maxsplit=2)
        cells = [cell.strip() for cell in values.split(",")]
        table[name] = column(kind, cells)
    pq.write_table(pa.table(table), path)


def column(kind: str, cells: list[str]) -> Any:
    if kind == "null":
        return pa.nulls(len(cells))
    if kind.startswith("decimal"):
        return pa.array([Decimal(cell) for cell in cells], pa.decimal128(18, 2))
    if kind == "string":
        return pa.array(cells)
    if kind.startswith("timestamp"):
        return pa.array([int(cell) for cell in cells], pa.timestamp(kind[10:-1]))
    return pa.array([float(cell) for cell in cells]).cast(pa.type_for_alias(kind))


def test_the_page_has_its_examples() -> None:
    assert len(examples()) >= 18
    assert PAGE.count("```points") == len(examples())


@pytest.mark.parametrize("example", examples(), ids=lambda example: f"{example.heading}: {example.file}")
def test_an_example_gives_its_points(example: Example, tmp_path: Path) -> None:
    path = tmp_path / example.file
    path.parent.mkdir(exist_ok=True)
    model: Any = CsvSource
    if path.suffix == ".parquet":
        write_parquet(path, example.content)
        model = ParquetSource
    else:
        path.write_text(example.content, encoding="utf-8")
    keys = {"kind": path.suffix[1:], "path": str(path), **(yaml.safe_load(example.keys) or {})}
    source = file_source(model.model_validate(keys))
    catalog = catalog_files(source)
    rows = []
    cache = BlockCache(source)
    for index in catalog.indexes:
        for block in range(len(index.places)):
            for name, points in cache.get(index.file, BlockRef(0, index.place(block), 0, 0)).items():
                columns = zip(points.times.tolist(), points.values.tolist(), points.statuses.tolist(), strict=True)
                rows += [f"{name} {format_time(time)} {value} {status}" for time, value, status in columns]
    cache.close()
    assert sorted(rows) == example.points.splitlines()
