"""What the ledger says: which of several receipts counts, for whom, and in which files."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.ledger.coverage import HoleFinder
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.record import Scope
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter
from tests.ledger.fakes import OTHER_SCOPE, SCOPE, SINK, key, lease_for, ranges, receipt, recorded

D, OTHER = SCOPE.digest, OTHER_SCOPE.digest
SECOND_SINK = Scope.of({"source": "https://one.invalid", "status": "192", "sink": "omnia:there"})


def intended(state: StateDir, run: int, *args: object) -> None:
    with LedgerWriter(state, SCOPE, lease_for(state, run), writer_id="i") as writer:
        writer.intend(key(*args))  # type: ignore[arg-type]  # series ids, start, end: as `key` takes them


def test_no_ledger_is_an_empty_one(state: StateDir) -> None:
    ledger = Ledger.load(state)
    assert not ledger.coverage(D, "a")
    assert ledger.missing(D, ["b", "a"], TimeRange(0, 5)) == [(("a", "b"), TimeRangeSet(ranges((0, 5))))]
    assert ledger.missing(D, [], TimeRange(0, 5)) == []
    assert ledger.missing(D, ["a"], TimeRange(5, 5)) == []
    assert list(ledger.receipts(D)) == []
    assert ledger.scopes() == []
    assert ledger.series_ids(D) == []
    assert ledger.live_files(SINK) == ledger.superseded_files(SINK) == ledger.doubtful_files(SINK) == set()
    assert not ledger.stands(SINK, key("a", 0, 5))


def test_touching_windows_join_and_series_with_the_same_holes_stand_together(state: StateDir) -> None:
    recorded(state, 1, receipt("ab", 0, 10), receipt("ab", 10, 20), receipt("c", 0, 20), receipt("d", 5, 10))
    ledger = Ledger.load(state)
    assert list(ledger.coverage(D, "a")) == ranges((0, 20))
    assert ledger.missing(D, "edcba", TimeRange(2, 22)) == [
        (("a", "b", "c"), TimeRangeSet(ranges((20, 22)))),
        (("d",), TimeRangeSet(ranges((2, 5), (10, 22)))),
        (("e",), TimeRangeSet(ranges((2, 22)))),
    ]
    assert ledger.missing(D, "abc", TimeRange(0, 20)) == []
    assert ledger.series_ids(D) == ["a", "b", "c", "d"]


def test_coverage_counts_in_its_own_scope_only(state: StateDir) -> None:
    recorded(state, 1, receipt("a", 0, 10))
    ledger = Ledger.load(state)
    assert not ledger.coverage(OTHER, "a")
    assert ledger.missing(OTHER, ["a"], TimeRange(0, 10)) == [(("a",), TimeRangeSet(ranges((0, 10))))]
    assert ledger.stands(SINK, key("a", 9, 30))
    assert not ledger.stands(SINK, key("a", 10, 30))
    assert not ledger.stands("omnia:there", key("a", 0, 30))


def test_what_stands_at_another_sink_does_not_stand_here(state: StateDir) -> None:
    recorded(state, 1, receipt("a", 0, 10), receipt("b", 20, 30))
    recorded(state, 1, receipt("b", 0, 10, sink="omnia:there"), scope=SECOND_SINK, writer_id="x")
    ledger = Ledger.load(state)
    assert ledger.stands(SINK, key("a", 0, 10))
    assert not ledger.stands(SINK, key("b", 0, 20))
    assert ledger.stands(SINK, key("ab", 0, 20))
    assert not ledger.stands("omnia:there", key("a", 0, 10))
    assert ledger.stands("omnia:there", key("b", 9, 20))


def test_a_later_receipt_replaces_an_earlier_one_of_any_scope_and_the_same_sink(state: StateDir) -> None:
    recorded(state, 1, receipt("ab", 0, 10, ["old"]))
    recorded(state, 1, receipt("a", 0, 10, ["there"], sink="omnia:there"), scope=SECOND_SINK, writer_id="x")
    recorded(state, 2, receipt("ab", 0, 10, ["new"]), scope=OTHER_SCOPE)
    ledger = Ledger.load(state)
    assert not ledger.coverage(D, "a")
    assert list(ledger.coverage(OTHER, "a")) == ranges((0, 10))
    assert list(ledger.coverage(SECOND_SINK.digest, "a")) == ranges((0, 10))
    assert ledger.live_files(SINK) == {"new"}
    assert ledger.superseded_files(SINK) == {"old"}
    assert ledger.live_files("omnia:there") == {"there"}
    assert [(each.scope, each.receipts, each.last_run) for each in ledger.scopes()] == [
        (OTHER_SCOPE, 1, 2),
        (SECOND_SINK, 1, 1),
        (SCOPE, 0, 0),
    ]


def test_the_run_decides_before_the_clock_and_the_clock_before_the_writer(state: StateDir) -> None:
    clock = {"now": 1_000}

    def write(run: int, writer_id: str, name: str) -> None:
        with LedgerWriter(
            state, SCOPE, lease_for(state, run), clock=lambda: clock["now"], writer_id=writer_id
        ) as writer:
            writer.append(receipt("a", 0, 10, [name]))

    write(2, "m", "run two")
    clock["now"] = 9_000
    write(1, "z", "run one, later by its clock")
    assert Ledger.load(state).live_files(SINK) == {"run two"}
    clock["now"] = 1_001
    write(2, "a", "a ns later, a lower writer")
    assert Ledger.load(state).live_files(SINK) == {"a ns later, a lower writer"}
    write(2, "b", "the same ns, a higher writer")
    assert Ledger.load(state).live_files(SINK) == {"the same ns, a higher writer"}


def test_a_clock_that_jumps_back_does_not_turn_a_writers_own_order(state: StateDir) -> None:
    times = iter([5_000, 100, 200, 1])
    with LedgerWriter(state, SCOPE, lease_for(state, 1), clock=lambda: next(times)) as writer:
        for name in ("first", "second", "third", "fourth"):
            writer.append(receipt("a", 0, 10, [name]))
    assert Ledger.load(state).live_files(SINK) == {"fourth"}


def test_a_receipt_counts_in_part_where_another_covers_a_part(state: StateDir) -> None:
    recorded(state, 1, receipt("ab", 0, 30, ["wide"]), receipt("c", 0, 30, ["c"]))
    recorded(state, 2, receipt("a", 10, 20, ["narrow"]))
    ledger = Ledger.load(state)
    assert list(ledger.coverage(D, "a")) == ranges((0, 30))
    assert ledger.live_files(SINK) == {"wide", "narrow", "c"}
    assert ledger.superseded_files(SINK) == set()
    (overlap,) = ledger.overlaps(SINK)
    assert overlap.receipt == receipt("ab", 0, 30, ["wide"])
    assert overlap.counted == {"a": TimeRangeSet(ranges((0, 10), (20, 30))), "b": TimeRangeSet(ranges((0, 30)))}
    assert not overlap.is_whole
    assert [(each.receipt.files, each.is_whole, each.run) for each in ledger.receipts(D)] == [
        (("wide",), False, 1),
        (("c",), True, 1),
        (("narrow",), True, 2),
    ]


def test_replaced_in_pieces_by_many_is_replaced(state: StateDir) -> None:
    recorded(state, 1, receipt("ab", 0, 30, ["wide"]))
    recorded(state, 2, receipt("a", 0, 30, ["1"]), receipt("b", 15, 40, ["2"]), receipt("b", 0, 15, ["3"]))
    ledger = Ledger.load(state)
    assert ledger.live_files(SINK) == {"1", "2", "3"}
    assert ledger.superseded_files(SINK) == {"wide"}
    assert list(ledger.overlaps(SINK)) == []


def test_a_file_that_a_live_receipt_names_is_never_superseded(state: StateDir) -> None:
    """Names are a function of the window: a window read again writes over its own file."""
    recorded(state, 1, receipt("a", 0, 10, ["same", "gone"]))
    recorded(state, 2, receipt("a", 0, 10, ["same"]))
    ledger = Ledger.load(state)
    assert ledger.live_files(SINK) == {"same"}
    assert ledger.superseded_files(SINK) == {"gone"}


def test_an_intent_without_its_receipt_uncovers(state: StateDir) -> None:
    recorded(state, 1, receipt("ab", 0, 10, ["f"]), receipt("ab", 10, 20, ["g"]))
    intended(state, 2, "ab", 0, 10)
    ledger = Ledger.load(state)
    assert list(ledger.coverage(D, "a")) == ranges((10, 20))
    assert ledger.live_files(SINK) == {"g"}
    assert ledger.superseded_files(SINK) == set(), "nothing has replaced it"
    assert ledger.doubtful_files(SINK) == {"f"}
    assert ledger.stands(SINK, key("a", 0, 5)), "an old file may be there: say so before writing over it"
    assert [each.receipt.files for each in ledger.receipts(D)] == [("g",)]
    recorded(state, 3, receipt("ab", 0, 10, ["f2"]))
    after = Ledger.load(state)
    assert list(after.coverage(D, "a")) == ranges((0, 20))
    assert after.doubtful_files(SINK) == set()
    assert after.superseded_files(SINK) == {"f"}


def test_an_intent_over_a_part_leaves_the_rest(state: StateDir) -> None:
    recorded(state, 1, receipt("ab", 0, 10, ["f"]))
    intended(state, 2, "a", 4, 20)
    ledger = Ledger.load(state)
    assert list(ledger.coverage(D, "a")) == ranges((0, 4))
    assert list(ledger.coverage(D, "b")) == ranges((0, 10))
    (overlap,) = ledger.overlaps(SINK)
    assert overlap.counted == {"a": TimeRangeSet(ranges((0, 4))), "b": TimeRangeSet(ranges((0, 10)))}


def test_an_intent_covers_nothing_by_itself(state: StateDir) -> None:
    intended(state, 1, "a", 0, 10)
    ledger = Ledger.load(state)
    assert not ledger.coverage(D, "a")
    assert not ledger.stands(SINK, key("a", 0, 10))


def test_another_jobs_segment_counts_and_is_said(state: StateDir, tmp_path: Path) -> None:
    recorded(state, 1, receipt("a", 0, 10))
    Path(state.root).rename(tmp_path / "renamed")
    ledger = Ledger.load(StateDir.open(str(tmp_path), "renamed"))
    assert list(ledger.coverage(D, "a")) == ranges((0, 10))
    assert "'job'" in ledger.notices[0]


def test_what_workers_carry_pickles(state: StateDir) -> None:
    carried = (state, lease_for(state, 1), SCOPE)
    assert pickle.loads(pickle.dumps(carried)) == carried


PIECES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(1, 6)), max_size=12)


@settings(max_examples=300)
@given(PIECES, st.integers(0, 12), st.integers(1, 12), st.integers(1, 5))
def test_holes_are_what_set_arithmetic_says(
    pieces: list[tuple[int, int, int]], start: int, length: int, blocks: int
) -> None:
    wanted = TimeRange(start, start + length)
    covered = [TimeRangeSet(TimeRange(a, a + n) for o, a, n in pieces if o == owner) for owner in range(4)]
    finder = HoleFinder(4, wanted)
    for block in range(blocks):
        rows = [
            (owner, each.start_ns, each.end_ns)
            for owner in reversed(range(4))
            if owner % blocks == block
            for each in covered[owner]
            if each.overlaps(wanted)
        ]
        columns = np.array(rows, np.int64).reshape(-1, 3)
        finder.add(columns[:, 0], columns[:, 1], columns[:, 2])
    expected: dict[TimeRangeSet, list[str]] = {}
    for owner in range(4):
        if holes := TimeRangeSet([wanted]).subtract(covered[owner]):
            expected.setdefault(holes, []).append("abcd"[owner])
    assert finder.grouped("abcd") == [(tuple(ids), holes) for holes, ids in expected.items()]
