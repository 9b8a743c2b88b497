"""The rows that one series contributes to one page: a time column and any named value columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray

from omnia_beam.emulator.common.points import Points, Times

Kind: TypeAlias = Literal["int64", "double", "uint32", "uint64"]
"""The member of the protobuf oneof that holds a column's values."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One named column; `kind` is the type in which its values are written."""

    name: str
    kind: Kind
    values: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of one series in one page. `total` counts the rows of the whole query; `labels` are more JSON members."""

    series_id: str
    total: int
    times: Times
    columns: tuple[Column, ...]
    labels: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.times)


def raw_rows(series_id: str, total: int, points: Points, labels: dict[str, Any] | None = None) -> Rows:
    """Return raw points as the columns `value` and `status`."""
    columns = (Column("value", "double", points.values), Column("status", "uint32", points.statuses))
    return Rows(series_id, total, points.times, columns, labels)
