"""Durability: what was acknowledged survives a kill -9, and nothing else is made up."""

from __future__ import annotations

import asyncio
import os
import struct
import threading
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from omnia_beam.emulator.common import journal as journal_module
from omnia_beam.emulator.common.journal import MAGIC, Journal, read_records
from omnia_beam.emulator.common.loading import load_store
from omnia_beam.emulator.common.metadata import SeriesMetadata
from omnia_beam.emulator.common.points import Points, as_points
from omnia_beam.emulator.omnia.change import (
    DeletePoints,
    PutCompanion,
    PutSeries,
    RemoveSeries,
    WritePoints,
    decode_change,
    encode_change,
)
from omnia_beam.emulator.process import EmulatorProcess
from omnia_beam.emulator.thread import EmulatorThread
from tests.emulator.conftest import BASE, SECOND, identity
from tests.emulator.omnia.pages import from_json, text_of

Start = Callable[..., EmulatorThread]


@pytest.mark.long
def test_a_killed_emulator_keeps_every_acknowledged_write(tmp_path: Path, http: requests.Session) -> None:
    arguments = ["--state-dir", str(tmp_path), "--synthetic", "dense:series=4,days=1,step=1h"]
    sent = [0, 0, 0, 0]
    acknowledged: list[set[int]] = [set() for _ in range(4)]
    for _ in range(3):
        emulator = EmulatorProcess(arguments).start()
        keys = [item["id"] for item in http.get(emulator.url).json()["data"]["items"]]

        def write(number: int, url: str) -> None:
            with requests.Session() as session:
                while True:
                    second = sent[number]
                    sent[number] += 1
                    body = {"datapoints": [{"time": text_of(BASE + second * SECOND), "value": second}]}
                    try:
                        response = session.post(url, json=body, params={"async": "false"}, timeout=30)
                    except requests.RequestException:
                        return
                    assert response.status_code == 200
                    acknowledged[number].add(second)

        goal = sum(map(len, acknowledged)) + 200
        threads = [threading.Thread(target=write, args=(n, f"{emulator.url}/{keys[n]}/data")) for n in range(4)]
        for thread in threads:
            thread.start()
        while sum(map(len, acknowledged)) < goal:
            pass
        emulator.kill()
        for thread in threads:
            thread.join()
    with EmulatorProcess(arguments) as emulator:
        for number, key in enumerate(keys):
            rows, _, _ = from_json(http.get(f"{emulator.url}/{key}/data", params={"limit": 100_000}))
            kept = {
                (time_ns - BASE) // SECOND: value
                for time_ns, value, _ in rows[key]
                if value == (time_ns - BASE) / SECOND and time_ns < BASE + 10**15
            }
            assert acknowledged[number] <= set(kept)
            assert set(kept) <= set(range(sent[number]))
            assert len(rows[key]) == len(kept) + 24  # The synthetic points of the day are still there.


def test_everything_that_can_change_survives_a_restart(emulator: Start, http: requests.Session, tmp_path: Path) -> None:
    arguments = ("--state-dir", str(tmp_path))
    running = emulator(*arguments)
    url, steady = running.url, identity("steady")
    http.delete(f"{url}/{steady}/data", params={"startTime": text_of(BASE + 10 * SECOND)})
    for name in ("kept", "gone"):
        http.post(url, json={"name": name, "facility": "EMU"})
    http.delete(f"{url}/{identity('gone')}")
    http.delete(f"{url}/{identity('other')}")
    http.patch(f"{url}/{identity('kept')}", json={"unit": "bar"})
    http.post(f"{url}/streaming/subscriptions", json=[{"id": steady}])
    datapoints = {
        "datapoints": [{"time": text_of(BASE), "value": 5}, {"time": text_of(BASE - 1000 * SECOND), "value": 6}]
    }
    http.post(f"{url}/{identity('kept')}/data", json=datapoints)  # Queued: durable all the same.
    management = url.replace("timeseries/v1.7", "ims-subscriptions-management/v1.2")
    http.patch(f"{management}/uid/ims-{steady}", json={"tsdbEventsExported": 7})

    def state(at: EmulatorThread) -> Any:
        listed = http.get(at.url).json()["data"]["items"]
        points = {item["id"]: from_json(http.get(f"{at.url}/{item['id']}/data"))[0] for item in listed}
        subscription = http.get(
            f"{at.url.replace('timeseries/v1.7', 'ims-subscriptions/v1.2')}/uid/ims-{steady}"
        ).json()
        history = http.get(f"{at.url}/{identity('kept')}/history").json()
        return listed, points, http.get(f"{at.url}/streaming/subscriptions").json(), subscription, history

    before = state(running)
    assert len(before[1][steady][steady]) == 10
    running.kill()
    for _ in range(2):  # Replayed once from the records, once from their compacted form.
        running = emulator(*arguments)
        assert state(running) == before
        taken = http.post(running.url, json={"name": "gone", "facility": "EMU"}).json()["data"]["items"][0]["id"]
        assert taken != identity("gone")
        http.delete(f"{running.url}/{taken}")
        running.stop()


def test_a_start_compacts_the_log(emulator: Start, http: requests.Session, tmp_path: Path) -> None:
    running = emulator("--state-dir", str(tmp_path))
    for value in range(50):
        body = {"datapoints": [{"time": text_of(BASE), "value": value}]}
        http.post(f"{running.url}/{identity('empty')}/data?async=false", json=body)
    running.stop()
    assert len(read_records(tmp_path / "state.log")) == 50
    running = emulator("--state-dir", str(tmp_path))
    assert len(read_records(tmp_path / "state.log")) == 1
    assert from_json(http.get(f"{running.url}/{identity('empty')}/data"))[0][identity("empty")] == [(BASE, 49.0, 192)]


