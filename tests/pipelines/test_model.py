"""Any sequence of runs, kills, refreshes, changed configurations and changes of the source, against a model.

The model knows, for each hour of each series, which contents a complete run may leave at the destination: what the last
one left, under the same configuration, or anything that the source has held since. A refresh leaves the source's only.
"""

from __future__ import annotations

import io
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from rich.console import Console

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.runner import pipeline_options
from tests.pipelines.hand_run import Ask, Cell, HandRun, Held

SERIES = ("a", "b", "c")
FIRST, LAST = 736, 752  # the month ends at 744: windows have files in two months

hours = st.integers(FIRST, LAST - 1)
cells = st.tuples(st.sampled_from(SERIES), hours)
held = st.tuples(st.integers(0, 99).map(float), st.sampled_from([192, 192, 0]))
selections = st.sets(st.sampled_from(SERIES), min_size=1).map(lambda found: tuple(sorted(found)))
spans = st.one_of(
    st.just((FIRST, LAST)),
    st.tuples(st.integers(FIRST, LAST - 1), st.integers(1, 12)).map(lambda p: (p[0], min(LAST, p[0] + p[1]))),
)


class BackfillMachine(RuleBasedStateMachine):
    """One job through its life."""

    @initialize(points=st.dictionaries(cells, held, max_size=24))
    def begin(self, points: dict[Cell, Held]) -> None:
        silent = Console(file=io.StringIO())
        self.hand = HandRun(RunContext(pipeline_options(None, []), silent, silent))
        self.hand.source = dict(points)
        # What the source has held since a complete run last looked, what that run left, and with which filter.
        self.held = {(s, h): {points.get((s, h))} for s in SERIES for h in range(FIRST, LAST)}
        self.copied: dict[Cell, tuple[Held | None, bool]] = {}

    def teardown(self) -> None:
        if hasattr(self, "hand"):
            self.hand.close()

    @rule(cell=cells, content=held)
    def put(self, cell: Cell, content: Held) -> None:
        self.hand.source[cell] = content
        self._changed(cell)

    @rule(at=hours, content=held)
    def put_many(self, at: int, content: Held) -> None:
        """Late data: a window may now hold more than a chunk."""
        for hour in range(at, min(at + 6, LAST)):
            for series in SERIES:
                self.put((series, hour), content)

    @rule(at=hours)
    def remove_many(self, at: int) -> None:
        for hour in range(at, min(at + 6, LAST)):
            for series in SERIES:
                self.hand.source.pop((series, hour), None)
                self._changed((series, hour))

    @rule(
        series=selections,
        span=spans,
        good_only=st.booleans(),
        refresh=st.sampled_from([0, 0, 3, 100]),
        chunk=st.sampled_from([2, 4, 7]),
        flush=st.sampled_from([1, 3, 64]),
        newest_first=st.booleans(),
        die_at=st.none() | st.integers(0, 60) | st.integers(0, 200),
        stop_after=st.none() | st.integers(0, 6),
        broken=st.just(frozenset()) | st.sets(st.sampled_from(SERIES), max_size=1).map(frozenset),
    )
    def run(self, series: Any, span: tuple[int, int], **asked: Any) -> None:
        self._run(Ask(series, *span, **asked))

    @rule(good_only=st.booleans(), die_at=st.integers(0, 120))
    def die_and_go_on(self, good_only: bool, die_at: int) -> None:
        ask = Ask(SERIES, FIRST, LAST, good_only=good_only, refresh=100)
        ask.die_at = die_at
        self._run(ask)
        ask.die_at = None
        self._run(ask)

    @rule(good_only=st.booleans())
    def run_to_the_end(self, good_only: bool) -> None:
        assert self._run(Ask(SERIES, FIRST, LAST, good_only=good_only)) == "complete"

    def _run(self, ask: Ask) -> str:
        summary = self.hand.run(ask)
        if summary is None or summary.status != "complete":
            return "killed" if summary is None else summary.status
        stored = self.hand.stored()
        for series in ask.series:
            for hour in range(ask.start, ask.end):
                self._check((series, hour), stored.get((series, hour), []), ask)
        assert not self.hand.temporaries()
        return summary.status

    def _check(self, cell: Cell, found: list[Held], ask: Ask) -> None:
        assert len(found) <= 1, f"{cell} is there {len(found)} times"
        now = self.hand.source.get(cell)
        allowed = {self._seen(each, ask.good_only) for each in self.held[cell]}
        if cell in self.copied and self.copied[cell][1] is ask.good_only:
            allowed.add(self.copied[cell][0])
        if cell[1] >= ask.end - ask.refresh:
            allowed = {self._seen(now, ask.good_only)}
        content = found[0] if found else None
        assert content in allowed, f"{cell} holds {content}, the source {now}, allowed {allowed}"
        self.held[cell] = {now}
        self.copied[cell] = content, ask.good_only

    def _changed(self, cell: Cell) -> None:
        self.held[cell].add(self.hand.source.get(cell))

    @staticmethod
    def _seen(content: Held | None, good_only: bool) -> Held | None:
        return None if content is None or (good_only and content[1] != 192) else content


TestBackfillMachine = BackfillMachine.TestCase
TestBackfillMachine.settings = settings(max_examples=10, stateful_step_count=12)
