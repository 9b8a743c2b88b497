"""Let a run die at a step, before or after the step does its work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest


class Killed(Exception):
    """The process dies here."""


@contextmanager
def dying(step: str, *, after: bool, call: int = 1) -> Iterator[list[int]]:
    """Let a call of a function end the run, before or after it does its work.

    Args:
        step: `module.function` or `module:Class.method`.
        call: which call of it, from 1.
    """
    owner_name, _, name = step.rpartition(".")
    module, _, cls = owner_name.partition(":")
    owner: Any = import_module(module)
    owner = getattr(owner, cls) if cls else owner
    real, calls = getattr(owner, name), list[int]()

    def dies(*args: Any, **keys: Any) -> Any:
        calls.append(1)
        if after and len(calls) == call:
            real(*args, **keys)
        if len(calls) == call:
            raise Killed(step)
        return real(*args, **keys)

    patch = pytest.MonkeyPatch()
    patch.setattr(owner, name, dies)
    try:
        yield calls
    finally:
        patch.undo()
