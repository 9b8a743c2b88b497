"""Build paths below a service's base URL from segments that cannot change its meaning, and check that ids occur only once."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from omnia_beam.core.errors import UsageError
from omnia_beam.core.series_id import canonical_id, id_key


def path_of(*segments: str) -> str:
    """Return `a/b/c` with every segment percent-encoded and ids in the service's spelling; no id can reach another path.

    Raises:
        UsageError: a segment is empty, `.` or `..`. HTTP clients would resolve those, and a missing id
            would turn one series' path into the path of all series.
    """
    for segment in segments:
        if not isinstance(segment, str) or segment.strip() in ("", ".", ".."):
            raise UsageError(f"{segment!r} cannot be part of a path to the service: is an id empty?")
    return "/".join(quote(canonical_id(segment), safe="") for segment in segments)


def check_each_once(series_ids: Iterable[str]) -> None:
    """Check that no series is named twice; the service treats ids in capitals and in small letters as the same.

    Raises:
        UsageError: names the series, in both spellings where they differ.
    """
    first: dict[str, str] = {}
    for series_id in series_ids:
        folded = id_key(series_id)
        if folded not in first:
            first[folded] = series_id
            continue
        before = first[folded]
        spelt = (
            "" if before == series_id else f", as {before} and as {series_id}, which the service takes for the same id"
        )
        raise UsageError(f"series {series_id} is named twice{spelt}: keep one of the two")
