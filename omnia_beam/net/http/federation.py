"""The sources in which the service looks for data. [sdk]

Each source may respond differently, so it belongs in every key of a result.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from omnia_beam.core.errors import UsageError

FederationSource = Literal["IMS", "TSDB", "DataLake"]
"""`IMS` is the live PI or IP.21 source, `TSDB` the database; `DataLake` is two days behind it and may hold older data."""

FEDERATION_SOURCES: Final[tuple[str, ...]] = get_args(FederationSource)


def checked_federation_source(source: str | None) -> str | None:
    """Return the source unchanged.

    Raises:
        UsageError: it is not one of the three.
    """
    if source is not None and source not in FEDERATION_SOURCES:
        raise UsageError(f"federation source {source!r}: choose {', '.join(FEDERATION_SOURCES)}, or none")
    return source
