"""What tails, guards and reports read out of the ledger: recent windows, points of a run, what stands, what parts add up to."""

from __future__ import annotations

import pytest

from omnia_beam.core.errors import StateError
from omnia_beam.core.fingerprint import add_hashes
from omnia_beam.core.receipt import Receipt, SeriesReceipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.ledger.facts import joined_receipt, prior_records, receipts_of_range, standing_points
from omnia_beam.ledger.failures import failure_file, forget_failures, read_failures
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.queries import (
    RecentWindow,
    count_recorded,
    points_of_run,
    recent_windows,
    recorded_points,
    redo_keys,
)
from omnia_beam.ledger.record import Scope
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter
from tests.ledger.fakes import (
    OTHER_SCOPE,
    SCOPE,
    SINK,
    FakeClock,
    key,
    lease_for,
    receipt,
    recorded,
    segment_paths,
)

SECOND = 10**9
AT_S = 1_700_000_000
NOW = AT_S * SECOND
SECOND_SINK = Scope.of({"source": "https://one.invalid", "status": "192", "sink": "omnia:there"})


def recorded_at(state: StateDir, now_s: float, *receipts: Receipt, intends: bool = False) -> None:
    clock = FakeClock(now_s)
    with LedgerWriter(state, SCOPE, lease_for(state, 1), writer_id=f"w{int(now_s)}", clock=clock.wall) as writer:
        for each in receipts:
            writer.append(each)
            if intends:
                writer.intend(each.key)


def recent(state: StateDir, series_ids: str = "ab", since_ns: int = NOW, settle_ns: int = 0) -> list[RecentWindow]:
    found = recent_windows(Ledger.load(state), SCOPE.digest, SINK, series_ids, since_ns, settle_ns)
    return sorted(found, key=lambda each: each.key.range)


def redone(
    state: StateDir, wanted: TimeRange, refresh: TimeRange | None = None, series_ids: str = "abcd", now_ns: int = NOW
) -> list[tuple[str, int, int]]:
    found = redo_keys(Ledger.load(state), SCOPE.digest, SINK, series_ids, wanted, refresh, now_ns)
    return [("".join(each.series_ids), each.range.start_ns, points) for each, points in found]


def test_a_window_of_this_scope_that_was_read_after_its_end_is_not_read_again(state: StateDir) -> None:
    recorded_at(state, AT_S, receipt("a", 0, 10), receipt("b", NOW - 10, NOW))
    assert redone(state, TimeRange(0, NOW)) == []


def test_a_window_is_read_again_where_its_end_had_not_come(state: StateDir) -> None:
    recorded_at(state, AT_S, receipt("a", 0, NOW + 1, count=4), receipt("b", 0, NOW))
    assert redone(state, TimeRange(0, NOW)) == [("a", 0, 4)]
    assert redone(state, TimeRange(0, NOW), now_ns=NOW - 1) == [("b", 0, 3), ("a", 0, 4)]  # a clock was ahead


def test_windows_of_another_scope_and_those_that_a_run_died_over_are_read_again(state: StateDir) -> None:
    recorded(state, 1, receipt("a", 0, 10, count=4), scope=OTHER_SCOPE)
    recorded(state, 1, receipt("b", 0, 10), receipt("c", 0, 10, count=5), writer_id="x")
    with LedgerWriter(state, SCOPE, lease_for(state, 2), writer_id="i") as writer:
        writer.intend(key("c", 0, 5))
    assert redone(state, TimeRange(0, 10)) == [("a", 0, 4), ("c", 0, 5)]
    assert redone(state, TimeRange(0, 10), series_ids="bc") == [("c", 0, 5)]
    assert redone(state, TimeRange(10, 20)) == []
    assert redo_keys(Ledger.load(state), SCOPE.digest, "omnia:there", "abc", TimeRange(0, 10), None, NOW) == []


