"""What goes wrong between the program and a store: broken connections, refusals, and responses that are lost after the work."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress

import pytest

from omnia_beam.core.errors import CredentialError, DestinationError, OmniaBeamError, StateError
from omnia_beam.io.files.found import list_files, open_source
from omnia_beam.ledger.fence import LeaseFence
from omnia_beam.ledger.lease import Lease, LeaseTimes
from omnia_beam.ledger.lease_file import LeaseOwner
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.segment import SegmentReader
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.store import Place, Placing, StorageEntry, Store, store_of, within, write_durably
from omnia_beam.store.errors import StoreError
from tests.ledger.fakes import ELSEWHERE, FakeClock, receipt, recorded
from tests.store.conftest import KEYS
from tests.store.servers import Choice, Fault, Front


@pytest.fixture
def root(front: Front) -> str:
    return Place(f"s3://lake/{uuid.uuid4().hex}", StorageEntry("s3://", endpoint=front.url, region="eu-north-1"))


@pytest.fixture
def store(root: str) -> Store:
    return store_of(root)


def is_put(method: str, path: str) -> bool:
    return method == "PUT"


@pytest.mark.parametrize("fault", ["reset before", "reset after", "503"])
@pytest.mark.parametrize("existing", [False, True])
def test_a_write_that_is_disturbed_is_done_once(
    front: Front, store: Store, root: str, fault: Fault, existing: bool
) -> None:
    """After `reset after` the client's second try is refused, since the first was carried out: it is recognised as its own."""
    path = within(root, "year=2024/month=01/x.parquet")
    if existing:
        store.put(path, b"old")
    front.fail(fault, times=1, only=is_put)
    assert store.put(path, b"new content").size == 11
    assert store.read(path).content == b"new content"


@pytest.mark.parametrize("fault", ["reset before", "reset after", "503", "cut"])
@pytest.mark.parametrize("action", ["open", "read", "list", "find", "delete", "delete all"])
def test_what_is_disturbed_is_asked_again(front: Front, store: Store, root: str, fault: Fault, action: str) -> None:
    path = within(root, "a/x.csv")
    store.put(path, b"content")
    front.fail(fault, times=2)
    actions: dict[str, Callable[[], object]] = {
        "open": lambda: store.open(path).read() == b"content",
        "read": lambda: store.read(path).content == b"content",
        "list": lambda: [each.name for each in store.list(within(root, "a"))] == ["x.csv"],
        "find": lambda: [found for found, _ in store.find(within(root, "a/*.csv"))] == [path],
        "delete": lambda: store.delete(path) is None,
        "delete all": lambda: store.delete_all([path]) is None,
    }
    assert actions[action]()


def test_a_lease_whose_response_is_lost_is_held(front: Front, root: str) -> None:
    state = StateDir.open(root, "job")
    front.fail("reset after", times=1, only=lambda method, path: is_put(method, path) and "lease.json" in path)
    with Lease.acquire(state, LeaseOwner.here("test"), heartbeat=False) as lease:
        front.fail("reset after", times=1, only=is_put)
        lease.beat()
        lease.check()
        assert not lease.lost


@pytest.mark.parametrize("held", [False, True])
def test_a_store_that_refuses_each_swap_ends_a_run_and_does_not_hang_it(front: Front, root: str, held: bool) -> None:
    state = StateDir.open(root, "job")
    refuse: Choice = lambda method, path: "412" if is_put(method, path) and "lease.json" in path else None  # noqa: E731  # typed
    if not held:
        front.choose = refuse
        with pytest.raises(StateError, match="the store refuses each write"):
            Lease.acquire(state, LeaseOwner.here("test"), heartbeat=False)
        return
    with Lease.acquire(state, LeaseOwner.here("test"), heartbeat=False) as lease:
        front.choose = refuse
        with pytest.raises(StateError, match="the store refuses each write"):
            lease.beat()


def test_a_write_that_is_refused_each_time_is_an_error_in_one_line(front: Front, store: Store, root: str) -> None:
    front.fail("412", times=100, only=is_put)
    with pytest.raises(DestinationError) as caught:
        write_durably(within(root, "x"), b"content")
    assert "cannot be written: others write it all the time" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not store.is_there(within(root, "x"))


