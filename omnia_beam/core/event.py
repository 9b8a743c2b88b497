"""Event messages that could not be read, kept whole with the reason."""

from __future__ import annotations

from typing import NamedTuple


class BadEvent(NamedTuple):
    """A message that could not be decoded. None of its points was passed on, so that it can be repaired and sent again.

    It is a NamedTuple of plain types, so that any of Beam's sinks can store it.

    Args:
        message: the bytes as received; a message that was text is encoded as UTF-8.
        error: the error class's name.
        reason: what is wrong, and where in the message, for people.
    """

    message: bytes
    error: str
    reason: str
