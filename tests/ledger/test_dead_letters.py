"""Dead letters: the same to the last bit through tables, coders and files; files that appear whole and go when cured."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.beam.coders import DeadLetterCoder
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.errors import StateError
from omnia_beam.core.receipt import Receipt, SeriesReceipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.ledger.dead_letters import (
    DeadLetterFiles,
    dead_letter_files,
    facts_of,
    file_name,
    key_of,
    letters_of_table,
    letters_to_table,
    read_dead_letters,
)
from omnia_beam.ledger.state_dir import StateDir
from tests.core.strategies import as_points, as_rows, bits, groups, statuses
from tests.store.memory_objects import SCHEME, MemoryObjects

KEY = ChunkKey(("a", "b"), TimeRange(0, 1_000))
NAN_WITH_PAYLOAD = 0xFFF8000000000001
times = st.integers(-(2**63), 2**63 - 1)


@st.composite
def letters(draw: st.DrawFn) -> tuple[ChunkKey, list[DeadLetter]]:
    start = draw(st.sampled_from([-(2**63), -5, 0, 2**62]))
    key = ChunkKey(draw(groups), TimeRange(start, start + 10_000))
    one = st.builds(
        DeadLetter,
        st.just(key),
        st.sampled_from(key.series_ids),
        st.text(max_size=5),
        st.lists(st.tuples(times, bits, statuses), min_size=1, max_size=4).map(as_points),
        st.text(max_size=8),
        st.none() | st.integers(400, 599),
        st.none() | st.text(max_size=4),
        st.none() | times,
        st.none() | times,
    )
    return key, draw(st.lists(one, max_size=6))


def told(found: list[DeadLetter]) -> list[tuple[object, ...]]:
    """Every point of the letters with everything that is known of it, in order."""
    return [
        (
            letter.key,
            letter.source_id,
            letter.target_id,
            row,
            letter.reason,
            letter.http_status,
            letter.trace_id,
            *attempts,
        )
        for letter in found
        for attempts in [(letter.first_attempt_ns, letter.last_attempt_ns)]
        for row in as_rows(letter.points)
    ]


@given(letters())
def test_a_table_keeps_everything(drawn: tuple[ChunkKey, list[DeadLetter]]) -> None:
    key, given_letters = drawn
    table = letters_to_table(key, given_letters, {"origin": "map"})
    found_key, found = letters_of_table(table)
    assert (found_key, key_of(table.schema), facts_of(table)) == (key, key, {"origin": "map"})
    assert told(found) == told(given_letters)
    assert len(found) <= len(given_letters)


@given(letters())
def test_the_coder_keeps_everything(drawn: tuple[ChunkKey, list[DeadLetter]]) -> None:
    coder = DeadLetterCoder()
    for letter in drawn[1]:
        encoded = coder.encode(letter)
        assert told([coder.decode(encoded)]) == told([letter])
        assert encoded == coder.encode(letter)
        assert coder.estimate_size(letter) >= 20 * letter.count


def letter_of(
    rows: list[tuple[int, int, int]], reason: str = "400 bad", key: ChunkKey = KEY, **more: object
) -> DeadLetter:
    return replace(DeadLetter(key, "a", "target", as_points(rows), reason), **more)


def receipt_of(key: ChunkKey, dead_letters: int) -> Receipt:
    return Receipt(
        key, "omnia x", tuple(SeriesReceipt.of(each, each, as_points([])) for each in key.series_ids), (), dead_letters
    )


@pytest.fixture
def state_dir(tmp_path: Path) -> StateDir:
    return StateDir.open(str(tmp_path), "job")


@pytest.fixture(params=["local", "object store"])
def files(request: pytest.FixtureRequest, state_dir: StateDir, object_store: MemoryObjects) -> DeadLetterFiles:
    if request.param == "local":
        return DeadLetterFiles.of(state_dir)
    return DeadLetterFiles.at(f"{SCHEME}://bucket/letters")


def test_files(files: DeadLetterFiles) -> None:
    assert files.names() == []
    files = pickle.loads(pickle.dumps(files))
    rows = [(100, NAN_WITH_PAYLOAD, 192), (201, 1 << 63, 2**32 - 1)]
    given_letter = letter_of(rows, http_status=400, trace_id="4bf9", first_attempt_ns=5, last_attempt_ns=9)
    receipt = receipt_of(KEY, 2)
    name = files.put(KEY, [given_letter], receipt=receipt, clock_ns=lambda: 77)
    assert name == f"{KEY.name}.parquet"
    stored = files.read(name)
    assert told(list(stored.letters)) == told([given_letter])
    assert (stored.key, stored.origin, stored.receipt, stored.written_ns, stored.count) == (
        KEY,
        "write",
        receipt,
        77,
        2,
    )
    assert files.key(name) == KEY

    files.put(KEY, [letter_of(rows[:1])], origin="map")
    files.put(KEY, [letter_of(rows[1:], "other")])  # over the first
    assert files.names() == sorted([f"{KEY.name}.parquet", f"{KEY.name}-map.parquet"])
    assert files.count_by("reason") == {"400 bad": 1, "other": 1}
    files.remove(name)
    files.remove(name)
    assert files.names() == [f"{KEY.name}-map.parquet"]


def test_any_reader_opens_them(state_dir: StateDir) -> None:
    files = DeadLetterFiles.of(state_dir)
    files.put(KEY, [letter_of([(100, 0, 64)], http_status=400)])
    [path] = dead_letter_files(state_dir)
    table = pq.read_table(path)
    times = {
        name: table[name].cast("int64")[0].as_py() for name in ("time", "window_start", "window_end", "first_attempt")
    }
    assert times == {"time": 100, "window_start": 0, "window_end": 1_000, "first_attempt": None}
    texts = {name: table[name][0].as_py() for name in ("source_id", "target_id", "reason", "trace_id")}
    assert texts == {"source_id": "a", "target_id": "target", "reason": "400 bad", "trace_id": None}
    assert (table["status"][0].as_py(), table["http_status"][0].as_py()) == (64, 400)
    assert told(list(read_dead_letters(state_dir))) == told([letter_of([(100, 0, 64)], http_status=400)])


def test_the_keeper_stores_replaces_and_removes(files: DeadLetterFiles) -> None:
    other = ChunkKey(("z",), TimeRange(0, 5))
    files.put(KEY, [letter_of([(100, 0, 192)])])
    keep = files.keeper()

    def written(key: ChunkKey, *found: DeadLetter) -> None:
        keep(receipt_of(key, len(found)), found)

    written(KEY)
    assert files.names() == []
    written(other)
    written(other, letter_of([(1, 0, 1)], key=other))
    assert files.names() == [file_name(other)]
    assert files.read(file_name(other)).receipt == receipt_of(other, 1)


def test_only_chunks_with_a_receipt_keep_their_files(files: DeadLetterFiles) -> None:
    keys = [ChunkKey((name,), TimeRange(0, 5)) for name in "xyz"]
    for key in keys:
        files.put(key, [letter_of([(1, 0, 1)], key=key)])
    assert files.keep_only(keys[1:2]) == sorted([file_name(keys[0]), file_name(keys[2])])
    assert files.names() == [file_name(keys[1])]


def test_one_file_of_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("letters").mkdir()
    files = DeadLetterFiles.at("letters/")
    for name in "xy":
        key = ChunkKey((name,), TimeRange(0, 5))
        files.put(key, [letter_of([(1, 0, 1)], key=key)])
    first = files.names()[0]
    one = DeadLetterFiles.at(f"letters/{first}")
    assert (one.names(), str(one)) == ([first], f"{tmp_path}/letters/{first}")
    assert len(files.names()) == 2


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1 and then nothing PAR1"])
def test_a_damaged_file_is_named(state_dir: StateDir, content: bytes) -> None:
    files = DeadLetterFiles.of(state_dir)
    path = files.path(f"{KEY.name}.parquet")
    Path(path).write_bytes(content)
    for read in (files.read, files.key):
        with pytest.raises(StateError, match=r"cannot be understood.*move the file away") as caught:
            read(f"{KEY.name}.parquet")
        assert path in str(caught.value)


def test_another_parquet_file_is_not_taken_for_one(state_dir: StateDir, tmp_path: Path) -> None:
    files = DeadLetterFiles.of(state_dir)
    table = letters_to_table(KEY, [letter_of([(1, 0, 1)])])
    pq.write_table(table.replace_schema_metadata(None), files.path("foreign.parquet"))
    newer = table.schema.metadata[b"omnia_beam_dead_letters"].replace(b'"v":1', b'"v":2')
    pq.write_table(table.replace_schema_metadata({b"omnia_beam_dead_letters": newer}), files.path("newer.parquet"))
    with pytest.raises(StateError, match="holds no dead letters"):
        files.read("foreign.parquet")
    with pytest.raises(StateError, match="version 2; this is version 1"):
        files.read("newer.parquet")


def test_a_full_disk_is_told_with_the_path(state_dir: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    files = DeadLetterFiles.of(state_dir)
    files.put(KEY, [letter_of([(1, 0, 1)])])

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError, match=r"dead_letters/.*No space left on device; free some space"):
        files.put(KEY, [letter_of([(2, 0, 1)])])
    monkeypatch.undo()
    assert [as_rows(letter.points) for letter in read_dead_letters(state_dir)] == [[(1, 0, 1)]]
