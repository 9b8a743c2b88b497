"""What the service answers: a status, headers and a body, before anything is sent; and the refusals among them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Final

import orjson

from .protobuf import Buffer

JSON: Final = "application/json"
PROTOBUF_TYPES: Final = ("application/protobuf", "application/x-google-protobuf", "application/x-protobuf")
"""The three spellings that ask for protobuf [sdk, wiki]."""

_LONGEST_MESSAGE: Final = 1_000
"""Characters: a message may repeat a value of a request, whatever its size."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. The body is sent part by part, uncopied; `points` counts the rows in it."""

    status: int = 200
    parts: tuple[Buffer, ...] = ()
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    points: int = 0

    @property
    def size(self) -> int:
        """Bytes of body."""
        return sum(len(part) for part in self.parts)


class Refusal(Exception):
    """The service refuses: becomes an answer with the service's error body."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


def json_answer(content: Any, status: int = 200) -> Answer:
    """Any JSON content."""
    return Answer(status, (orjson.dumps(content),))


def list_answer(items: list[Any], token: str | None = None, status: int = 200, **more: Any) -> Answer:
    """A list of items as the service wraps it."""
    body = {"data": {"items": items}, "count": len(items), "continuationToken": token}
    return json_answer(body | more, status)


def message_answer(status: int, message: str, trace_id: str, headers: Mapping[str, str] | None = None) -> Answer:
    """The service's message body, which errors and writes share."""
    body = {"statusCode": status, "message": message[:_LONGEST_MESSAGE], "traceId": trace_id}
    return Answer(status, (orjson.dumps(body),), headers=dict(headers or {}))


def retry_after(kind: str, seconds: float) -> dict[str, str]:
    """The header that asks for this patience: `seconds`, an HTTP `date`, or `none`."""
    if kind == "none":
        return {}
    whole = max(1, -int(-seconds // 1))
    return {"Retry-After": str(whole) if kind == "seconds" else formatdate(time.time() + whole, usegmt=True)}
