"""The bodies of the service's responses: lists and messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from omnia_beam.emulator.common.serving.response import ServiceResponse, json_response

PROTOBUF_TYPES: Final = ("application/protobuf", "application/x-google-protobuf", "application/x-protobuf")
"""The three media types that stand for protobuf in a request [sdk, wiki]."""

_LONGEST_MESSAGE: Final = 1_000
"""Characters that are kept of a message, which may repeat a value of a request, however long."""


def list_response(items: list[Any], token: str | None = None, status: int = 200, **more: Any) -> ServiceResponse:
    """Return a response with a list of items, wrapped as the service wraps it."""
    body = {"data": {"items": items}, "count": len(items), "continuationToken": token}
    return json_response(body | more, status)


def message_response(
    status: int, message: str, trace_id: str, headers: Mapping[str, str] | None = None
) -> ServiceResponse:
    """Return a response with the service's message body, which errors and writes share."""
    body = {"statusCode": status, "message": message[:_LONGEST_MESSAGE], "traceId": trace_id}
    return ServiceResponse(status, (orjson.dumps(body),), headers=dict(headers or {}))
