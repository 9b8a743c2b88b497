"""Runs without their repeated look-ups: what a pipeline of a few elements spends most of its time on.

Beam reads the same signatures and builds the same parsers of options for each pipeline, some 0.3 s for one that moves a
hundred points, and a ledger of a few records is parsed again and again. Here each answer is remembered: what a run does
stays the same.
"""

from __future__ import annotations

import argparse
import copy
import inspect
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import FunctionType, MethodType
from typing import Any, Final

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import userstate
from apache_beam.transforms.core import CallableWrapperDoFn
from apache_beam.typehints import decorators
from jinja2 import Environment

from omnia_beam.ledger import segment
from omnia_beam.ledger import table as ledger_table
from omnia_beam.ledger.record import SegmentHeader

_REMEMBERED: Final = 5_000


def remember_lookups() -> None:
    """From now on, in this process."""
    _everywhere(decorators.get_signature, _remembered_signature(decorators.get_signature))
    _everywhere(userstate.get_dofn_specs, _remembered_specs(userstate.get_dofn_specs))
    _remember_options()
    ledger_table.parsed = lru_cache(2_000)(ledger_table.parsed)
    segment.batch_of_records = _remembered_batches(segment.batch_of_records)
    Environment.compile = _remembered_pages(Environment.compile)  # type: ignore[method-assign]  # that is what this file is for
    source = lru_cache(10_000)(inspect.getsourcelines)
    # Beam names a step after the line of a function, which is made anew for each pipeline from the same code.
    inspect.getsourcelines = lambda found: source(getattr(found, "__code__", found))


def _remembered_batches(was: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[tuple[bytes, tuple[bytes, ...]], Any] = {}

    def batch_of_records(header: SegmentHeader, lines: Sequence[bytes]) -> Any:
        key = header.to_line(), tuple(lines)
        if key not in known:
            if len(known) > _REMEMBERED:
                known.clear()
            known[key] = was(header, lines)
        return known[key]

    return batch_of_records


def _remembered_pages(was: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[Any, Any] = {}

    def compile(self: Any, source: str, *args: Any, **keys: Any) -> Any:
        key = source, args, tuple(keys.items())
        if key not in known:
            known[key] = was(self, source, *args, **keys)
        return known[key]

    return compile


def _everywhere(was: Callable[..., Any], now: Callable[..., Any]) -> None:
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("apache_beam"):
            for name, value in list(vars(module).items()):
                if value is was:
                    setattr(module, name, now)


def _remembered_signature(was: Callable[..., Any]) -> Callable[..., Any]:
    bound = lru_cache(10_000)(lambda function: was(MethodType(function, object())))
    free = lru_cache(10_000)(was)

    def get_signature(func: Any) -> Any:
        if isinstance(func, MethodType) and isinstance(func.__func__, FunctionType):
            return bound(func.__func__)
        return free(func) if isinstance(func, FunctionType) else was(func)

    return get_signature


def _remembered_specs(was: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[type, Any] = {}

    def get_dofn_specs(dofn: Any) -> Any:
        kind = type(dofn)
        if issubclass(kind, CallableWrapperDoFn):  # its methods are those of what it wraps
            return was(dofn)
        if kind not in known:
            known[kind] = was(dofn)
        return known[kind]

    return get_dofn_specs


def _remember_options() -> None:
    known: dict[tuple[type, tuple[str, ...]], PipelineOptions] = {}
    was = PipelineOptions.__init__

    def init(self: Any, flags: Any = None, **kwargs: Any) -> None:
        if flags is None:
            was(self, flags, **kwargs)
            return
        key = type(self), tuple(flags)
        if key not in known:
            made = type(self).__new__(type(self))
            was(made, flags)
            known[key] = made
        self._flags = flags
        self._visible_options = argparse.Namespace(**_copied(vars(known[key]._visible_options)))
        self._all_options = {**_copied(known[key]._all_options), **kwargs}

    formatter = argparse.HelpFormatter("")
    argparse.ArgumentParser._get_formatter = lambda self: formatter  # type: ignore[method-assign]  # asks the terminal
    PipelineOptions.__init__ = init  # type: ignore[method-assign]  # that is what this file is for


def _copied(options: dict[str, Any]) -> dict[str, Any]:
    return {name: copy.copy(value) if isinstance(value, list | dict) else value for name, value in options.items()}
