"""Keep one id for each series, however it is spelled in the configuration or in the ledger.

Ids are brought to the service's spelling where they are selected. What an earlier release recorded in capitals keeps that
spelling, in the ledger as in the files of the destination, and its series continues under it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from omnia_beam.config import read_ids_file
from omnia_beam.core.series_id import canonical_id
from omnia_beam.io.omnia.options import SeriesSelection
from omnia_beam.ledger.ledger import Ledger


def as_recorded(ledger: Ledger, series_ids: Collection[str]) -> tuple[str, ...]:
    """Return ids in the spelling in which the ledger records them, otherwise in the service's; ascending.

    Where a series is recorded in the service's spelling and in another one, it continues in the service's.
    """
    wanted = {canonical_id(series_id) for series_id in series_ids}
    recorded = _standing(ledger)
    for spelled in sorted(recorded):
        series_id = canonical_id(spelled)
        if spelled != series_id and series_id in wanted and series_id not in recorded:
            wanted.remove(series_id)
            wanted.add(spelled)
    return tuple(sorted(wanted))


def named_in_two_spellings(selection: SeriesSelection) -> list[str]:
    """Return a warning for each id that a selection spells in two ways."""
    first: dict[str, str] = {}
    texts: dict[str, str] = {}
    for named in named_ids(selection):
        series_id = canonical_id(named)
        if first.setdefault(series_id, named) != named:
            texts.setdefault(
                series_id, f"source.series: {first[series_id]} and {named} are one series, which is read once"
            )
    return list(texts.values())


def named_ids(selection: SeriesSelection) -> Iterable[str]:
    """Yield the ids that a selection names, as they are spelled there.

    Raises:
        UsageError: the file of ids cannot be read.
    """
    yield from selection.ids or ()
    if selection.ids_file is not None:
        yield from read_ids_file(selection.ids_file).ids


def _standing(ledger: Ledger) -> set[str]:
    index = ledger.index
    return set(index.ids_of(index.series[index.standing.row]))