def test_windows_that_reach_into_what_is_refreshed_are_read_again(state: StateDir) -> None:
    recorded(state, 1, receipt("a", 0, 10), receipt("a", 10, 20), receipt("b", 20, 30))
    assert redone(state, TimeRange(0, 30), TimeRange(20, 30)) == [("b", 20, 3)]
    assert redone(state, TimeRange(0, 30), TimeRange(19, 30)) == [("a", 10, 3), ("b", 20, 3)]
    assert redone(state, TimeRange(0, 20), TimeRange(19, 30)) == [("a", 10, 3)]
    assert redone(state, TimeRange(0, 30), TimeRange(0, 10)) == [("a", 0, 3)]


def test_recorded_windows_are_counted_whole_or_in_part_but_not_in_doubt(state: StateDir) -> None:
    recorded(state, 1, receipt("a", 0, 10), receipt("b", 0, 10), receipt("c", 0, 10), receipt("d", 10, 20))
    recorded(state, 1, receipt("a", 0, 10), scope=OTHER_SCOPE, writer_id="o")
    recorded(state, 2, receipt("a", 0, 10), receipt("b", 0, 5))
    with LedgerWriter(state, SCOPE, lease_for(state, 3), writer_id="i") as writer:
        writer.intend(key("c", 0, 10))
    ledger = Ledger.load(state)
    assert count_recorded(ledger, SCOPE.digest, "abcd", TimeRange(0, 10)) == 3  # a, and b in two parts
    assert count_recorded(ledger, SCOPE.digest, "abcd", TimeRange(0, 11)) == 4
    assert count_recorded(ledger, SCOPE.digest, "a", TimeRange(9, 11)) == 1
    assert count_recorded(ledger, SCOPE.digest, "c", TimeRange(0, 30)) == 0


def test_recorded_points_of_a_window_are_those_of_the_receipts_inside_it_by_series(state: StateDir) -> None:
    recorded(state, 1, receipt("ab", 0, 10, count=4), receipt("b", 10, 20, count=5), receipt("a", 15, 25, count=6))
    recorded(state, 1, receipt("a", 10, 15, count=7), scope=OTHER_SCOPE, writer_id="o")
    ledger = Ledger.load(state)
    windows = [key("ab", 0, 20), key("ab", 20, 40), key("c", 0, 20)]
    assert recorded_points(ledger, SCOPE.digest, SINK, windows) == {windows[0]: (4, 9)}
    assert recorded_points(ledger, OTHER_SCOPE.digest, SINK, windows) == {windows[0]: (7, 0)}
    assert recorded_points(ledger, SCOPE.digest, "omnia:there", windows) == {}
    assert recorded_points(ledger, SCOPE.digest, SINK, []) == {}


def test_a_window_that_ends_after_the_instant_is_recent(state: StateDir) -> None:
    recorded_at(state, AT_S, receipt("ab", NOW - 20, NOW - 10, count=4))
    recorded_at(state, AT_S + 1, receipt("ab", NOW - 10, NOW))
    earlier = RecentWindow(key("ab", NOW - 20, NOW - 10), 8, NOW)
    later = RecentWindow(key("ab", NOW - 10, NOW), 6, NOW + SECOND)
    assert recent(state, since_ns=NOW) == []
    assert recent(state, since_ns=NOW - 1) == [later]
    assert recent(state, since_ns=NOW - 10) == [later]
    assert recent(state, since_ns=NOW - 11) == [earlier, later]


def test_a_window_is_recent_until_it_was_read_settled(state: StateDir) -> None:
    recorded_at(state, AT_S, receipt("a", NOW - 50, NOW - 30))
    assert recent(state, settle_ns=30) == []
    assert [each.key for each in recent(state, settle_ns=31)] == [key("a", NOW - 50, NOW - 30)]


def test_only_windows_of_this_scope_this_sink_and_these_series_are_recent(state: StateDir) -> None:
    recorded_at(state, AT_S, receipt("ac", 0, NOW + 1), receipt("b", 0, NOW + 1))
    recorded(state, 1, receipt("a", 0, NOW + 1), scope=OTHER_SCOPE, writer_id="o")
    assert [each.key for each in recent(state)] == [key("b", 0, NOW + 1)]
    assert recent_windows(Ledger.load(state), SCOPE.digest, "omnia:there", "abc", NOW, 0) == []


