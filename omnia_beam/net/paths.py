"""Paths below a service's base URL, made of segments that can only mean what they say."""

from __future__ import annotations

from urllib.parse import quote

from omnia_beam.core.errors import UsageError


def path_of(*segments: str) -> str:
    """`a/b/c` with every segment percent-encoded, so that no id can reach another path.

    Raises:
        UsageError: an empty segment, `.` or `..`: HTTP clients would resolve those away, and an id that is missing
            would turn one series' path into all series'.
    """
    for segment in segments:
        if not isinstance(segment, str) or segment.strip() in ("", ".", ".."):
            raise UsageError(f"{segment!r} cannot be part of a path to the service: is an id empty?")
    return "/".join(quote(segment, safe="") for segment in segments)
