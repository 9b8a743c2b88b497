"""A program with faults that type checkers must find: one on each line that says so."""

from __future__ import annotations

from omnia_beam import Chunk, OmniaClient, ReadFromOmnia, ServiceSettings, TimeRange, WriteToParquet

TimeRange.parse("2024-01-01")  # fault: no end
ServiceSettings(url="http://127.0.0.1/")  # fault: the argument is base_url
ReadFromOmnia("http://127.0.0.1/")  # fault: settings, not a URL
WriteToParquet(path=1)  # fault: a text
OmniaClient(base_url="http://127.0.0.1/", format="xml")  # fault: protobuf or json


def count(chunk: Chunk) -> str:
    return chunk.num_points  # fault: int
