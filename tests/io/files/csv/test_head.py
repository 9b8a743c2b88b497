"""What stands before the rows: a header that is no whole text is refused, also where no row follows it."""

from __future__ import annotations

import io

import pytest

from omnia_beam.core.errors import UsageError
from omnia_beam.io.files.csv.head import read_head
from omnia_beam.io.files.forms import CsvForm


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_half_a_character_at_the_end_of_utf_16(encoding: str) -> None:
    mark = "\ufeff".encode(encoding)
    whole = mark + "time,PT-1\n".encode(encoding)
    assert read_head(io.BytesIO(whole), CsvForm(), "a.csv").header == "time,PT-1"
    for cut in (1, 3, 5):
        with pytest.raises(UsageError, match=r"a\.csv:1: is not utf-16-.. text"):
            read_head(io.BytesIO(whole[:-cut]), CsvForm(), "a.csv")
