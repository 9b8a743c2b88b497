"""The ways in which pages can be read on this machine: each has to read every page the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from omnia_beam.core import kernel

READINGS: dict[str, kernel.Kernel | None] = {"numpy": None}
if kernel.COMPILED is not None:
    READINGS["compiled"] = kernel.COMPILED


@contextmanager
def reading_with(name: str) -> Iterator[None]:
    """Read pages in this way, and in no other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "COMPILED", READINGS[name])
        yield
