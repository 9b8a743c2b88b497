"""One batch against a service that refuses: every point decided once, and rightly, at a bounded cost."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import (
    BadRequestError,
    CredentialError,
    ForbiddenError,
    NotFoundError,
    NotTheServiceError,
    OmniaBeamError,
    PayloadTooLargeError,
    TerminalServiceError,
    TransientServiceError,
    UnauthorizedError,
)
from omnia_beam.io.omnia.delivery import Delivery, Refusal, WriteMemory, reason_of, shared_memory
from omnia_beam.io.omnia.group import Group, Run, ordered, size

Place = tuple[str, int]
BAD = "400 One or more datapoints are not valid."


def refused(kind: type[TerminalServiceError], words: str, status: int) -> TerminalServiceError:
    return kind(f"POST /data: {words}", method="POST", path="/data", status=status, trace_id=None)


@dataclass
class Service:
    """All or nothing, as the true one; books what it stored."""

    bad: set[Place] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    most_points: float = math.inf
    names_culprit: bool = True
    before: Callable[[int, Group], None] = lambda number, group: None
    requests: list[list[Place]] = field(default_factory=list)
    stored: Counter[Place] = field(default_factory=Counter)

    def send(self, group: Group) -> None:
        points = places(group)
        self.requests.append(points)
        self.before(len(self.requests), group)
        if len(points) > self.most_points:
            raise refused(PayloadTooLargeError, "413 too large", 413)
        for target_id, _ in points:
            if target_id in self.missing:
                name = f" '{target_id}'" if self.names_culprit else ""
                raise refused(NotFoundError, f"404 Timeseries{name} not found.", 404)
        if self.bad.intersection(points):
            raise refused(BadRequestError, BAD, 400)
        self.stored.update(points)


@dataclass
class Books:
    """An account of single points."""

    stored_places: Counter[Place] = field(default_factory=Counter)
    dead: dict[Place, tuple[Refusal, str]] = field(default_factory=dict)
    failed_places: Counter[Place] = field(default_factory=Counter)
    unwanted: set[str] = field(default_factory=set)

    def stored(self, group: Group) -> None:
        self.stored_places.update(places(group))

    def refused(self, group: Group, refusal: Refusal, note: str) -> None:
        for place in places(group):
            assert place not in self.dead
            self.dead[place] = refusal, note

    def failed(self, group: Group, error: TransientServiceError) -> None:
        self.failed_places.update(places(group))
        self.unwanted.update(run.target_id for run in group)

    def wants(self, run: Run) -> bool:
        return run.target_id not in self.unwanted

    def given_up(self, group: Group) -> None:
        self.failed_places.update(places(group))

    def decided(self) -> list[Place]:
        return sorted([*self.stored_places.elements(), *self.dead, *self.failed_places.elements()])


def places(group: Group) -> list[Place]:
    return [(run.target_id, int(t)) for run in group for t in run.selected.times]


def batch_of(sizes: dict[str, int]) -> Group:
    def run(target_id: str, count: int) -> Run:
        points = Points(np.arange(count, dtype=np.int64), np.zeros(count), np.zeros(count, np.uint32))
        return Run(target_id, points, 0, count, None)

    return ordered(run(target_id, count) for target_id, count in sizes.items() if count)


def deliver(
    service: Service,
    batch: Group,
    *,
    memory: WriteMemory | None = None,
    requests: int = 10_000,
    request_points: int = 1_000,
) -> Books:
    books = Books()
    delivery = Delivery(
        service.send,
        books,
        memory or WriteMemory(),
        request_points=request_points,
        isolation_requests=requests,
        clock_ns=itertools.count(1).__next__,
    )
    delivery.run(batch)
    assert books.decided() == sorted(places(batch))  # each point once
    return books


def alone(service: Service, place: Place) -> bool:
    return [place] in service.requests


@st.composite
def batches(draw: st.DrawFn) -> tuple[Group, Service]:
    sizes = draw(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), min_size=1))
    everything = [(target_id, at) for target_id, count in sizes.items() for at in range(count)]
    bad = draw(st.sets(st.sampled_from(everything), max_size=12))
    missing = draw(st.sets(st.sampled_from("abcdef"), max_size=2))
    most = draw(st.sampled_from([math.inf, 1, 7, 50]))
    return batch_of(sizes), Service(bad, missing, most, draw(st.booleans()))


@given(batches())
def test_exactly_the_guilty_are_refused_and_each_alone(drawn: tuple[Group, Service]) -> None:
    batch, service = drawn
    books = deliver(service, batch)
    guilty = {place for place in places(batch) if place in service.bad or place[0] in service.missing}
    assert set(books.dead) == guilty
    assert set(service.stored) == set(places(batch)) - guilty
    for place, (refusal, note) in books.dead.items():
        if place[0] not in service.missing:
            assert (refusal.http_status, refusal.reason, note) == (400, BAD, "")
            assert alone(service, place)
        else:
            assert refusal.http_status == 404


@given(batches(), st.integers(1, 30))
def test_out_of_requests_nothing_is_lost_and_nothing_guilty_stored(drawn: tuple[Group, Service], requests: int) -> None:
    batch, service = drawn
    books = deliver(service, batch, requests=requests)
    assert all(place not in service.bad and place[0] not in service.missing for place in service.stored)
    not_alone = [place for place, (_, note) in books.dead.items() if "requests for its batch were spent" in note]
    assert len(service.requests) <= requests + 2 * 64 + 2 * math.log2(240) + size(batch) / min(service.most_points, 1e9)
    assert {place for place in service.bad if place[0] not in service.missing} & set(places(batch)) <= set(books.dead)
    assert all(books.dead[place][0].http_status in (400, 404, 413) for place in not_alone)


@given(batches(), st.sets(st.integers(1, 12), max_size=4))
def test_transient_failures_leave_their_chunks_undecided(drawn: tuple[Group, Service], numbers: set[int]) -> None:
    batch, service = drawn

    def fail(number: int, group: Group) -> None:
        if number in numbers:
            raise TransientServiceError("503 in every try", status=503)

    service.before = fail
    books = deliver(service, batch)
    guilty = {place for place in places(batch) if place in service.bad or place[0] in service.missing}
    assert set(books.dead) <= guilty
    assert not set(books.stored_places) & guilty
    for place in set(places(batch)) - set(books.dead) - set(books.stored_places):
        assert place[0] in books.unwanted


def test_the_cost_of_one_guilty_point_in_ten_thousand() -> None:
    service = Service(bad={("a", 6_543)})
    deliver(service, batch_of({"a": 10_000}), request_points=10_000)
    # A first try, 14 halves, and the rest behind the guilty point in ever larger parts.
    assert len(service.requests) <= 1 + 14 + 1 + 14


def test_one_in_a_thousand_costs_about_a_dozen_requests_each() -> None:
    bad = {("a", int(at)) for at in np.random.default_rng(7).choice(100_000, 100, replace=False)}
    service = Service(bad)
    memory = WriteMemory()
    whole = batch_of({"a": 100_000})[0]
    for at in range(0, 100_000, 10_000):
        deliver(service, (whole._replace(start=at, stop=at + 10_000),), memory=memory, request_points=10_000)
    assert len(service.requests) <= 15 * len(bad)
    assert sum(map(len, service.requests)) <= 3.5 * 100_000  # what is sent twice and more


def test_out_of_requests_the_rest_costs_64_more() -> None:
    service = Service({("a", int(at)) for at in np.random.default_rng(7).choice(10_000, 3_000, replace=False)})
    books = deliver(service, batch_of({"a": 10_000}), requests=200, request_points=10_000)
    assert 200 < len(service.requests) <= 200 + 64 + 2
    assert service.bad <= set(books.dead)
    assert any("200 requests for its batch were spent" in note for _, note in books.dead.values())


def test_a_series_that_is_refused_whole_costs_few_requests_and_later_ones_three() -> None:
    service = Service(bad={("a", at) for at in range(5_000)})
    memory = WriteMemory()
    books = deliver(service, batch_of({"a": 5_000, "b": 5_000}), memory=memory)
    assert set(books.stored_places) == {("b", at) for at in range(5_000)}
    assert len(service.requests) < 100
    tried = [note for _, note in books.dead.values() if not note]
    assert len(tried) >= 24
    assert {note for _, note in books.dead.values() if note} == {
        "not tried alone: 8 samples of its series were refused"
    }
    service.requests.clear()
    books = deliver(service, batch_of({"a": 5_000}), memory=memory)
    assert len(books.dead) == 5_000
    assert len(service.requests) == 3


def test_a_series_that_is_taken_again_is_written_as_usual() -> None:
    service = Service(bad={("a", at) for at in range(500)})
    memory = WriteMemory()
    deliver(service, batch_of({"a": 500}), memory=memory)
    service.bad = {("a", 3)}
    books = deliver(service, batch_of({"a": 500}), memory=memory)
    assert set(books.dead) == {("a", 3)}
    assert memory.refused_series("a") is None


def test_a_bad_stretch_does_not_take_the_good_points_behind_it_along() -> None:
    service = Service(bad={("a", at) for at in range(100, 200)})
    books = deliver(service, batch_of({"a": 1_000}))
    assert set(books.dead) == service.bad


@pytest.mark.parametrize("names_culprit", [True, False])
def test_a_missing_series_is_refused_as_a_whole(names_culprit: bool) -> None:
    sizes = {f"series-{i:02}": 100 for i in range(100)}
    service = Service(missing={"series-37"}, names_culprit=names_culprit)
    memory = WriteMemory()
    books = deliver(service, batch_of(sizes), memory=memory, request_points=10_000)
    assert {place[0] for place in books.dead} == {"series-37"}
    assert len(books.stored_places) == 9_900
    assert len(service.requests) <= (4 if names_culprit else 18)
    service.requests.clear()
    deliver(service, batch_of({"series-37": 5_000}), memory=memory)
    assert service.requests == [[("series-37", 0)]]


def test_a_413_is_remembered_and_does_not_compound() -> None:
    memory = WriteMemory()
    service = Service(most_points=300)
    deliver(service, batch_of({"a": 1_000, "b": 1_000}), memory=memory)
    sizes = [len(request) for request in service.requests]
    assert sizes == [1_000, 500, 250, 250, 250, 250, 250, 250, 250, 250]
    service.requests.clear()
    deliver(service, batch_of({"a": 1_000}), memory=memory)
    assert [len(request) for request in service.requests] == [250] * 4
    memory.too_large(1_000)  # another request of before the lesson
    assert memory.request_points(1_000) == 250


def test_a_single_point_too_large_is_dead() -> None:
    books = deliver(Service(most_points=0), batch_of({"a": 1}))
    assert [refusal.http_status for refusal, _ in books.dead.values()] == [413]


@pytest.mark.parametrize(
    "error",
    [
        UnauthorizedError("401", status=401),
        ForbiddenError("403", status=403),
        NotTheServiceError("a page", status=400),
        NotTheServiceError("a page", status=404),
        TerminalServiceError("405", status=405),
        TerminalServiceError("queued", status=202),
        CredentialError("no token"),
    ],
    ids=lambda error: f"{type(error).__name__} {getattr(error, 'status', '')}",
)
def test_what_is_nobodys_fault_ends_the_run(error: OmniaBeamError) -> None:
    def fail(number: int, group: Group) -> None:
        raise error

    books = Books()
    delivery = Delivery(
        Service(before=fail).send, books, WriteMemory(), request_points=10, isolation_requests=10, clock_ns=lambda: 0
    )
    with pytest.raises(type(error)):
        delivery.run(batch_of({"a": 5}))
    assert books.decided() == []


def test_a_refusal_that_changes_its_mind_ends_all_the_same() -> None:
    """Refused together, taken alone, refused again: at random, with the requests bounding it."""
    draws = np.random.default_rng(3)

    def flap(number: int, group: Group) -> None:
        if draws.random() < 0.7:
            raise refused(*[(BadRequestError, BAD, 400), (NotFoundError, "404 not found", 404)][int(draws.integers(2))])

    service = Service(before=flap)
    deliver(service, batch_of({"a": 300, "b": 300, "c": 1}), requests=200)
    assert len(service.requests) < 500


def test_reasons_are_free_of_what_differs_from_one_to_the_next() -> None:
    error = BadRequestError(
        "POST /data: 400 Not valid. (trace 4bf9) (attempt 3)",
        method="POST",
        path="/data",
        status=400,
        trace_id="4bf9",
        attempts=3,
    )
    assert reason_of(error) == "400 Not valid."


def test_memory_is_the_process_s_for_a_service() -> None:
    assert shared_memory("http://one.invalid") is shared_memory("http://one.invalid")
    assert shared_memory("http://one.invalid") is not shared_memory("http://two.invalid")
