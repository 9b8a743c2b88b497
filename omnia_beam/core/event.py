"""Event messages that could not be read: kept whole, with the reason."""

from __future__ import annotations

from typing import NamedTuple


class BadEvent(NamedTuple):
    """A message that could not be decoded; none of its points went on, so that it can be mended and sent again.

    A NamedTuple of plain types, so that any of Beam's sinks can store it.

    Args:
        message: as it came, in UTF-8 where it was text.
        error: the error class's name.
        reason: what is wrong, and where in the message, for people.
    """

    message: bytes
    error: str
    reason: str
