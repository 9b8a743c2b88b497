"""The parts of a configuration that change the points that arrive: they form the key under which receipts are remembered.

Each part is a short readable text that stays the same as long as the points do. A run can therefore report which part of a
changed configuration makes it redo work; a changed credential, rate or page limit makes it redo none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from omnia_beam.config.job import JobConfig
from omnia_beam.config.kind import digest
from omnia_beam.config.mapping import MappingConfig
from omnia_beam.config.mapping_file import MappingRow, read_mapping_file

_ORDER: Final = ("source", "federation_source", "reading", "statuses", "mapping", "sink", "writing")
"""The parts that every scope has, in the order in which they are shown."""


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
    parts = {
        "federation_source": "not given",
        "statuses": "all",
        **config.source.identity(),
        "mapping": _mapping(config.mapping, rows) if config.mapping else "none",
        **config.sink.identity(),
    }
    return {name: parts[name] for name in (*_ORDER, *sorted(parts.keys() - set(_ORDER)))}


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
