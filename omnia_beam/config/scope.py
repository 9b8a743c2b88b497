"""The parts of a configuration that change the points that arrive: they form the key under which receipts are remembered.

Each part is a short readable text that stays the same as long as the points do. A run can therefore report which part of a
changed configuration makes it redo work; a changed credential, rate or page limit makes it redo none.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

from omnia_beam.config.connection import OmniaConnection
from omnia_beam.config.job import JobConfig
from omnia_beam.config.mapping import MappingConfig
from omnia_beam.config.mapping_file import MappingRow, read_mapping_file
from omnia_beam.config.sink import CsvSink, OmniaSink, Sink
from omnia_beam.config.source import CsvSource, OmniaSource, ParquetSource, Source
from omnia_beam.store.place import identity_of, is_remote


def scope_parts(config: JobConfig, rows: Sequence[MappingRow] | None = None) -> dict[str, str]:
    """Return the parts of the scope key, by name.

    Args:
        config: a job.
        rows: the rows of its mapping file, where the caller has them; otherwise the file is read.

    Returns:
        `source` (which service or files), `federation_source`, `reading` (how files are understood), `statuses` (the
        filter), `mapping` (a digest of rules and rows), `sink` (which place), `writing` (what is stored of points that the
        sink cannot hold). The selection of series and the window are not among them: receipts name those themselves.

    Raises:
        UsageError: the mapping file cannot be read.
    """
    source, sink = config.source, config.sink
    return {
        "source": _source_place(source),
        "federation_source": (source.federation_source if isinstance(source, OmniaSource) else None) or "not given",
        "reading": _reading(source),
        "statuses": ",".join(map(str, sorted(set(source.status)))) if source.status else "all",
        "mapping": _mapping(config.mapping, rows) if config.mapping else "none",
        "sink": _sink_place(sink),
        "writing": _writing(sink),
    }


def digest(data: Any) -> str:
    """Return 128 bits of SHA-256 over canonical JSON, as `sha256:` and 32 hex digits."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _source_place(source: Source) -> str:
    if isinstance(source, OmniaSource):
        return _service(source)
    return f"{source.kind} {' '.join(_place(path) for path in source.path)}"


def _sink_place(sink: Sink) -> str:
    if isinstance(sink, OmniaSink):
        return _service(sink)
    layout = f" {sink.layout} {sink.delimiter!r}" if isinstance(sink, CsvSink) else ""
    return f"{sink.kind}{layout} {_place(sink.path)}"


def _service(connection: OmniaConnection) -> str:
    return f"omnia {connection.environment or connection.base_url}"


def _place(path: str) -> str:
    """Return a local path made absolute, since its text in another directory is another place, and a remote one in one spelling."""
    return identity_of(path) if is_remote(path) else os.path.abspath(path)


def _reading(source: Source) -> str:
    """Return a digest of the keys that say how files are understood.

    Keys that have their default are left out: a key that a later version adds must not change the digest of a job without it.
    """
    if isinstance(source, CsvSource | ParquetSource):
        beside = {"kind", "path", "status", "include", "exclude"}
        return digest(source.model_dump(mode="json", exclude=beside, exclude_defaults=True))
    return "as served"


def _writing(sink: Sink) -> str:
    if not isinstance(sink, OmniaSink):
        return "as read"
    nan = f"as_bad_status({sink.bad_status},{sink.bad_value!r})" if sink.nan == "as_bad_status" else sink.nan
    return f"nan={nan} time_resolution={sink.time_resolution}"


def _mapping(mapping: MappingConfig, rows: Sequence[MappingRow] | None) -> str:
    if rows is None:
        rows = read_mapping_file(mapping.file, tuple(mapping.tables())) if mapping.file is not None else ()
    table = mapping.status_table()
    rules = {
        # on_unmapped is left out: it decides whether a series is copied, not what its copy holds.
        "by": [mapping.by, mapping.target_name, mapping.target_facility],
        "status": _pairs(table.items()) if table is not None else None,
        "unlisted": str(mapping.unlisted_status),
        "units": sorted([unit, rule.to, rule.scale, rule.offset] for unit, rule in mapping.units.items()),
        "rows": sorted(_row(row, mapping) for row in rows),
    }
    return f"{len(rows)} rows, {digest(rules)}"


def _row(row: MappingRow, mapping: MappingConfig) -> list[str]:
    # All parts are texts, since rows are sorted, and None and a number have no order.
    table = _pairs(mapping.tables()[row.status_map].items()) if row.status_map is not None else None
    parts = (
        row.source,
        row.target_name,
        row.target_facility,
        row.target_id,
        row.target_unit,
        row.scale,
        row.offset,
        table,
        *(() if row.source_unit is None else (row.source_unit,)),
    )
    return [json.dumps(part) for part in parts]


def _pairs(items: Iterable[tuple[int, int]]) -> list[list[int]]:
    return sorted([source, target] for source, target in items)
