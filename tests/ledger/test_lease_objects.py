"""The lease on an object store: a conditional write, so that two holders are impossible."""

from __future__ import annotations

import pytest

from omnia_beam.core.errors import StateError
from omnia_beam.ledger.lease import Lease
from omnia_beam.ledger.lease_file import LEASE_FILE, read_version, write_lease
from omnia_beam.ledger.state_dir import StateDir
from tests.ledger.fakes import ELSEWHERE, FakeClock
from tests.ledger.test_lease import HERE, acquire, times
from tests.store.memory_objects import MemoryObjects


@pytest.fixture
def remote(object_store: MemoryObjects) -> StateDir:
    return StateDir.open("s3://bucket/state", "job")


def test_the_same_on_an_object_store(remote: StateDir, clock: FakeClock) -> None:
    with acquire(remote, clock, ELSEWHERE) as lease:
        assert lease.token.run == 1
        assert clock.steady_s == 50.0, "nothing has to settle"
        lease.beat()
    holder = acquire(remote, clock, ELSEWHERE)
    with acquire(remote, clock) as lease:
        assert lease.token.run == 3
        assert lease.notice is not None
        holder.beat()
        assert holder.lost


@pytest.mark.parametrize("before", [False, True])
def test_of_two_starts_at_once_on_an_object_store_one_wins(
    remote: StateDir, clock: FakeClock, object_store: MemoryObjects, before: bool
) -> None:
    """The other's write comes between this one's look and its own write, on a new state and on a released lease."""
    if before:
        acquire(remote, clock, ELSEWHERE).release()
    others: list[Lease] = []

    def overtake(key: str) -> None:
        if key.endswith(LEASE_FILE) and not others:
            object_store.before_put = lambda key: None
            others.append(Lease.acquire(remote, HERE, times=times(clock), heartbeat=False))

    object_store.before_put = overtake
    with pytest.raises(StateError, match="another run of job"):
        Lease.acquire(remote, HERE, times=times(clock), heartbeat=False)
    others[0].beat()
    others[0].check()


def test_a_heartbeat_cannot_undo_a_takeover_on_an_object_store(
    remote: StateDir, clock: FakeClock, object_store: MemoryObjects
) -> None:
    holder = acquire(remote, clock, ELSEWHERE)
    others: list[Lease] = []

    def overtake(key: str) -> None:
        object_store.before_put = lambda key: None
        others.append(acquire(remote, clock))

    object_store.before_put = overtake
    holder.beat()
    assert holder.lost
    others[0].beat()
    assert not others[0].lost


def test_a_lease_whose_response_is_lost_is_held(
    remote: StateDir, clock: FakeClock, object_store: MemoryObjects
) -> None:
    object_store.lands = True
    object_store.fail_from = 2  # the probe of the state's folders was the first
    with Lease.acquire(remote, HERE, times=times(clock), heartbeat=False) as lease:
        lease.beat()
        lease.check()


def test_each_write_of_a_lease_is_unlike_the_others(remote: StateDir, clock: FakeClock) -> None:
    """S3 numbers versions by their content: of two equal ones either would pass for the other."""
    record = acquire(remote, clock, ELSEWHERE)
    contents = set()
    for _ in range(3):
        contents.add(remote.read(LEASE_FILE))
        found, version = read_version(remote)
        assert found is not None
        write_lease(remote, found, version)
    assert len(contents) == 3
    assert record is not None
