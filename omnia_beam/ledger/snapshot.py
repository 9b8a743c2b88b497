"""Read and write snapshots: many segments as one Parquet file, which loads a hundred times faster, and its manifest.

    ledger/snapshot-RUN-NONCE.parquet     rows of `ledger_table.SCHEMA`
    ledger/snapshot-RUN-NONCE.json        the manifest: one line with its checksum, written after the Parquet file

A Parquet file without its manifest was left by a crash and does not count. The manifest names the files whose content the
snapshot holds: they no longer count, whether they are deleted yet or not. So at every moment between the first byte and the
last deletion the ledger has the same meaning.
"""

from __future__ import annotations

import re
from binascii import crc32
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from omnia_beam.core.errors import StateError
from omnia_beam.ledger.record import (
    FORMAT,
    Scope,
    UnknownVersionError,
    check_version,
    decode_line,
    encode_line,
    is_whole,
)
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.table import SCHEMA
from omnia_beam.store import ChangedMeanwhile, Placing

_TAG: Final = "omnia_beam_snapshot"
_MANIFEST = re.compile(r"snapshot-\d{8,}-[0-9a-z]+\.json", re.ASCII)
_DATA = re.compile(r"snapshot-\d{8,}-[0-9a-z]+\.parquet", re.ASCII)
_READ_BYTES: Final = 1 << 20
_GROUP_RECORDS: Final = 16_384
_GROUP_BYTES: Final = 4 << 20
_BATCH_RECORDS: Final = 8_192


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The content of a manifest.

    Args:
        stem: common part of both file names.
        job: the job's name.
        run: number of the run that made it.
        size: size of the Parquet file, bytes.
        data_crc: CRC-32 of the Parquet file.
        records: number of rows.
        scopes: the scopes of all records.
        includes: names of the files of `ledger/` that no longer count.
        created: RFC 3339; only for people who read the file.
    """

    stem: str
    job: str
    run: int
    size: int
    data_crc: int
    records: int
    scopes: tuple[Scope, ...]
    includes: tuple[str, ...]
    created: str

    @property
    def data_name(self) -> str:
        return f"{self.stem}.parquet"

    @property
    def manifest_name(self) -> str:
        return f"{self.stem}.json"


def is_manifest(file_name: str) -> bool:
    """Return whether a file of the ledger's folder is a snapshot's manifest, by its name."""
    return _MANIFEST.fullmatch(file_name) is not None


def is_snapshot_data(file_name: str) -> bool:
    """Return whether a file of the ledger's folder is a snapshot's data, by its name."""
    return _DATA.fullmatch(file_name) is not None


def is_unfinished(state_dir: StateDir, file_name: str) -> bool:
    """Return whether a manifest is one that was never finished; one that does not exist is not."""
    text = state_dir.read(f"ledger/{file_name}")
    return text is not None and not text.endswith(b"\n") and not is_whole(text)


def read_manifest(state_dir: StateDir, file_name: str) -> Snapshot | None:
    """Return a manifest; None where it was torn off while it was written, so that nothing it includes was deleted yet.

    Raises:
        FileNotFoundError: the file does not exist.
        StateError: it is damaged, or of an unknown version.
    """
    path = state_dir.path(f"ledger/{file_name}")
    text = state_dir.read(f"ledger/{file_name}")
    if text is None:
        raise FileNotFoundError(path)
    if not text.endswith(b"\n") and not is_whole(text):
        return None
    try:
        data = decode_line(text.rstrip(b"\n"))
        check_version(data, _TAG)
        return Snapshot(
            stem=file_name.removesuffix(".json"),
            job=data["job"],
            run=int(data["run"]),
            size=int(data["size"]),
            data_crc=int(data["data_crc"]),
            records=int(data["records"]),
            scopes=tuple(Scope.of(parts) for parts in data["scopes"]),
            includes=tuple(data["includes"]),
            created=data["created"],
        )
    except UnknownVersionError as error:
        raise StateError(f"{path}: {error}", path=path) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"{error}") from error


def check_snapshot(state_dir: StateDir, snapshot: Snapshot) -> None:
    """Check all bytes of the Parquet file against their checksum, since Parquet's own checksums leave its page headers out.

    Raises:
        FileNotFoundError: the file does not exist.
        StateError: it is damaged.
    """
    name = f"ledger/{snapshot.data_name}"
    with state_dir.open_file(name) as file, state_dir.naming("read", name):
        size, crc = _checksum(file)
    if (size, crc) != (snapshot.size, snapshot.data_crc):
        raise _damaged(
            state_dir.path(name), f"{size} bytes with CRC {crc:08x}, not {snapshot.size} with {snapshot.data_crc:08x}"
        )


def snapshot_batches(state_dir: StateDir, snapshot: Snapshot, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """Yield the snapshot's rows as batches of SCHEMA, or of some of its columns.

    Raises:
        FileNotFoundError: the file does not exist.
        StateError: it cannot be read.
    """
    name = f"ledger/{snapshot.data_name}"
    with state_dir.open_file(name) as file:
        with state_dir.naming("read", name):
            parquet = pq.ParquetFile(file, page_checksum_verification=True)
        for group in range(parquet.metadata.num_row_groups):  # one at a time bounds memory: groups are cut by size
            batches = parquet.iter_batches(_BATCH_RECORDS, [group], columns, use_threads=False)
            while True:
                with state_dir.naming("read", name):
                    batch = next(batches, None)
                if batch is None:
                    break
                yield batch


def write_snapshot(
    state_dir: StateDir,
    stem: str,
    run: int,
    batches: Iterable[Any],
    *,
    scopes: Mapping[str, Scope],
    includes: Sequence[str],
    created: str,
    placing: Placing = nullcontext,
) -> Snapshot:
    """Write a snapshot's rows, check them, and then make them count by writing the manifest. Deletes nothing.

    An empty manifest comes first, which counts for nothing, and the whole one takes its place. A run that takes over meanwhile
    deletes the empty one before the rows: so a driver that wakes up later cannot write a manifest whose rows are gone.

    Args:
        placing: wraps the step in which the manifest counts, and raises where the lease is lost.
        stem: `snapshot-RUN-NONCE`.
        batches: of SCHEMA.
        scopes: scopes by digest, at least those of all batches.

    Raises:
        StateError: it cannot be written, or does not read back; the ledger's meaning is unchanged.
    """
    manifest = f"ledger/{stem}.json"
    version = state_dir.replace(manifest, b"", None)
    records = 0
    with (
        state_dir.create(f"ledger/{stem}.parquet") as out,
        pq.ParquetWriter(
            out,
            SCHEMA,
            compression="zstd",
            use_dictionary=["writer", "scope", "sink", "series.list.element"],
            write_statistics=False,
            write_page_checksum=True,
        ) as writer,
    ):
        for group in _groups(batches):
            records += group.num_rows
            writer.write_table(group, row_group_size=_GROUP_RECORDS)
            del group
            pa.default_memory_pool().release_unused()  # 35 MB less at the peak of a million records
    try:
        with state_dir.open_file(f"ledger/{stem}.parquet") as file, state_dir.naming("read", f"ledger/{stem}.parquet"):
            size, crc = _checksum(file)
            rows = pq.ParquetFile(file).metadata.num_rows
    except FileNotFoundError as error:
        raise _removed(state_dir.path(f"ledger/{stem}.parquet")) from error
    if rows != records:
        raise _damaged(state_dir.path(f"ledger/{stem}.parquet"), f"{rows} records read back instead of {records}")
    snapshot = Snapshot(
        stem, state_dir.job_name, run, size, crc, records, tuple(scopes.values()), tuple(includes), created
    )
    line = _manifest_line(snapshot)
    try:
        with placing():
            state_dir.replace(manifest, line, version)
    except ChangedMeanwhile as error:
        raise _removed(state_dir.path(manifest)) from error
    return snapshot


def _manifest_line(snapshot: Snapshot) -> bytes:
    return encode_line(
        {
            _TAG: FORMAT,
            "job": snapshot.job,
            "run": snapshot.run,
            "size": snapshot.size,
            "data_crc": snapshot.data_crc,
            "records": snapshot.records,
            "scopes": [dict(scope.parts) for scope in snapshot.scopes],
            "includes": snapshot.includes,
            "created": snapshot.created,
        }
    )


def _groups(batches: Iterable[Any]) -> Iterator[Any]:
    """Yield batches joined to row groups of a suitable size."""
    held: list[Any] = []
    records = size = 0
    for batch in batches:
        held.append(batch)
        records += batch.num_rows
        size += batch.nbytes
        if records >= _GROUP_RECORDS or size >= _GROUP_BYTES:
            yield _one_table(held)
            held, records, size = [], 0, 0
    if held:
        yield _one_table(held)


def _one_table(batches: list[Any]) -> Any:
    # Every batch has dictionaries of its own.
    return pa.Table.from_batches(batches, SCHEMA).unify_dictionaries().combine_chunks()


def _checksum(file: BinaryIO) -> tuple[int, int]:
    """Return the number and the CRC-32 of all bytes, and rewind the file."""
    size = crc = 0
    while block := file.read(_READ_BYTES):
        size += len(block)
        crc = crc32(block, crc)
    file.seek(0)
    return size, crc


def _removed(path: str) -> StateError:
    return StateError(
        f"{path}: another run has taken over and removed it: nothing of the ledger has changed", path=path
    )


def _damaged(path: str, what: str) -> StateError:
    return StateError(
        f"{path}: damaged: {what}. Restore the file from a copy, or delete it and its "
        f"{'.parquet' if path.endswith('.json') else '.json'}: all that they record is then read again. "
        "Run verify afterwards",
        path=path,
    )
