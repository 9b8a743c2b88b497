"""Every limit says where it comes from, and the limits agree with each other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from omnia_beam.core import limits

BODY = ast.parse(Path(limits.__file__).read_text(encoding="utf-8")).body
CONSTANTS = [at for at, node in enumerate(BODY) if isinstance(node, ast.AnnAssign | ast.Assign)]
SOURCES = re.compile(r"\[(sdk|wiki|changelog|spec|ours|schema)[^\]]*\]\s*$")


@pytest.mark.parametrize("at", CONSTANTS, ids=lambda at: ast.unparse(BODY[at]).partition(":")[0])
def test_the_words_below_a_constant_cite_a_source(at: int) -> None:
    below = BODY[at + 1] if at + 1 < len(BODY) else None
    assert isinstance(below, ast.Expr), "no docstring below it"
    assert isinstance(below.value, ast.Constant)
    assert SOURCES.search(str(below.value.value)), "no source at the end of the docstring"


def test_there_are_constants_to_look_at() -> None:
    assert len(CONSTANTS) >= 9
    assert all(ast.unparse(BODY[at]).partition(":")[0].isupper() for at in CONSTANTS)


def test_the_limits_agree() -> None:
    assert limits.SERVICE_DEFAULT_LIMIT <= limits.MAX_POINTS_PER_RESPONSE <= limits.MAX_CHUNK_POINTS
    assert 0 <= limits.GOOD <= limits.MAX_STATUS
