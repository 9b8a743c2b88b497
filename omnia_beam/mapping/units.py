"""Convert units by their names, through `pint` (the extra `units`).

Factors are computed as rational numbers and rounded once, to the nearest float64.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from omnia_beam.core.errors import UsageError

_POWER = re.compile(r"(?<=[A-Za-zµ])([23])(?![0-9.])")
"""Powers without an operator, such as in `m3/h` and `kg/m2`, which plants use."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """A linear conversion: value in the target's unit = value · scale + offset."""

    scale: float = 1.0
    offset: float = 0.0


class UnitError(ValueError):
    """A unit that pint does not know, or two that do not measure the same; the message says which."""


@lru_cache(maxsize=4096)
def convert_unit(source: str, target: str) -> Conversion:
    """Return the conversion between two units.

    Args:
        source, target: such as `bar`, `kPa`, `degC`, `°F`, `m3/h`, `%`.

    Raises:
        UnitError: a name that pint does not know, units that do not measure the same, or no linear conversion.
        UsageError: pint is not installed.
    """
    if source.strip() == target.strip():  # case matters: mW is not MW
        return Conversion()
    registry = _registry()
    for name in (source, target):
        _check_known(registry, name)
    values = [_converted(registry, Fraction(n), source, target) for n in (0, 1, 2)]
    scale = values[1] - values[0]
    if scale == 0 or values[2] - values[1] != scale:
        raise UnitError(f"{source!r} to {target!r} is no linear conversion")
    return Conversion(float(scale), float(values[0]))


@lru_cache(maxsize=1)
def _registry() -> Any:
    try:
        import pint
    except ModuleNotFoundError:
        raise UsageError(
            "mapping: units are converted by name through pint, which is not installed: pip install 'omnia-beam[units]', or "
            "give scale and offset"
        ) from None
    preprocessors: list[Callable[[str], str]] = [lambda text: _POWER.sub(r"**\1", text)]
    return pint.UnitRegistry(non_int_type=Fraction, preprocessors=preprocessors)


def _check_known(registry: Any, name: str) -> None:
    try:
        registry.parse_units(name)
    except Exception as error:  # pint raises its own, tokenize's and Python's errors for what it cannot read
        raise UnitError(f"unit {name!r} is not known") from error


def _converted(registry: Any, value: Fraction, source: str, target: str) -> Fraction:
    try:
        return Fraction(registry.Quantity(value, source).to(target).magnitude)
    except Exception as error:  # pint's own errors cannot always be shown: it fails to format rational powers
        raise UnitError(f"{source!r} and {target!r} do not measure the same") from error
