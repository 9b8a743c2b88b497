"""Convert dead letters of one chunk to an Arrow table and back: the format of their files, and between processes.

A row is a point. Columns: source_id, target_id, reason, trace_id (texts), time (ns, UTC), value (double, all 64 bits kept),
status (uint32), http_status (int32), first_attempt, last_attempt (ns, UTC), window_start, window_end (ns, UTC). trace_id,
http_status and the attempts are null where there are none. The schema's metadata holds the chunk's whole key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from omnia_beam.core.chunk import Points
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.json_text import load_json
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey

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
    return pa.table(columns, SCHEMA.with_metadata(metadata))


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
        columns["time"].cast(pa.int64()).to_numpy(), columns["value"].to_numpy(), columns["status"].to_numpy()
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
