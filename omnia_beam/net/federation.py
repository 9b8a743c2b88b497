"""Where the service looks for data: each source may answer differently, so it belongs in every key of a result. [sdk]"""

from __future__ import annotations

from typing import Final

from omnia_beam.core.errors import UsageError

FEDERATION_SOURCES: Final = ("IMS", "TSDB", "DataLake")
"""`IMS`: the live PI or IP.21 source. `TSDB`: the database. `DataLake`: two days behind it, may hold older data."""


def checked_federation_source(source: str | None) -> str | None:
    """The source as it is.

    Raises:
        UsageError: not one of the three.
    """
    if source is not None and source not in FEDERATION_SOURCES:
        raise UsageError(f"federation source {source!r}: choose {', '.join(FEDERATION_SOURCES)}, or none")
    return source