def test_a_recent_window_that_was_being_replaced_is_not_whole(state: StateDir) -> None:
    recorded_at(state, AT_S, receipt("a", 0, NOW + 1), intends=True)
    assert recent(state) == [RecentWindow(key("a", 0, NOW + 1), 3, NOW, is_whole=False)]


def test_points_of_a_run_are_those_of_receipts_that_lie_in_the_range(state: StateDir) -> None:
    recorded(state, 1, receipt("ab", 0, 10, count=4), receipt("a", 10, 20, count=5))
    recorded(state, 2, receipt("b", 10, 20, count=100))
    ledger = Ledger.load(state)
    assert points_of_run(ledger, 1, TimeRange(0, 20)) == 13
    assert points_of_run(ledger, 2, TimeRange(0, 20)) == 100
    assert points_of_run(ledger, 3, TimeRange(0, 20)) == 0
    assert points_of_run(ledger, 1, TimeRange(0, 19)) == 8
    assert points_of_run(ledger, 1, TimeRange(1, 20)) == 5


def test_standing_points_are_those_of_the_sink_that_no_later_receipt_replaced(state: StateDir) -> None:
    assert standing_points(Ledger.load(state), SINK) == 0
    recorded(state, 1, receipt("ab", 0, 10, count=4), receipt("a", 10, 20, count=5))
    recorded(state, 2, receipt("ab", 0, 10, count=50))
    recorded(state, 2, receipt("a", 0, 10, count=1_000, sink="omnia:there"), scope=SECOND_SINK, writer_id="x")
    assert standing_points(Ledger.load(state), SINK) == 105
    with LedgerWriter(state, SCOPE, lease_for(state, 3), writer_id="i") as writer:
        writer.intend(key("ab", 0, 10))  # about to be replaced: it still stands
    assert standing_points(Ledger.load(state), SINK) == 105
    assert standing_points(Ledger.load(state), "omnia:there") == 1_000
    assert standing_points(Ledger.load(state), "omnia:elsewhere") == 0


def test_receipts_of_a_range_are_those_of_scope_and_sink_that_meet_it(state: StateDir) -> None:
    recorded(state, 1, receipt("a", 0, 10), receipt("a", 10, 20), receipt("b", 20, 30))
    recorded(state, 1, receipt("c", 0, 30), scope=OTHER_SCOPE, writer_id="o")
    recorded(state, 1, receipt("d", 0, 30, sink="omnia:there"), scope=SECOND_SINK, writer_id="x")
    with LedgerWriter(state, SCOPE, lease_for(state, 2), writer_id="i") as writer:
        writer.intend(key("b", 20, 25))
    ledger = Ledger.load(state)

    def found(wanted: TimeRange | None, scope: Scope = SCOPE, sink: str = SINK) -> list[tuple[str, int, bool]]:
        standing = receipts_of_range(ledger, scope.digest, sink, wanted)
        return sorted(
            ("".join(one.receipt.key.series_ids), one.receipt.key.range.start_ns, one.whole) for one in standing
        )

    assert found(None) == [("a", 0, True), ("a", 10, True), ("b", 20, False)]
    assert found(TimeRange(9, 10)) == [("a", 0, True)]
    assert found(TimeRange(10, 21)) == [("a", 10, True), ("b", 20, False)]
    assert found(TimeRange(30, 40)) == []
    assert found(None, OTHER_SCOPE) == [("c", 0, True)]
    assert found(None, SECOND_SINK, "omnia:there") == [("d", 0, True)]
    assert found(None, SCOPE, "omnia:there") == []


