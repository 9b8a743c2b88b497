"""The examples in the docstrings of the public names and of the core's nouns, run as written."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import omnia_beam
import omnia_beam.core

MODULES = sorted(
    {getattr(omnia_beam, name).__module__ for name in omnia_beam.__all__}
    | {each.name for each in pkgutil.iter_modules(omnia_beam.core.__path__, "omnia_beam.core.")}
    - {"omnia_beam.core._kernel"}
)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_give_what_they_show(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module), verbose=False)
    assert result.failed == 0


@pytest.mark.parametrize("name", omnia_beam.__all__)
def test_every_public_name_has_an_example(name: str) -> None:
    found = doctest.DocTestFinder(recurse=False).find(getattr(omnia_beam, name), name)
    assert any(test.examples for test in found), f"omnia_beam.{name} has no `>>>` example in its docstring"
