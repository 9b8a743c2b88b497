"""The page of every key is what the models make it."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnia_beam.pipelines.config.reference import BEGIN, END, main, reference_markdown, with_reference
from omnia_beam.pipelines.config.schema import json_schema

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_reference(page), f"run: python -m omnia_beam.pipelines.config.reference {PAGE.name}"


def test_every_key_is_there() -> None:
    text = reference_markdown()
    for body in [json_schema(), *json_schema()["$defs"].values()]:
        for name in body["properties"]:
            assert f"| `{name}` |" in text, name


def test_every_row_has_four_cells() -> None:
    rows = [line for line in reference_markdown().splitlines() if line.startswith("|")]
    assert all(line.replace("\\|", "").count("|") == 5 for line in rows)


def test_a_stale_page_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n", encoding="utf-8")
    main([str(path)])
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\n\n### The job\n")
    assert text.endswith(f"\n{END}\nafter\n")
    assert "stale" not in text


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}"])
def test_a_page_without_its_marks(page: str) -> None:
    with pytest.raises(ValueError, match="once each and in this order"):
        with_reference(page)
