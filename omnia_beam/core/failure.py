"""The record of a window that could not be moved."""

from __future__ import annotations

from dataclasses import dataclass

from omnia_beam.core.redaction import redact
from omnia_beam.core.window import ChunkKey


@dataclass(frozen=True, slots=True)
class WindowFailure:
    """A window that could not be moved. It is reported, left out of the ledger, and tried again by the next run.

    Args:
        key: the series and the range.
        error: the error class's name.
        message: what happened, for people.
    """

    key: ChunkKey
    error: str
    message: str

    @classmethod
    def of(cls, key: ChunkKey, error: Exception) -> WindowFailure:
        return cls(key, type(error).__name__, redact(str(error)))

    def to_json(self) -> dict[str, object]:
        """Return plain data for a report."""
        return {
            "series": list(self.key.series_ids),
            "start_ns": self.key.range.start_ns,
            "end_ns": self.key.range.end_ns,
            "error": self.error,
            "message": self.message,
        }
