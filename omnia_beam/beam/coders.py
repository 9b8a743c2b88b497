"""Encode chunks, receipts, failures, dead letters and shards so that they can cross a process boundary.

Each encoding is one JSON header line, then raw bytes. The header's `v` is the version of the format. A test pins the bytes, so
that elements in flight survive an upgrade.
"""

from __future__ import annotations

import json
from typing import Any

import apache_beam as beam
import pyarrow as pa

from omnia_beam.core.chunk import Chunk, RawChunk, RawPage
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.kept import KeptPoints
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.text import load_json
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.ledger.dead_letters import letters_of_table, letters_to_table
from omnia_beam.plan.plan import WindowShard

_VERSION = 1


class RawChunkCoder(beam.coders.Coder):
    """Coder of raw chunks: a header with the key and the page sizes, then the page bodies."""

    def encode(self, value: RawChunk) -> bytes:
        pages = [[page.query.start_ns, page.query.end_ns, len(page.body)] for page in value.pages]
        header = _header(key=_key_to_json(value.key), format=value.format, pages=pages)
        return b"".join([header, *(page.body for page in value.pages)])

    def decode(self, encoded: bytes) -> RawChunk:
        header, at = _read_header(encoded)
        pages = []
        for start, end, size in header["pages"]:
            pages.append(RawPage(TimeRange(start, end), encoded[at : at + size]))
            at += size
        if at != len(encoded):
            raise ValueError(f"a raw chunk of {at} bytes came in {len(encoded)}: it was cut or joined on its way")
        return RawChunk(_key_from_json(header["key"]), tuple(pages), header["format"])

    def estimate_size(self, value: RawChunk) -> int:
        return value.nbytes

    def is_deterministic(self) -> bool:
        return True

    def to_type_hint(self) -> type:
        return RawChunk


class ChunkCoder(beam.coders.Coder):
    """Coder of chunks: a header with the key, then the batch as an Arrow IPC stream."""

    def encode(self, value: Chunk) -> bytes:
        sink = pa.BufferOutputStream()
        sink.write(_header(key=_key_to_json(value.key), **_facts_to_json(value)))
        with pa.ipc.new_stream(sink, value.batch.schema) as writer:
            writer.write_batch(value.batch)
        encoded: bytes = sink.getvalue().to_pybytes()
        return encoded

    def decode(self, encoded: bytes) -> Chunk:
        header, at = _read_header(encoded)
        with pa.ipc.open_stream(pa.py_buffer(encoded).slice(at)) as reader:
            batch = reader.read_next_batch()
        kept = tuple(KeptPoints.from_json(each) for each in header.get("kept", ()))
        return Chunk(_key_from_json(header["key"]), batch, header.get("rejected", 0), kept)

    def estimate_size(self, value: Chunk) -> int:
        return value.nbytes

    def is_deterministic(self) -> bool:
        return True

    def to_type_hint(self) -> type:
        return Chunk


class _JsonCoder(beam.coders.Coder):
    """Base of the coders whose encoding is a header alone."""

    def is_deterministic(self) -> bool:
        return True


class ReceiptCoder(_JsonCoder):
    """Coder of receipts, as JSON."""

    def encode(self, value: Receipt) -> bytes:
        return _header(receipt=value.to_json())

    def decode(self, encoded: bytes) -> Receipt:
        return Receipt.from_json(_read_header(encoded)[0]["receipt"])

    def to_type_hint(self) -> type:
        return Receipt


class WindowFailureCoder(_JsonCoder):
    """Coder of failed windows, as JSON."""

    def encode(self, value: WindowFailure) -> bytes:
        return _header(key=_key_to_json(value.key), error=value.error, message=value.message)

    def decode(self, encoded: bytes) -> WindowFailure:
        header, _ = _read_header(encoded)
        return WindowFailure(_key_from_json(header["key"]), header["error"], header["message"])

    def to_type_hint(self) -> type:
        return WindowFailure


class WindowShardCoder(_JsonCoder):
    """Coder of shards, as JSON.

    Each group of ids stands there once and windows refer to it by number. What the ledger records of a window follows it, if
    anything.
    """

    def encode(self, value: WindowShard) -> bytes:
        groups: dict[tuple[str, ...], int] = {}
        rows = [
            [
                groups.setdefault(w.key.series_ids, len(groups)),
                *_range(w.key.range),
                w.expected_points,
                w.requests,
                *w.recorded,
            ]
            for w in value.windows
        ]
        return _header(groups=[list(group) for group in groups], windows=rows)

    def decode(self, encoded: bytes) -> WindowShard:
        header, _ = _read_header(encoded)
        groups = [tuple(group) for group in header["groups"]]
        return WindowShard(
            tuple(
                Window(ChunkKey(groups[group], TimeRange(start, end)), points, requests, tuple(recorded))
                for group, start, end, points, requests, *recorded in header["windows"]
            )
        )

    def to_type_hint(self) -> type:
        return WindowShard


def register_coders() -> None:
    """Register these coders with Beam for the types that flow; this runs once, when the module is imported."""
    for kind, coder in (
        (RawChunk, RawChunkCoder),
        (Chunk, ChunkCoder),
        (Receipt, ReceiptCoder),
        (WindowFailure, WindowFailureCoder),
        (WindowShard, WindowShardCoder),
    ):
        beam.coders.registry.register_coder(kind, coder)


def _header(**fields: Any) -> bytes:
    return json.dumps({"v": _VERSION, **fields}, separators=(",", ":")).encode() + b"\n"


def _read_header(encoded: bytes) -> tuple[dict[str, Any], int]:
    end = encoded.index(b"\n")
    header: dict[str, Any] = load_json(encoded[:end])
    if header.get("v") != _VERSION:
        raise ValueError(
            f"an element of version {header.get('v')}, this is version {_VERSION}: drain the job before upgrading"
        )
    return header, end + 1


def _facts_to_json(chunk: Chunk) -> dict[str, Any]:
    """Return the header fields that most chunks leave out: the number of rejected points and the points that were kept."""
    facts: dict[str, Any] = {}
    if chunk.rejected:
        facts["rejected"] = chunk.rejected
    if chunk.kept:
        facts["kept"] = [[*k.to_json(), k.stored] if k.stored is not None else k.to_json() for k in chunk.kept]
    return facts


def _range(item: TimeRange) -> tuple[int, int]:
    return item.start_ns, item.end_ns


def _key_to_json(key: ChunkKey) -> list[Any]:
    return [list(key.series_ids), *_range(key.range)]


def _key_from_json(data: list[Any]) -> ChunkKey:
    return ChunkKey(tuple(data[0]), TimeRange(data[1], data[2]))


register_coders()


class DeadLetterCoder(beam.coders.Coder):
    """Coder of one dead letter as an Arrow IPC stream; the version of the format is the table's."""

    def encode(self, value: DeadLetter) -> bytes:
        table = letters_to_table(value.key, [value])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        encoded: bytes = sink.getvalue().to_pybytes()
        return encoded

    def decode(self, encoded: bytes) -> DeadLetter:
        with pa.ipc.open_stream(pa.py_buffer(encoded)) as reader:
            _, letters = letters_of_table(reader.read_all())
        [letter] = letters
        return letter

    def estimate_size(self, value: DeadLetter) -> int:
        return 20 * value.count + 2_000

    def is_deterministic(self) -> bool:
        return True

    def to_type_hint(self) -> type:
        return DeadLetter


def register_coder() -> None:
    """Register this coder with Beam; this runs once, when the module is imported."""
    beam.coders.registry.register_coder(DeadLetter, DeadLetterCoder)


register_coder()