def test_prior_records_of_a_window_are_those_that_lie_in_it_oldest_first(state: StateDir) -> None:
    recorded(state, 1, receipt("ab", 0, 10, count=4), receipt("ab", 20, 40), receipt("a", 0, 10))
    recorded(state, 2, receipt("ab", 10, 20, count=5), receipt("ab", 45, 55), scope=OTHER_SCOPE)
    recorded(state, 2, receipt("ab", 0, 20, sink="omnia:there"), scope=SECOND_SINK, writer_id="x")
    with LedgerWriter(state, SCOPE, lease_for(state, 3), writer_id="i") as writer:
        writer.intend(key("ab", 0, 20))
    ledger = Ledger.load(state)
    first, second, alone = key("ab", 0, 20), key("ab", 20, 50), key("b", 0, 20)
    found = prior_records(ledger, SINK, [second, alone, first])
    assert {window: [(each.receipt.key.range, each.scope) for each in priors] for window, priors in found.items()} == {
        first: [(TimeRange(0, 10), SCOPE.digest), (TimeRange(10, 20), OTHER_SCOPE.digest)],
        second: [(TimeRange(20, 40), SCOPE.digest)],
    }
    assert prior_records(ledger, SINK, []) == {}
    assert prior_records(ledger, "omnia:elsewhere", [first]) == {}


def part(start: int, end: int, count: int, first: int | None, last: int | None, text: str) -> Receipt:
    series = SeriesReceipt("a", f"target-{start}", count, first, last, ((192, count),), text)
    return Receipt(key("a", start, end), SINK, (series,), (f"file-{start}", "both"))


def test_parts_of_a_window_add_up_to_it() -> None:
    first, second = "0" * 31 + "1", "f" * 32
    parts = [part(0, 10, 2, 3, 9, first), part(10, 20, 0, None, None, "0" * 32), part(20, 30, 5, 21, 28, second)]
    joined = joined_receipt(key("a", 0, 30), parts)
    assert joined == Receipt(
        key("a", 0, 30),
        SINK,
        (SeriesReceipt("a", "target-20", 7, 3, 28, (), add_hashes(first, second)),),
        ("file-0", "both", "file-10", "file-20"),
    )
    empty = joined_receipt(key("a", 0, 20), [parts[1], part(10, 20, 0, None, None, "0" * 32)])
    assert (empty.series[0].first_ns, empty.series[0].last_ns, empty.series[0].count) == (None, None, 0)


def test_the_receipt_of_the_window_itself_goes_before_its_parts() -> None:
    old, whole, late = (
        part(0, 30, 8, 0, 29, "3" * 32),
        part(0, 30, 9, 0, 29, "1" * 32),
        part(10, 20, 1, 12, 12, "2" * 32),
    )
    assert joined_receipt(whole.key, [whole]) is whole
    joined = joined_receipt(whole.key, [old, whole, late])
    assert joined.series == whole.series  # the newer of its own two
    assert joined.files == ("file-0", "both", "file-10")
    assert joined_receipt(key("a", 0, 30), [late]).key == key("a", 0, 30)


def test_a_damaged_receipt_is_an_error_of_the_state(state: StateDir) -> None:
    recorded(state, 1, receipt("a", 0, NOW + 1))
    ledger = Ledger.load(state)
    [path] = segment_paths(state)
    text = path.read_bytes()
    path.write_bytes(text.replace(b'"target-a"', b'"target-b"'))
    with pytest.raises(StateError):
        standing_points(ledger, SINK)
    with pytest.raises(StateError):
        recent_windows(ledger, SCOPE.digest, SINK, "a", NOW, 0)


def test_what_failed_is_forgotten_for_one_run(state: StateDir) -> None:
    for run_id in ("one", "two"):
        state.write(f"runs/{failure_file(run_id)}", b'{"start_ns":2,"series":["a"]}\n{"start_ns":1,"series":["b"]}\n')
    state.write("runs/one-summary.json", b"{}")
    assert [each["start_ns"] for each in read_failures(state, "one")] == [1, 2]
    forget_failures(state, "one")
    assert read_failures(state, "one") == []
    assert len(read_failures(state, "two")) == 2
    assert state.read("runs/one-summary.json") == b"{}"
