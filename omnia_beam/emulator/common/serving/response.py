"""Responses before they are sent (status, headers and body), and the refusals among them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Final, TypeAlias

import orjson

Buffer: TypeAlias = bytes | memoryview
"""A part of a body."""

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class ServiceResponse:
    """One response. The body is sent part by part without copying; `points` counts the rows in it."""

    status: int = 200
    parts: tuple[Buffer, ...] = ()
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    points: int = 0

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return sum(len(part) for part in self.parts)


class Refusal(Exception):
    """A refusal of the service; it becomes a response with the service's error body."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


def json_response(content: Any, status: int = 200) -> ServiceResponse:
    """Return a response with this content as JSON."""
    return ServiceResponse(status, (orjson.dumps(content),))


def retry_after(kind: str, seconds: float) -> dict[str, str]:
    """Return the Retry-After header for this wait, as `seconds` or as an HTTP `date`; no header for `none`."""
    if kind == "none":
        return {}
    whole = max(1, -int(-seconds // 1))
    return {"Retry-After": str(whole) if kind == "seconds" else formatdate(time.time() + whole, usegmt=True)}
