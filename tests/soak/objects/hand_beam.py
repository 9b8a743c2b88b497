"""Pipelines without a runner: each element goes through the product's own DoFns, one after another, in this thread.

A runner takes tens of milliseconds to start a pipeline that moves a hundred points, and threads of its own, so that no two runs
make their requests in the same order. Here a run is a function of its inputs. Splittable DoFns and state are not supported.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import apache_beam as beam
import pytest
from apache_beam.metrics.execution import MetricsContainer
from apache_beam.runners.worker import statesampler
from apache_beam.transforms import ptransform
from apache_beam.transforms.core import _MultiParDo
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.counters import CounterFactory
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from omnia_beam.beam.progress import RunBoard, put_board

_MAIN: Final = ""


@dataclass(eq=False)
class Step:
    """A ParDo with those that take its outputs, by tag; without a DoFn it passes elements on."""

    fn: Any = None
    args: tuple[Any, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)
    taken: dict[str, list[Step]] = field(default_factory=dict)

    def take(self, element: Any) -> None:
        if self.fn is None:
            self._pass_on(_MAIN, element)
            return
        self._emit(self.fn.process(element, *self.args, **_parameters(type(self.fn)), **self.keywords))

    def finish(self) -> None:
        if self.fn is not None:
            self._emit(self.fn.finish_bundle())

    def _emit(self, outputs: Iterable[Any] | None) -> None:
        for each in outputs or ():
            tag, value = (each.tag, each.value) if isinstance(each, beam.pvalue.TaggedOutput) else (_MAIN, each)
            self._pass_on(tag, value.value if isinstance(value, WindowedValue) else value)

    def _pass_on(self, tag: str, element: Any) -> None:
        for each in self.taken.get(tag, ()):
            each.take(element)


class HandPipeline:
    """Stands for a pipeline, and for its begin."""

    def __init__(self) -> None:
        self.created: list[tuple[Step, list[Any]]] = []
        self.steps: list[Step] = []

    @property
    def pipeline(self) -> HandPipeline:
        return self

    def __or__(self, transform: Any) -> Any:
        return _applied(self, transform)

    def run(self) -> dict[str, int]:
        """Push every element through, and return the counters by name."""
        container = MetricsContainer("hand")
        before = statesampler.get_current_tracker()
        tracker = statesampler.StateSampler("hand", CounterFactory())
        statesampler.set_current_tracker(tracker)
        try:
            with tracker.scoped_state("hand", "process", metrics_container=container):
                self._run([each for each in self.steps if each.fn is not None])
        finally:
            statesampler.set_current_tracker(before)
        counters: dict[str, int] = {}
        for key, cell in container.metrics.items():
            counters[key.metric_name.name] = counters.get(key.metric_name.name, 0) + int(cell.get_cumulative())
        return counters

    def _run(self, steps: list[Step]) -> None:
        begun: list[Step] = []
        try:
            for each in steps:
                begun.append(each)
                each.fn.setup()
            for each in steps:
                each.fn.start_bundle()
            for step, elements in self.created:
                for element in elements:
                    step.take(element)
            for each in steps:
                each.finish()
        finally:
            for each in begun:
                each.fn.teardown()


@dataclass(frozen=True)
class Hand:
    """Stands for a collection."""

    pipeline: HandPipeline
    step: Step
    tag: str = _MAIN

    def __or__(self, transform: Any) -> Any:
        return _applied(self, transform)


class _Outputs:
    """Stands for the outputs of a ParDo, by their names."""

    def __init__(self, hand: Hand, main: str | None, tags: Iterable[str]) -> None:
        self._main, self._hand, self._tags = main, hand, tuple(tags)

    def __getattr__(self, tag: str) -> Hand:
        return Hand(self._hand.pipeline, self._hand.step, _MAIN if tag == self._main else tag)

    def __getitem__(self, tag: str) -> Hand:
        return getattr(self, tag)  # type: ignore[no-any-return]  # __getattr__ gives a Hand

    def __iter__(self) -> Iterator[Hand]:
        return iter([Hand(self._hand.pipeline, self._hand.step), *(self[tag] for tag in self._tags)])


def run_by_hand(build: Any, options: Any, board: RunBoard, started: Any) -> dict[str, int]:
    """Do what `execution.run_to_end` does."""
    pipeline = HandPipeline()
    put_board(pipeline, board)
    build(pipeline)
    return pipeline.run()


def take_tuples(patches: pytest.MonkeyPatch) -> None:
    """Let `tuple | transform` reach this file, which Beam would make a pipeline of its own for."""
    was = ptransform._NamedPTransform.__ror__

    def ror(self: Any, left: Any, label: str | None = None) -> Any:
        if isinstance(left, tuple) and left and all(isinstance(each, Hand) for each in left):
            return _applied(left, self)
        return was(self, left, label)

    patches.setattr(ptransform._NamedPTransform, "__ror__", ror)


def _applied(values: Any, transform: Any) -> Any:
    if isinstance(transform, ptransform._NamedPTransform):
        transform = transform.transform
    if isinstance(transform, beam.Flatten):
        return _step(values, None)
    if isinstance(transform, beam.Create):
        step = Step()
        values.pipeline.steps.append(step)
        values.pipeline.created.append((step, list(transform.values)))
        return Hand(values.pipeline, step)
    if isinstance(transform, _MultiParDo):
        hand = _step((values,), transform._do_transform)
        return _Outputs(hand, transform._main_tag, transform._tags)
    if isinstance(transform, beam.ParDo):
        return _step((values,), transform)
    return transform.expand(values)


def _step(inputs: tuple[Hand, ...], do: Any) -> Hand:
    step = Step() if do is None else Step(do.fn, tuple(do.args), dict(do.kwargs))
    pipeline = inputs[0].pipeline
    pipeline.steps.append(step)
    for each in inputs:
        each.step.taken.setdefault(each.tag, []).append(step)
    return Hand(pipeline, step)


@cache
def _parameters(kind: type) -> dict[str, Any]:
    known = {beam.DoFn.TimestampParam: Timestamp(0), beam.DoFn.WindowParam: GlobalWindow()}
    found = inspect.signature(kind.process).parameters.values()  # type: ignore[attr-defined]  # of a DoFn
    return {each.name: known[each.default] for each in found if _is_known(each.default, known)}


def _is_known(default: Any, known: dict[Any, Any]) -> bool:
    try:
        return default in known
    except TypeError:
        return False
