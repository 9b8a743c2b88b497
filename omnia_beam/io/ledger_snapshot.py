"""A snapshot: many segments as one Parquet file, which loads a hundred times faster, and a manifest that makes it count.

    ledger/snapshot-RUN-NONCE.parquet     rows of `ledger_table.SCHEMA`
    ledger/snapshot-RUN-NONCE.json        the manifest: one line with its checksum, written after the Parquet file

A Parquet file without its manifest is what a crash left and counts for nothing. The manifest names the files whose
content the snapshot holds: they count no more, whether they are deleted yet or not. So at every moment between the
first byte and the last deletion the ledger says the same.
"""

from __future__ import annotations

import os
import re
from binascii import crc32
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from omnia_beam.core.errors import StateError
from omnia_beam.io.ledger_record import (
    FORMAT,
    UnknownVersionError,
    check_version,
    decode_line,
    encode_line,
    is_whole,
)
from omnia_beam.io.ledger_scope import Scope
from omnia_beam.io.ledger_table import SCHEMA
from omnia_beam.io.state_dir import StateDir, state_error

_TAG: Final = "omnia_beam_snapshot"
_MANIFEST = re.compile(r"snapshot-\d{8,}-[0-9a-z]+\.json", re.ASCII)
_DATA = re.compile(r"snapshot-\d{8,}-[0-9a-z]+\.parquet", re.ASCII)
_FOOTER_TAIL: Final = 8  # the footer's length and the magic bytes end a Parquet file
_GROUP_RECORDS: Final = 32_768
_GROUP_BYTES: Final = 8 << 20
_BATCH_RECORDS: Final = 8_192


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A manifest.

    Args:
        stem: of both file names.
        job: the job's name.
        run: that made it.
        size: of the Parquet file, bytes.
        footer_crc: CRC-32 of the Parquet file's footer; the pages have checksums of their own.
        records: rows.
        scopes: of all records.
        includes: files of `ledger/` that count no more.
        created: RFC 3339, for people.
    """

    stem: str
    job: str
    run: int
    size: int
    footer_crc: int
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
    return _MANIFEST.fullmatch(file_name) is not None


def is_snapshot_data(file_name: str) -> bool:
    return _DATA.fullmatch(file_name) is not None


def read_manifest(state_dir: StateDir, file_name: str) -> Snapshot | None:
    """A manifest; None where its writing was torn off, so that nothing it includes was deleted yet.

    Raises:
        FileNotFoundError: it is gone.
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
            footer_crc=int(data["footer_crc"]),
            records=int(data["records"]),
            scopes=tuple(Scope.of(parts) for parts in data["scopes"]),
            includes=tuple(data["includes"]),
            created=data["created"],
        )
    except UnknownVersionError as error:
        raise StateError(f"{path}: {error}", path=path) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"{error}") from error


def snapshot_batches(state_dir: StateDir, snapshot: Snapshot, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """The snapshot's rows as batches of SCHEMA, or of some of its columns.

    Raises:
        FileNotFoundError: it is gone.
        StateError: it is damaged.
    """
    path = state_dir.path(f"ledger/{snapshot.data_name}")
    with state_dir.open_file(f"ledger/{snapshot.data_name}") as file:
        try:
            _check_footer(file, snapshot)
            parquet = pq.ParquetFile(file, page_checksum_verification=True)
            records = 0
            for group in range(parquet.metadata.num_row_groups):  # one at a time: they are cut by size
                for batch in parquet.iter_batches(_BATCH_RECORDS, [group], columns, use_threads=False):
                    records += batch.num_rows
                    yield batch
        except (pa.ArrowException, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise state_error(path, "read", error) from error
            raise _damaged(path, " ".join(f"{error}".split())[:300]) from error
    if records != snapshot.records:
        raise _damaged(path, f"{records} records instead of {snapshot.records}")


def write_snapshot(
    state_dir: StateDir,
    stem: str,
    run: int,
    batches: Iterable[Any],
    *,
    scopes: Mapping[str, Scope],
    includes: Sequence[str],
    created: str,
) -> Snapshot:
    """Write a snapshot's rows, check them, and then make them count with the manifest. Deletes nothing.

    Args:
        stem: `snapshot-RUN-NONCE`.
        batches: of SCHEMA.
        scopes: by digest, those of all batches at least.

    Raises:
        StateError: it cannot be written, or does not read back; the ledger says what it said before.
    """
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
    with state_dir.open_file(f"ledger/{stem}.parquet") as file:
        size, footer_crc = _footer(file)
        rows = pq.ParquetFile(file).metadata.num_rows
    if rows != records:
        raise _damaged(state_dir.path(f"ledger/{stem}.parquet"), f"{rows} records read back instead of {records}")
    snapshot = Snapshot(
        stem, state_dir.job_name, run, size, footer_crc, records, tuple(scopes.values()), tuple(includes), created
    )
    state_dir.write(f"ledger/{snapshot.manifest_name}", _manifest_line(snapshot))
    return snapshot


def _manifest_line(snapshot: Snapshot) -> bytes:
    return encode_line(
        {
            _TAG: FORMAT,
            "job": snapshot.job,
            "run": snapshot.run,
            "size": snapshot.size,
            "footer_crc": snapshot.footer_crc,
            "records": snapshot.records,
            "scopes": [dict(scope.parts) for scope in snapshot.scopes],
            "includes": snapshot.includes,
            "created": snapshot.created,
        }
    )


def _groups(batches: Iterable[Any]) -> Iterator[Any]:
    """Batches joined to row groups of a good size."""
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


def _check_footer(file: BinaryIO, snapshot: Snapshot) -> None:
    size, footer_crc = _footer(file)
    if size != snapshot.size:
        raise ValueError(f"{size} bytes instead of {snapshot.size}")
    if footer_crc != snapshot.footer_crc:
        raise ValueError("the footer's checksum does not fit its content")


def _footer(file: BinaryIO) -> tuple[int, int]:
    """The file's size in bytes, and the CRC-32 of its Parquet footer."""
    size = file.seek(0, os.SEEK_END)
    if size < _FOOTER_TAIL:
        raise ValueError(f"{size} bytes are no Parquet file")
    file.seek(size - _FOOTER_TAIL)
    length = int.from_bytes(file.read(4), "little")
    if length + _FOOTER_TAIL > size:
        raise ValueError("the footer is longer than the file")
    file.seek(size - _FOOTER_TAIL - length)
    crc = crc32(file.read(length + _FOOTER_TAIL))
    file.seek(0)
    return size, crc


def _damaged(path: str, what: str) -> StateError:
    return StateError(
        f"{path}: damaged: {what}. Put the file back from a copy, or delete it and its "
        f"{'.parquet' if path.endswith('.json') else '.json'}: all that they record is then read again. "
        "Run verify afterwards",
        path=path,
    )
