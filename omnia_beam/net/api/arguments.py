"""Check what callers of the client pass, before any request: one clear error for each usual mistake."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from omnia_beam.core.errors import UsageError
from omnia_beam.core.limits import MAX_STATUS


def checked_ids(series: Any, name: str = "series") -> list[Any]:
    """Return ids, or what stands for series otherwise, as a list.

    Args:
        series: as the caller gave it.
        name: of the argument, for the message.

    Raises:
        UsageError: it is a single text, which would be taken for its characters, or no iterable at all.
    """
    if isinstance(series, str | bytes):
        raise UsageError(f"{name} is the one text {series!r}: give a list of ids, [{series!r}]")
    if not isinstance(series, Iterable):
        raise UsageError(f"{name} is {series!r}: give a list of ids")
    return list(series)


def checked_statuses(status: Any) -> tuple[int, ...]:
    """Return statuses as a tuple.

    Raises:
        UsageError: it is no list of whole numbers that a status can be.
    """
    if isinstance(status, int | str | bytes) or not isinstance(status, Iterable):
        raise UsageError(f"status is {status!r}: give a list of numbers, such as [192]")
    found = tuple(status)
    for each in found:
        if isinstance(each, bool) or not hasattr(each, "__index__") or not 0 <= int(each) <= MAX_STATUS:
            raise UsageError(f"status: {each!r} is not a status: whole numbers from 0 to {MAX_STATUS}, such as 192")
    return tuple(int(each) for each in found)


def checked_limit(limit: Any) -> int | None:
    """Return a number of points, or None for all.

    Raises:
        UsageError: it is no whole number of at least 1.
    """
    if limit is None:
        return None
    if isinstance(limit, bool) or not hasattr(limit, "__index__"):
        raise UsageError(f"limit is {limit!r}: give a whole number, or None for all points")
    if int(limit) < 1:
        raise UsageError(f"limit is {limit}: at least 1, or None for all points")
    return int(limit)


def status_params(status: Sequence[int]) -> list[tuple[str, str]]:
    """Return the parameters of a request that name statuses; raises what `checked_statuses` raises."""
    return [("status", str(each)) for each in checked_statuses(status)]