def test_a_store_that_refuses_ends_a_run_in_one_line(front: Front, root: str) -> None:
    path = within(root, "in/a.csv")
    store_of(root).put(path, b"time,a\n2024-01-01T00:00:00Z,1\n")
    state = StateDir.open(root, "job")
    recorded(state, 1, receipt("a", 0, 10))
    front.fail("403", times=100, only=lambda method, path: method == "GET")
    attempts: list[tuple[Callable[[], object], type[OmniaBeamError]]] = [
        (lambda: list_files([within(root, "in/*.csv")]), CredentialError),
        (lambda: open_source(path), CredentialError),
        (lambda: list(SegmentReader(state, "segment-00000001-w-0000.jsonl").batches()), StateError),
        (lambda: Ledger.load(state), StateError),
    ]
    for attempt, kind in attempts:
        with pytest.raises(kind) as caught:
            attempt()
        assert type(caught.value) is kind
        assert "\n" not in str(caught.value)
        assert KEYS["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)


@pytest.mark.parametrize("ignored", [1, 2])
def test_a_store_that_ignores_conditions_holds_no_state(front: Front, root: str, ignored: int) -> None:
    """The second write must not be carried out, since the object exists, and the last one neither, since it has changed."""
    seen: list[str] = []

    def choose(method: str, path: str) -> Fault | None:
        if not is_put(method, path):
            return None
        seen.append(path)
        return "unconditional" if len(seen) == 2 * ignored else None

    front.choose = choose
    with pytest.raises(StateError, match="carries out writes whose condition does not hold") as caught:
        StateDir.open(root, "job")
    assert "\n" not in str(caught.value)
    assert list(store_of(root).walk(root)) == []
    front.choose = lambda method, path: None
    StateDir.open(root, "job")


def test_an_unsigned_write_to_google_asks_nobody_for_a_token(front: Front) -> None:
    place = Place("gs://lake/x", StorageEntry("gs://", endpoint=front.url, anonymous=True))
    with suppress(OSError):  # what stands there speaks the language of S3
        store_of(place).put(place, b"1")
    assert ("PUT", "/lake/x") in front.seen


def test_no_such_bucket(front: Front) -> None:
    place = Place("s3://no-such-bucket/x", StorageEntry("s3://", endpoint=front.url, region="eu-north-1"))
    with pytest.raises(DestinationError, match="NoSuchBucket: The specified bucket does not exist") as caught:
        write_durably(place, b"1")
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match="NoSuchBucket"):
        list(store_of(place).walk(place))
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)


@pytest.mark.parametrize("way", ["put", "create"])
def test_a_driver_that_lost_its_lease_cannot_replace_its_successors_file(
    front: Front, store: Store, root: str, way: str
) -> None:
    """The old driver checks its lease, sleeps, and goes on to write when its successor has long written the same file."""
    clock = FakeClock()
    times = LeaseTimes(clock=clock.wall, monotonic=clock.steady, sleep=clock.sleep)
    state = StateDir.open(within(root, "state"), "job")
    path = within(root, "out/x.parquet")
    store.put(path, b"of an earlier run")
    old = Lease.acquire(state, ELSEWHERE, times=times, heartbeat=False)
    woken = []

    def succeed(method: str, key: str) -> Fault | None:
        if is_put(method, key) and "x.parquet" in key and not woken:
            woken.append(key)
            new = Lease.acquire(state, LeaseOwner.here("new"), times=times, heartbeat=False)
            store.put(path, b"of the successor", placing=LeaseFence(state, new.token).placing)
        return None

    def write(data: bytes, placing: Placing) -> None:
        if way == "put":
            store.put(path, data, placing=placing)
            return
        with store.create(path, placing) as out:
            out.write(data)

    front.choose = succeed
    with pytest.raises(StateError, match="has lost its lease"):
        write(b"of the old driver", LeaseFence(state, old.token).placing)
    assert woken
    assert store.read(path).content == b"of the successor"


def test_a_file_that_changes_while_it_is_read_is_an_error(store: Store, root: str) -> None:
    path = within(root, "x")
    store.put(path, b"a" * 3_000_000)
    with store.open(path) as file:
        file.read(1)
        store.put(path, b"b" * 3_000_000)
        with pytest.raises(OSError, match="changed while it was read"):
            file.read()