def _log(*payloads: bytes) -> bytes:
    framed = (struct.pack("<II", len(payload), zlib.crc32(payload)) + payload for payload in payloads)
    return MAGIC + b"".join(framed)


def test_any_torn_tail_is_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, whole = tmp_path / "state.log", _log(b"one", b"two", b"three")
    ends = [len(_log()), len(_log(b"one")), len(_log(b"one", b"two")), len(whole)]
    for length in range(len(whole) + 1):
        file.write_bytes(whole[:length])
        caplog.clear()
        assert read_records(file) == [b"one", b"two", b"three"][: sum(end <= length for end in ends[1:])]
        assert bool(caplog.records) == (length > len(MAGIC) and length not in ends)
    file.write_bytes(whole[:-1] + b"X")  # All there, but not what was written: the disk did not get to it.
    assert read_records(file) == [b"one", b"two"]


def test_damage_that_is_no_torn_tail_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state.log"
    file.write_bytes(_log(b"one", b"two").replace(b"one", b"eno"))
    with pytest.raises(ValueError, match=r"state\.log: the record at byte 28 is damaged"):
        read_records(file)
    file.write_bytes(b"omnia-beam emulator state 2\n")
    with pytest.raises(ValueError, match="not a state of this version"):
        read_records(file)


def test_one_emulator_a_directory(emulator: Start, tmp_path: Path) -> None:
    running = emulator("--state-dir", str(tmp_path))
    with pytest.raises(OSError, match="another emulator is using it"):
        emulator("--state-dir", str(tmp_path))
    running.stop()
    emulator("--state-dir", str(tmp_path))


def test_a_directory_of_other_data_is_refused(emulator: Start, http: requests.Session, tmp_path: Path) -> None:
    running = emulator("--state-dir", str(tmp_path))
    http.delete(f"{running.url}/{identity('steady')}/data")
    running.stop()
    with pytest.raises(ValueError, match="not in the data given"):
        emulator("--state-dir", str(tmp_path), series={})


def test_concurrent_commits_share_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    real = os.fsync
    monkeypatch.setattr(journal_module.os, "fsync", lambda descriptor: (syncs.append(descriptor), real(descriptor)))

    async def scenario() -> None:
        journal = Journal(tmp_path)
        journal.begin([b"first"])
        syncs.clear()
        await asyncio.gather(*(journal.commit(b"%d" % number) for number in range(100)))
        await journal.close()

    asyncio.run(scenario())
    assert read_records(tmp_path / "state.log") == [b"first", *(b"%d" % number for number in range(100))]
    assert len(syncs) <= 3


def test_a_disk_that_refuses_is_told_to_every_writer_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    async def scenario() -> None:
        journal = Journal(tmp_path)
        journal.begin([])
        await journal.commit(b"good")
        monkeypatch.setattr(journal_module.os, "fsync", full)
        with pytest.raises(OSError, match="cannot be written: No space left"):
            await journal.commit(b"lost")
        monkeypatch.setattr(journal_module.os, "fsync", real)
        with pytest.raises(OSError, match="an earlier write failed"):
            await journal.commit(b"after")
        await journal.close()

    asyncio.run(scenario())
    assert read_records(tmp_path / "state.log")[0] == b"good"


def _columns(points: Points) -> list[bytes]:
    return [points.times.tobytes(), points.values.tobytes(), points.statuses.tobytes()]


def test_changes_survive_their_encoding() -> None:
    points = as_points([-1, 0, 2**62], [1.5, np.nan, -0.0], [0, 192, 2**32 - 1])
    batches = ((identity("a"), points), (identity("b"), as_points([], [])), (identity("c"), points))
    for replace in (False, True):
        back = decode_change(encode_change(WritePoints(batches, replace)))
        assert isinstance(back, WritePoints)
        assert back.replace == replace
        assert [(key, _columns(one)) for key, one in back.batches] == [(key, _columns(one)) for key, one in batches]
    metadata = asdict(SeriesMetadata("id", "n", "f", metadata={"a": [1]}))
    for change in (
        DeletePoints("x", None, -5),
        PutSeries(metadata, ({"a": 1},)),
        RemoveSeries("x"),
        PutCompanion({"streamed": []}),
    ):
        back = decode_change(encode_change(change))
        assert {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(back).items()} == {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(change).items()
        }
    with pytest.raises(ValueError, match="unknown kind"):
        decode_change(b"?")


def test_the_python_api_gives_the_points_without_http() -> None:
    store = load_store(series={"a": ([3, 1, 3], [1.0, 2.0, 3.0], [0, 1, 2])}, facility="1191")
    series = store.series[identity("a", "1191")]
    assert [column.tolist() for column in (series.points().times, series.points().values, series.points().statuses)] == [
        [1, 3], [2.0, 3.0], [1, 2],
    ]  # fmt: skip
    assert series.points(2, 3).times.tolist() == []
    assert series.points(3).times.tolist() == [3]
    with pytest.raises(ValueError, match="unknown fields colour"):
        load_store(series={"a": {"colour": "red"}})
    with pytest.raises(ValueError, match=r"series 'a'.*\(times, values\)"):
        load_store(series={"a": [1]})
