"""Responses of the service before they are sent (status, headers and body), and the refusals among them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Final

import orjson

from omnia_beam.emulator.omnia.protobuf import Buffer

JSON: Final = "application/json"
PROTOBUF_TYPES: Final = ("application/protobuf", "application/x-google-protobuf", "application/x-protobuf")
"""The three media types that stand for protobuf in a request [sdk, wiki]."""

_LONGEST_MESSAGE: Final = 1_000
"""Characters that are kept of a message, which may repeat a value of a request, however long."""


@dataclass(frozen=True, slots=True)
class Answer:
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


def json_answer(content: Any, status: int = 200) -> Answer:
    """Return a response with this content as JSON."""
    return Answer(status, (orjson.dumps(content),))


def list_answer(items: list[Any], token: str | None = None, status: int = 200, **more: Any) -> Answer:
    """Return a response with a list of items, wrapped as the service wraps it."""
    body = {"data": {"items": items}, "count": len(items), "continuationToken": token}
    return json_answer(body | more, status)


def message_answer(status: int, message: str, trace_id: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return a response with the service's message body, which errors and writes share."""
    body = {"statusCode": status, "message": message[:_LONGEST_MESSAGE], "traceId": trace_id}
    return Answer(status, (orjson.dumps(body),), headers=dict(headers or {}))


def retry_after(kind: str, seconds: float) -> dict[str, str]:
    """Return the Retry-After header for this wait, as `seconds` or as an HTTP `date`; no header for `none`."""
    if kind == "none":
        return {}
    whole = max(1, -int(-seconds // 1))
    return {"Retry-After": str(whole) if kind == "seconds" else formatdate(time.time() + whole, usegmt=True)}
