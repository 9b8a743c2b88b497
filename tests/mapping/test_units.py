"""Units by name: factors are the nearest float64 to the exact ones, and nothing is guessed."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from omnia_beam.mapping.units import Conversion, UnitError, convert_unit

POUND_FORCE = Fraction("0.45359237") * Fraction("9.80665")


@pytest.mark.parametrize(
    ("source", "target", "scale", "offset"),
    [
        ("bar", "bar", Fraction(1), Fraction(0)),
        ("bar", "kPa", Fraction(100), Fraction(0)),
        ("psi", "bar", POUND_FORCE / Fraction("0.0254") ** 2 / 100_000, Fraction(0)),
        ("degC", "K", Fraction(1), Fraction("273.15")),
        ("degC", "degF", Fraction(9, 5), Fraction(32)),
        ("°F", "°C", Fraction(5, 9), Fraction(-160, 9)),
        ("m3/h", "l/s", Fraction(5, 18), Fraction(0)),
        ("kg/m3", "g/l", Fraction(1), Fraction(0)),
        ("%", "1", Fraction(1, 100), Fraction(0)),
        ("MW", "mW", Fraction(10**9), Fraction(0)),
        ("nobody's unit", "nobody's unit", Fraction(1), Fraction(0)),
    ],
)
def test_factors_are_exact_but_for_one_rounding(source: str, target: str, scale: Fraction, offset: Fraction) -> None:
    assert convert_unit(source, target) == Conversion(float(scale), float(offset))


@pytest.mark.parametrize("pair", [("degC", "degF"), ("psi", "bar"), ("kW", "hp"), ("m3/h", "l/min")])
def test_there_and_back_is_the_identity(pair: tuple[str, str]) -> None:
    there, back = convert_unit(*pair), convert_unit(*reversed(pair))
    for value in (-40.0, 0.0, 1.0, 1234.5):
        assert math.isclose((value * there.scale + there.offset) * back.scale + back.offset, value, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("barg", "bar", "unit 'barg' is not known"),
        ("bar", "x(", r"'x\(' is not known"),
        ("bar", "degC", "'bar' and 'degC' do not measure the same"),
        ("dBm", "W", "do not measure the same|no linear conversion"),
    ],
)
def test_what_is_not_known_is_named(source: str, target: str, says: str) -> None:
    with pytest.raises(UnitError, match=says):
        convert_unit(source, target)
