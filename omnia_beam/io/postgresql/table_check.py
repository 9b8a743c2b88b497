"""Compare a sink's table with the ledger: whether the recorded series are there, and how many of their rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from omnia_beam.core.receipt import Receipt
from omnia_beam.core.text import counted as number_of
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.destination import DestinationCheck, RunReach
from omnia_beam.io.postgresql.table import TableForm
from omnia_beam.ledger.facts import receipts_of_range
from omnia_beam.ledger.ledger import Ledger

if TYPE_CHECKING:
    import psycopg

_AT_ONCE: Final = 1_000
_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class _Part:
    """What one receipt records of one series."""

    key: ChunkKey
    count: int
    first_ns: int
    last_ns: int
    window: int


@dataclass
class _Series:
    """What the receipts record of one stored series.

    Args:
        source_id: the series of which it is the copy.
        parts: the windows with points.
        exact: whether all of the receipts count whole.
    """

    source_id: str
    parts: list[_Part] = field(default_factory=list)
    exact: bool = True

    @property
    def points(self) -> int:
        return sum(each.count for each in self.parts)


def check_table(
    ledger: Ledger,
    connection: psycopg.Connection[Any],
    place: str,
    form: TableForm,
    requested: RunReach,
    *,
    counted: bool,
) -> DestinationCheck:
    """Compare the table with the receipts: existence of each series, and counts if `counted`; a request a thousand series.

    Args:
        ledger: as it is now.
        connection: to the database.
        place: the database, for messages.
        form: of the table.
        requested: what the caller is responsible for.
        counted: whether to compare counts too.

    Raises:
        ServiceError: the database cannot be asked.
        StateError: the ledger cannot be read.
    """
    lost: dict[ChunkKey, int] = {}
    gone: list[str] = []
    less: list[str] = []
    more: list[str] = []
    for some in _batches(_recorded(ledger, requested).items(), _AT_ONCE):
        spans = [
            (id, min(p.first_ns for p in s.parts), max(p.last_ns for p in s.parts) + 1) for id, s in some if s.parts
        ]
        there = _counts(connection, form, spans, counted=counted)
        for (_, each), held in zip([one for one in some if one[1].parts], there, strict=True):
            if not held:
                gone.append(each.source_id)
                lost |= {part.key: part.window for part in each.parts}
            elif counted and each.exact and held != each.points:
                (more if held > each.points else less).append(f"{each.source_id} ({held:,} of {each.points:,} points)")
        if counted:
            lost |= _short_windows(connection, form, some, there)
    name = f"{place} {form.name}"
    texts = [
        f"{name}: {len(names):,} series {what}: {_named(names)}"
        for what, names in (("are gone", gone), ("hold less than was written", less))
        if names
    ]
    if lost and not texts:
        texts.append(f"{name}: {number_of(len(lost), 'window')} hold less than was written, such as {next(iter(lost))}")
    warnings = []
    if more:
        warnings.append(
            f"{name}: {len(more):,} series hold more points than this job has written: {_named(more)}; others write there too, or "
            "wrote there before"
        )
    return DestinationCheck(lost, tuple(texts), tuple(warnings))


def _recorded(ledger: Ledger, requested: RunReach) -> dict[str, _Series]:
    """Return what the receipts record, by stored id."""
    recorded: dict[str, _Series] = {}
    for each in receipts_of_range(ledger, requested.scope, requested.sink, requested.wanted):
        if not requested.concerns(each):
            continue
        receipt: Receipt = each.receipt
        for series in receipt.series:
            found = recorded.setdefault(series.target_id, _Series(series.series_id))
            found.exact &= each.whole
            if series.count and series.first_ns is not None and series.last_ns is not None and each.whole:
                part = _Part(receipt.key, series.count, series.first_ns, series.last_ns, receipt.count)
                found.parts.append(part)
    return recorded


def _short_windows(
    connection: psycopg.Connection[Any], form: TableForm, some: Sequence[tuple[str, _Series]], there: Sequence[int]
) -> dict[ChunkKey, int]:
    """Return the windows that hold less than was recorded, of the series whose sum is not what was recorded."""
    suspects = [
        (stored_id, part)
        for (stored_id, each), held in zip([one for one in some if one[1].parts], there, strict=True)
        if held and held != each.points
        for part in each.parts
    ]
    lost: dict[ChunkKey, int] = {}
    for few in _batches(suspects, _AT_ONCE):
        spans = [(stored_id, part.first_ns, part.last_ns + 1) for stored_id, part in few]
        held = _counts(connection, form, spans, counted=True)
        lost |= {part.key: part.window for (_, part), points in zip(few, held, strict=True) if points < part.count}
    return lost


def _counts(
    connection: psycopg.Connection[Any], form: TableForm, spans: Sequence[tuple[str, int, int]], *, counted: bool
) -> list[int]:
    """Return the number of rows of each series in its range, ns; 0 or 1 unless `counted`."""
    inner = f"select 1 from {form.name.sql_beside_parameters} t where t.series_id = w.id and t.time >= w.first and t.time < w.past"
    found = connection.execute(
        f"select w.at, c.n from unnest(%s::int[], %s::text[], %s::{form.time_type}[], %s::{form.time_type}[]) "
        f"as w(at, id, first, past) cross join lateral (select count(*) as n from ({inner}"
        f"{'' if counted else ' limit 1'}) as r) as c order by w.at",
        (
            list(range(len(spans))),
            [each for each, _, _ in spans],
            [form.bound(first) for _, first, _ in spans],
            [form.bound(past) for _, _, past in spans],
        ),
    )
    return [n for _, n in found]


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _named(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")
