"""Store the dead letters of a job in `<state>/<job>/dead_letters/*.parquet`, one file for each chunk that has any.

A file's name is a function of its chunk's key, so that a window that is written again replaces its file, or removes it
where no dead letter is left. A file appears whole or not at all, and before its chunk's receipt does, so that the dead
letters that a receipt counts are never missing. The columns are those of `SCHEMA`; any Parquet reader opens them.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from omnia_beam.core.chunk import Points
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.errors import OmniaBeamError, StateError
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.text import load_json
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.ledger.fence import LeaseFence
from omnia_beam.ledger.state_dir import StateDir, state_error
from omnia_beam.store import Placing, Store, is_remote, store_of

_VERSION: Final = 1
_METADATA: Final = b"omnia_beam_dead_letters"
_TEXT: Final = pa.dictionary(pa.int32(), pa.string())
_TIME: Final = pa.timestamp("ns", "UTC")

SCHEMA: Final = pa.schema(
    [
        ("source_id", _TEXT),
        ("target_id", _TEXT),
        ("time", _TIME),
        ("value", pa.float64()),
        ("status", pa.uint32()),
        ("reason", _TEXT),
        ("http_status", pa.int32()),
        ("trace_id", _TEXT),
        ("first_attempt", _TIME),
        ("last_attempt", _TIME),
        ("window_start", _TIME),
        ("window_end", _TIME),
    ]
)
_WITH_TEXTS: Final = SCHEMA.append(
    pa.field("text", pa.string())
)  # only where there are any: as earlier releases otherwise
_ATTRIBUTES: Final = ("source_id", "target_id", "reason", "http_status", "trace_id", "first_attempt", "last_attempt")
"""Columns whose values the points of one dead letter have in common."""


def letters_to_table(key: ChunkKey, letters: Sequence[DeadLetter], facts: Mapping[str, Any] | None = None) -> Any:
    """Return the letters as a `pyarrow.Table` of SCHEMA, one after another.

    Args:
        key: of the chunk that all of them belong to.
        letters: in any order; none gives an empty table.
        facts: further plain data for the metadata, which `facts_of` returns.
    """
    points = Points.concat([letter.points for letter in letters])
    count = len(points.times)
    lengths = np.array([letter.count for letter in letters], np.int64)
    columns = {
        "source_id": _texts([letter.source_id for letter in letters], lengths),
        "target_id": _texts([letter.target_id for letter in letters], lengths),
        "time": _times(points.times),
        "value": pa.array(points.values),
        "status": pa.array(points.statuses),
        "reason": _texts([letter.reason for letter in letters], lengths),
        "http_status": _repeated([letter.http_status for letter in letters], lengths, pa.int32()),
        "trace_id": _texts([letter.trace_id for letter in letters], lengths),
        "first_attempt": _repeated([letter.first_attempt_ns for letter in letters], lengths, _TIME),
        "last_attempt": _repeated([letter.last_attempt_ns for letter in letters], lengths, _TIME),
        "window_start": _times(np.full(count, key.range.start_ns)),
        "window_end": _times(np.full(count, key.range.end_ns)),
    }
    head = {"v": _VERSION, "series_ids": key.series_ids, "start": key.range.start_ns, "end": key.range.end_ns}
    metadata = {_METADATA: json.dumps({**head, "facts": dict(facts or {})}, separators=(",", ":")).encode()}
    if points.texts is None:
        return pa.table(columns, SCHEMA.with_metadata(metadata))
    columns["text"] = pa.array(points.texts, pa.string())
    return pa.table(columns, _WITH_TEXTS.with_metadata(metadata))


def letters_of_table(table: Any) -> tuple[ChunkKey, list[DeadLetter]]:
    """Return the key and the letters of a table; adjacent rows that differ in nothing but the point make one letter.

    Raises:
        ValueError: the table holds no dead letters, or is of another version.
    """
    key = key_of(table)
    if not table.num_rows:
        return key, []
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    points = Points(
        columns["time"].cast(pa.int64()).to_numpy(),
        columns["value"].to_numpy(),
        columns["status"].to_numpy(),
        columns["text"].to_numpy(zero_copy_only=False) if "text" in columns else None,
    )
    differs = np.zeros(table.num_rows, bool)
    differs[0] = True
    for name in _ATTRIBUTES:
        codes = _codes(columns[name])
        differs[1:] |= codes[1:] != codes[:-1]
    starts = np.flatnonzero(differs).tolist()
    shared = zip(*(_plain(columns[name].take(pa.array(starts))) for name in _ATTRIBUTES), strict=True)
    letters = []
    for start, stop, values in zip(starts, [*starts[1:], table.num_rows], shared, strict=True):
        source, target, reason, http_status, trace_id, first, last = values
        part = points.take(slice(start, stop))
        letters.append(DeadLetter(key, source, target, part, reason, http_status, trace_id, first, last))
    return key, letters


def key_of(table: Any) -> ChunkKey:
    """Return the key of the chunk that the letters of a table or schema belong to."""
    head = _head(table)
    return ChunkKey(tuple(head["series_ids"]), TimeRange(head["start"], head["end"]))


def facts_of(table: Any) -> dict[str, Any]:
    """Return what was passed to `letters_to_table` as facts, from a table or a schema."""
    facts: dict[str, Any] = _head(table)["facts"]
    return facts


def _head(table: Any) -> dict[str, Any]:
    schema = getattr(table, "schema", table)
    raw = (schema.metadata or {}).get(_METADATA)
    if raw is None or not set(SCHEMA.names) <= set(schema.names):
        raise ValueError("it holds no dead letters of omnia-beam")
    head: dict[str, Any] = load_json(raw)
    if head.get("v") != _VERSION:
        raise ValueError(f"dead letters of version {head.get('v')}; this is version {_VERSION}")
    return head


def _texts(values: Sequence[str | None], lengths: Any) -> Any:
    encoded = pa.array(values, pa.string()).dictionary_encode()
    places = pa.array(np.repeat(np.arange(len(values)), lengths))
    return pa.DictionaryArray.from_arrays(encoded.indices.take(places).cast(pa.int32()), encoded.dictionary)


def _repeated(values: Sequence[int | None], lengths: Any, kind: Any) -> Any:
    return pa.array(values, kind).take(pa.array(np.repeat(np.arange(len(values)), lengths)))


def _times(times: Any) -> Any:
    return pa.array(times, pa.int64()).cast(_TIME)


def _codes(column: Any) -> Any:
    """Return integers that are equal where the values are; null counts as a value."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return pc.dictionary_encode(column, null_encoding="encode").indices.to_numpy()


