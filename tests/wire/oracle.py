"""What a page says, by google.protobuf and plain Python: slow, obvious, and independent of the product."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from omnia_beam.wire.page import Page
from tests.wire import timeseries_pb2

ACCEPTED = {"time": ("int64", "uint64", "uint32"), "status": ("int64", "uint64", "uint32"), "value": ("double",)}
EMPTY = {"time": "int64", "status": "uint32"}


class RefusedError(Exception):
    """The page must be refused."""


@dataclass
class Expected:
    """Per item: id, total count, and name -> (dtype, bytes of the column)."""

    items: list[tuple[str, int, dict[str, tuple[str, bytes]]]]
    token: str | None


def parse(data: bytes) -> Any:
    try:
        return timeseries_pb2.CompactDatapointsDto.FromString(data)
    except DecodeError as error:
        raise RefusedError(f"google.protobuf: {error}") from None


def expected(data: bytes) -> Expected:
    """Read a page by the rules of the product's documentation. Raises RefusedError."""
    message = parse(data)
    items = [(item.id, item.totalCount, columns(list(item.fields), list(item.values))) for item in message.data]
    return Expected(items, message.continuationToken or None)


def columns(names: list[str], values: list[Any]) -> dict[str, tuple[str, bytes]]:
    for value in values:
        if value.WhichOneof("value") is None:
            raise RefusedError("a value without a member")
    if len(set(names)) < len(names):
        raise RefusedError("a column named twice")
    if values and (not names or len(values) % len(names)):
        raise RefusedError("ragged")
    return {name: column(name, values[nth :: len(names)]) for nth, name in enumerate(names)}


def column(name: str, values: list[Any]) -> tuple[str, bytes]:
    kinds = [value.WhichOneof("value") for value in values]
    if not kinds:
        return EMPTY.get(name, "float64"), b""
    if any(kind not in ACCEPTED.get(name, (kinds[0],)) for kind in kinds):
        raise RefusedError(f"column {name} of kinds {set(kinds)}")
    numbers = [getattr(value, kind) for value, kind in zip(values, kinds, strict=True)]
    if name == "time" and max(numbers) >= 2**63:
        raise RefusedError("a time above int64")
    if name == "status" and not 0 <= min(numbers) <= max(numbers) < 2**32:
        raise RefusedError("a status beyond uint32")
    dtype = {"time": "int64", "status": "uint32"}.get(name, "float64" if kinds[0] == "double" else kinds[0])
    code = {"int64": "q", "uint32": "I", "uint64": "Q", "float64": "d"}[dtype]
    return dtype, struct.pack(f"<{len(numbers)}{code}", *numbers)


def as_expected(page: Page) -> Expected:
    """Bring the product's page into the same shape, checking what every page must hold to."""
    items = []
    for item in page.items:
        assert item.times is item.columns.get("time")
        assert item.values is item.columns.get("value")
        assert item.statuses is item.columns.get("status")
        assert all(column.ndim == 1 and len(column) == item.n_points for column in item.columns.values())
        found = {name: (np.dtype(values.dtype).name, values.tobytes()) for name, values in item.columns.items()}
        assert isinstance(item.total_count, int)
        items.append((item.series_id, item.total_count, found))
    return Expected(items, page.continuation_token)
