"""The simulation of `tests.soak.objects` sees the harm that it is there for: each wrong behaviour is planted, and is reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import obstore
import pytest

from omnia_beam.core.errors import DestinationError, StateError
from omnia_beam.core.file_stamp import FileStamp
from omnia_beam.io.files import folder, write
from omnia_beam.ledger import lease
from omnia_beam.ledger.fence import LeaseFence
from omnia_beam.ledger.lease_file import LEASE_FILE, LeaseRecord, LeaseToken, read_version
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter
from omnia_beam.store import Placing, write_durably
from omnia_beam.store.objects import ObjectStore
from tests.soak.objects.play import TOGETHER, Player, Schedule, Tags
from tests.soak.objects.service import Kind, Service
from tests.soak.objects.world import Wrong, simulated

Plant = Callable[[pytest.MonkeyPatch, Service], None]


def conditions_are_ignored(patches: pytest.MonkeyPatch, service: Service) -> None:
    """The store carries out each write, and the product does not find that out beforehand."""
    real = service._do_put
    patches.setattr(service, "_do_put", lambda key, content, mode: real(key, content, "overwrite"))
    patches.setattr(StateDir, "_check_conditions", lambda state, probe: None)


def files_replace_whatever_is_there(patches: pytest.MonkeyPatch, service: Service) -> None:
    """The product looks at its lease, and writes without naming the version that it replaces."""

    def put(
        store: ObjectStore, path: str, data: Any, *, known_dirs: Any = None, placing: Placing = nullcontext
    ) -> FileStamp:
        with placing():
            obstore.put(store._client, path.removeprefix("s3://sim/"), bytes(data))
        return FileStamp(memoryview(data).nbytes)

    patches.setattr(ObjectStore, "put", put)


def the_lease_is_not_swapped_by_comparing(patches: pytest.MonkeyPatch, service: Service) -> None:
    def write_lease(state: StateDir, record: LeaseRecord, version: Any = None) -> None:
        state.write(LEASE_FILE, record.to_json("0"))

    patches.setattr(lease, "write_lease", write_lease)


def nobody_waits_for_a_lease(patches: pytest.MonkeyPatch, service: Service) -> None:
    patches.setattr(lease._Acquisition, "_why_free", lambda acquisition, found: "because")


def what_the_lease_holds_is_ignored(patches: pytest.MonkeyPatch, service: Service) -> None:
    patches.setattr(LeaseToken, "record_and_version", lambda token, state: read_version(state))


def the_lease_is_not_looked_at(patches: pytest.MonkeyPatch, service: Service) -> None:
    patches.setattr(LeaseFence, "placing", lambda fence: nullcontext())


def all_that_no_receipt_names_is_deleted(patches: pytest.MonkeyPatch, service: Service) -> None:
    patches.setattr(folder, "_is_ours", lambda name, prefix, suffixes: True)


def the_lease_is_not_looked_at_before_a_deletion(patches: pytest.MonkeyPatch, service: Service) -> None:
    patches.setattr(folder, "_delete_fenced", lambda path, names, fence: folder._delete(path, names))


def a_lost_response_is_a_failure(patches: pytest.MonkeyPatch, service: Service) -> None:
    """The file is written again under another name, and nobody looks whether the first write was carried out."""

    def again(path: str, data: Any, **keys: Any) -> FileStamp:
        try:
            return write_durably(path, data, **keys)
        except DestinationError:
            stem, dot, ending = path.partition(".parquet")
            return write_durably(f"{stem}-again{dot}{ending}", data, **keys)

    patches.setattr(ObjectStore, "_landed", lambda store, path, data: (False, None))
    patches.setattr(write, "write_durably", again)


def a_lost_segment_is_written_again_with_less(patches: pytest.MonkeyPatch, service: Service) -> None:
    real = LedgerWriter._put

    def put(writer: LedgerWriter, data: bytes) -> None:
        try:
            real(writer, data)
        except StateError:
            real(writer, data[: data.index(b"\n") + 1])

    patches.setattr(LedgerWriter, "_put", put)


def each_segment_replaces_the_last(patches: pytest.MonkeyPatch, service: Service) -> None:
    def put(writer: LedgerWriter, data: bytes) -> None:
        header = writer._header()
        writer._state_dir.write(f"ledger/{header.file_name}", header.to_line() + data)

    patches.setattr(LedgerWriter, "_put", put)


REPLACED = "the first driver has replaced a file of its successor"
LEASE = "a lease that was superseded is back|takes over the lease of"
NO_LOOK = "without a look at its lease right before"
PLANTS: list[tuple[Plant, str, Tags, Kind | str, str, str]] = [
    (conditions_are_ignored, "backfill, new", "number", "pause before", "put out/year", REPLACED),
    (conditions_are_ignored, "backfill, changed", "content", "pause before", "put out/year", REPLACED),
    (files_replace_whatever_is_there, "tail, new", "number", "pause before", "put out/year", REPLACED),
    (the_lease_is_not_swapped_by_comparing, "backfill, new", "number", TOGETHER, "", LEASE),
    (the_lease_is_not_swapped_by_comparing, "backfill, new", "content", TOGETHER, "", LEASE),
    (the_lease_is_not_swapped_by_comparing, "tail, new", "number", "pause before", "put state/sim/lease", LEASE),
    (nobody_waits_for_a_lease, "migrate, new", "number", TOGETHER, "", LEASE),
    (what_the_lease_holds_is_ignored, "backfill, new", "number", "pause after", "get in/", NO_LOOK),
    (the_lease_is_not_looked_at, "backfill, new", "content", "fails", "list", NO_LOOK),
    (all_that_no_receipt_names_is_deleted, "backfill, new", "number", "delay", "list", "deleted, which is not the job"),
    (the_lease_is_not_looked_at_before_a_deletion, "backfill, new", "content", "crash after", "put out/year", NO_LOOK),
    (a_lost_response_is_a_failure, "backfill, new", "number", "response lost", "put out/year", "holds a point twice"),
    (
        a_lost_segment_is_written_again_with_less,
        "backfill, new",
        "content",
        "response lost",
        "put state/sim/ledger/segment",
        "replaced by other content",
    ),
    (each_segment_replaces_the_last, "tail, changed", "number", "delay", "list", "replaced by other content"),
]


@pytest.fixture
def service() -> Iterator[Service]:
    with simulated("content") as service:
        yield service


@pytest.mark.long
@pytest.mark.parametrize(
    ("plant", "scenario", "tags", "kind", "operation", "reported"),
    PLANTS,
    ids=[f"{plant[0].__name__}-{plant[1]}-{plant[2]}-{plant[3]}" for plant in PLANTS],
)
def test_it_is_reported(
    service: Service,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plant: Plant,
    scenario: str,
    tags: Tags,
    kind: Any,
    operation: str,
    reported: str,
) -> None:
    """Schedules of a kind are played at each operation of a name; none is wrong before the plant, some are afterwards."""

    def play() -> None:
        player = Player(service, tmp_path, seed=1, counted=Counter())
        trace = player.trace(scenario, tags)
        numbers = (
            range(20) if kind == TOGETHER else [at for at, each in enumerate(trace) if f" {operation}" in each][:8]
        )
        assert numbers
        for at in numbers:
            player.play(Schedule(scenario, tags, kind, at))

    play()
    with monkeypatch.context() as patches:
        plant(patches, service)
        with pytest.raises(Wrong, match=reported):
            play()