def _plain(column: Any) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    values: list[Any] = column.to_pylist()
    return values


WRITING: Final = "write"
"""Origin of letters that the sink refused, or could not hold: they can be sent again unchanged."""

_FOLDER: Final = "dead_letters"
_SUFFIX: Final = ".parquet"


@dataclass(frozen=True, slots=True)
class StoredLetters:
    """The content of one file of dead letters.

    Args:
        key: of the chunk.
        letters: in the file's order; may be none.
        origin: `write`, or the name of the step that dropped the points before they were sent.
        receipt: the sink's receipt of what is stored of the chunk; None for other origins.
        written_ns: when the file was written, ns since the Unix epoch.
    """

    key: ChunkKey
    letters: tuple[DeadLetter, ...]
    origin: str
    receipt: Receipt | None
    written_ns: int

    @property
    def count(self) -> int:
        """Number of points in all letters."""
        return sum(letter.count for letter in self.letters)


@dataclass(frozen=True, slots=True)
class DeadLetterFiles:
    """The files of dead letters in one folder.

    This is plain data, which can be pickled. Every method raises StateError with the file's path.

    Args:
        store: that reads and writes there.
        folder: whole path.
        only: name of the only file to use; None for all.
        fence: of the run's lease, so that a run that has lost it changes no file; None where no lease is held.
    """

    store: Store
    folder: str
    only: str | None = None
    fence: LeaseFence | None = None

    @classmethod
    def of(cls, state_dir: StateDir, fence: LeaseFence | None = None) -> DeadLetterFiles:
        """Return the files of a job."""
        return cls(state_dir.store, state_dir.path(_FOLDER), fence=fence)

    @classmethod
    def at(cls, path: str, fence: LeaseFence | None = None) -> DeadLetterFiles:
        """Return the files in a folder, or the one file that the path names, on a disk or an object store."""
        store = store_of(path)
        whole = path.rstrip("/") if is_remote(path) else os.path.abspath(path)
        if not whole.endswith(_SUFFIX):
            return cls(store, whole, fence=fence)
        folder, _, name = whole.rpartition("/")
        return cls(store, folder, name, fence)

    def __str__(self) -> str:
        return f"{self.folder}/{self.only}" if self.only else self.folder

    def path(self, name: str) -> str:
        """Return the whole path of a file."""
        return f"{self.folder}/{name}"

    def names(self) -> list[str]:
        """Return the names of the files that exist."""
        with self._naming("listed", self.folder):
            found = [each.name for each in self.store.list(self.folder) if each.name.endswith(_SUFFIX)]
        return [name for name in found if self.only in (None, name)]

    def put(
        self,
        key: ChunkKey,
        letters: Sequence[DeadLetter],
        *,
        receipt: Receipt | None = None,
        origin: str = WRITING,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> str:
        """Store all letters of a chunk in place of those stored of it before, and return the file's name."""
        facts: dict[str, Any] = {"origin": origin, "written_ns": clock_ns()}
        if receipt is not None:
            facts["receipt"] = receipt.to_json()
        table = letters_to_table(key, letters, facts)
        out = pa.BufferOutputStream()
        pq.write_table(
            table, out, compression="zstd", use_dictionary=True, write_statistics=True, write_page_checksum=True
        )
        name = file_name(key, origin)
        with self._naming("written", self.path(name)), self.store.create(self.path(name), self._placing) as file:
            file.write(out.getvalue())
        return name

    def read(self, name: str) -> StoredLetters:
        """Read one file.

        Raises:
            StateError: the file does not exist, or is no file of dead letters.
        """
        table = self._table(name)
        try:
            key, letters = letters_of_table(table)
            facts = facts_of(table)
            receipt = Receipt.from_json(facts["receipt"]) if "receipt" in facts else None
            return StoredLetters(key, tuple(letters), facts["origin"], receipt, facts["written_ns"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(name, error) from error

    def head(self, name: str) -> tuple[ChunkKey, str]:
        """Return the key of the chunk that a file belongs to, and the letters' origin, without reading points."""
        try:
            with self._naming("read", self.path(name)), self.store.open(self.path(name)) as file:
                schema = pq.read_schema(file)
                return key_of(schema), str(facts_of(schema)["origin"])
        except (ValueError, KeyError, TypeError) as error:  # Arrow's errors are ValueErrors
            raise self._damaged(name, error) from error

    def key(self, name: str) -> ChunkKey:
        """Return the key of the chunk that a file belongs to, without reading points."""
        return self.head(name)[0]

    def remove(self, name: str) -> None:
        """Delete a file; a file that does not exist is no error."""
        with self._naming("deleted", self.path(name)), self._placing():
            self.store.delete(self.path(name))

    def keep_only(self, keys: Iterable[ChunkKey], origins: Sequence[str] = (WRITING,)) -> list[str]:
        """Delete the files of all other chunks, and return their names.

        Only the holder of the job's lease may call this. Letters of a chunk that no receipt names come from a run that died before
        it wrote the receipt. The window is read and written again, perhaps cut into other windows, and gets new dead letters then.

        Args:
            keys: of the receipts that count dead letters.
            origins: origins whose files may stay.
        """
        keep = {file_name(key, origin) for key in keys for origin in origins}
        stray = [name for name in self.names() if name not in keep]
        for name in stray:
            self.remove(name)
        return stray

    def count_by(self, column: Literal["reason", "source_id"]) -> dict[str, int]:
        """Count points by what stands in a column, the most frequent first; only that column is read."""
        counts: Counter[str] = Counter()
        for name in self.names():
            for found in self._table(name, [column])[column].value_counts().to_pylist():
                counts[found["values"]] += found["counts"]
        return dict(counts.most_common())

    def keeper(self) -> Callable[[Receipt, Sequence[DeadLetter]], None]:
        """Return a function that makes a written chunk's letters durable, or removes its earlier ones."""
        had = set(self.names())

        def keep(receipt: Receipt, letters: Sequence[DeadLetter]) -> None:
            if letters:
                self.put(receipt.key, letters, receipt=receipt)
            elif had and (name := file_name(receipt.key)) in had:
                self.remove(name)

        return keep

    @property
    def _placing(self) -> Placing:
        return nullcontext if self.fence is None else self.fence.placing

    def _table(self, name: str, columns: list[str] | None = None) -> Any:
        try:
            with self._naming("read", self.path(name)), self.store.open(self.path(name)) as file:
                return pq.read_table(pa.BufferReader(file.read()), columns=columns, page_checksum_verification=True)
        except pa.ArrowException as error:
            raise self._damaged(name, error) from error

    def _damaged(self, name: str, error: Exception) -> StateError:
        reason = " ".join(str(error).split())[:300]
        return StateError(
            f"{self.path(name)}: cannot be understood: {reason}; move the file away and go on without it: its points are "
            "then in no dead letter any more",
            path=self.path(name),
        )

    @contextmanager
    def _naming(self, done: str, path: str) -> Iterator[None]:
        try:
            yield
        except (OmniaBeamError, pa.ArrowException):
            raise
        except Exception as error:  # cloud libraries raise errors of any type
            raise state_error(path, done, error) from error


def file_name(key: ChunkKey, origin: str = WRITING) -> str:
    """Return the name of a chunk's file."""
    return f"{key.name}{_SUFFIX}" if origin == WRITING else f"{key.name}-{origin}{_SUFFIX}"


def is_of_origin(name: str, origin: str) -> bool:
    """Return whether a name is of a file whose letters come from the step before writing that `origin` names."""
    return name.endswith(f"-{origin}{_SUFFIX}")


def dead_letter_files(state_dir: StateDir) -> list[str]:
    """Return the whole paths of a job's files of dead letters."""
    files = DeadLetterFiles.of(state_dir)
    return [files.path(name) for name in files.names()]


def read_dead_letters(state_dir: StateDir) -> Iterator[DeadLetter]:
    """Yield all dead letters of a job, file by file.

    Raises:
        StateError: a file cannot be read.
    """
    files = DeadLetterFiles.of(state_dir)
    for name in files.names():
        yield from files.read(name).letters
