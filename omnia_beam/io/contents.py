"""The interface of everything that a destination holds, whoever wrote it, read from beginning to end: for `profile`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from omnia_beam.io.point_block import PointBlock


@dataclass(frozen=True, slots=True)
class SeriesAbout:
    """Metadata of a series for people; empty where there is none."""

    name: str = ""
    unit: str = ""
    facility: str = ""
    description: str = ""


@dataclass(frozen=True)
class SeriesNames:
    """Metadata by stored id.

    Args:
        rows: what is known of each series.
        problems: what cannot be read of it, a text each.
    """

    rows: Mapping[str, SeriesAbout]
    problems: tuple[str, ...] = ()


class Contents(Protocol):
    """All points of a destination; they can be read several times."""

    @property
    def place(self) -> str:
        """Where they are, for people."""

    @property
    def parts(self) -> Sequence[str]:
        """Names of what is read one after the other, such as files, in the order of their time."""

    @property
    def noun(self) -> str:
        """What a part is, such as `file`."""

    @property
    def holds_statuses(self) -> bool:
        """Whether points come with their statuses."""

    @property
    def problems(self) -> Mapping[str, str]:
        """By part, what could not be read so far, a text each."""

    @property
    def parts_read(self) -> int:
        """Number of parts that the present pass has read."""

    @property
    def points_read(self) -> int:
        """Number of points that the present pass has read."""

    @property
    def warnings(self) -> Sequence[str]:
        """What has to be known of the parts, a text each."""

    def blocks(self) -> Iterator[PointBlock]:
        """Yield all points; what cannot be read is added to `problems`.

        Raises:
            DestinationError: nothing can be read at all.
        """

    def names(self) -> SeriesNames:
        """Return the names and units of the series."""
