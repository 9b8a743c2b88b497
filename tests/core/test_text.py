"""Foreign text never drives the terminal."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.text import REPLACEMENT, one_line, printable


def moves_the_terminal(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


@given(st.text(st.characters(), max_size=40))
def test_no_control_character_is_left_and_all_else_stays(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    for before, after in zip(text, shown, strict=True):
        assert after in (before, REPLACEMENT)
        assert not moves_the_terminal(after) or after in "\n\t"
        if not moves_the_terminal(before) and unicodedata.category(before) not in ("Cn", "Co", "Zs"):
            assert after == before
    assert "\n" not in one_line(text)
    assert "\t" not in one_line(text)


def test_names_of_the_field_stay_as_they_are() -> None:
    for name in ("27PT-1001", "PT[mean]", "Größe å øl 温度", "a b", "°C", "m³/h", ":warning:"):
        assert printable(name) == one_line(name) == name
    assert one_line("A\x1b[31mB\r\u202eC\n") == "A\ufffd[31mB\ufffd\ufffdC\ufffd"
