"""omnia-beam: move industrial time series between historians, databases and files, fast and provably complete.

The names below are loaded when first used, so that those who only want the client do not wait for Apache Beam.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omnia_beam.core.chunk import Chunk as Chunk
    from omnia_beam.core.chunk import RawChunk as RawChunk
    from omnia_beam.core.time_range import TimeRange as TimeRange
    from omnia_beam.io.files.forms import FileSource as FileSource
    from omnia_beam.io.files.read import ReadFromFiles as ReadFromFiles
    from omnia_beam.io.files.write import WriteToCsv as WriteToCsv
    from omnia_beam.io.files.write import WriteToParquet as WriteToParquet
    from omnia_beam.io.omnia.read import ReadFromOmnia as ReadFromOmnia
    from omnia_beam.io.omnia.write import WriteToOmnia as WriteToOmnia
    from omnia_beam.net.api.client import OmniaClient as OmniaClient
    from omnia_beam.net.auth.credentials import CredentialSpec as CredentialSpec
    from omnia_beam.net.http.settings import ServiceSettings as ServiceSettings
    from omnia_beam.transforms.decode import DecodeChunks as DecodeChunks
    from omnia_beam.transforms.decode_events import DecodeEvents as DecodeEvents
    from omnia_beam.transforms.explode import ExplodeChunks as ExplodeChunks
    from omnia_beam.transforms.map_series import MapSeries as MapSeries
    from omnia_beam.transforms.series_rule import SeriesRule as SeriesRule

__version__ = "0.1.0"

_HOMES = {
    "Chunk": "omnia_beam.core.chunk",
    "RawChunk": "omnia_beam.core.chunk",
    "TimeRange": "omnia_beam.core.time_range",
    "CredentialSpec": "omnia_beam.net.auth.credentials",
    "OmniaClient": "omnia_beam.net.api.client",
    "DecodeChunks": "omnia_beam.transforms.decode",
    "DecodeEvents": "omnia_beam.transforms.decode_events",
    "ExplodeChunks": "omnia_beam.transforms.explode",
    "FileSource": "omnia_beam.io.files.forms",
    "MapSeries": "omnia_beam.transforms.map_series",
    "ReadFromFiles": "omnia_beam.io.files.read",
    "ReadFromOmnia": "omnia_beam.io.omnia.read",
    "SeriesRule": "omnia_beam.transforms.series_rule",
    "ServiceSettings": "omnia_beam.net.http.settings",
    "WriteToCsv": "omnia_beam.io.files.write",
    "WriteToOmnia": "omnia_beam.io.omnia.write",
    "WriteToParquet": "omnia_beam.io.files.write",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'omnia_beam' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
