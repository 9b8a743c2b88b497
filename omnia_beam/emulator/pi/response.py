"""The bodies of the service's responses: fields selected by the client, lists with links, errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

import orjson

from omnia_beam.emulator.common.serving.response import ServiceResponse

JSON: Final = "application/json; charset=utf-8"
Fields: TypeAlias = dict[str, "Fields"]
"""The selected fields as a tree of names in lower case; an empty tree selects everything below."""

_LONGEST_MESSAGE: Final = 1_000


def read_fields(text: str | None) -> Fields:
    """Return the tree of a `selectedFields` such as `Links;Items.Timestamp;Items.Value`."""
    tree: Fields = {}
    for path in (text or "").split(";"):
        below, names = tree, [name.strip().lower() for name in path.split(".") if name.strip()]
        for depth, name in enumerate(names):
            known = name in below
            if known and not below[name]:
                break  # a shorter path selects everything below already
            below = below.setdefault(name, {})
            if depth == len(names) - 1:
                below.clear()
    return tree


def selected(content: Any, fields: Fields) -> Any:
    """Return the content with the selected fields alone; lists are looked through, what is not asked for is left out."""
    if not fields:
        return content
    if isinstance(content, list):
        return [selected(each, fields) for each in content]
    if isinstance(content, dict):
        return {
            name: selected(value, fields[name.lower()]) for name, value in content.items() if name.lower() in fields
        }
    return content


def content_response(content: Any, fields: Fields | None = None, status: int = 200, points: int = 0) -> ServiceResponse:
    """Return a response with this content as JSON, after the selection of fields."""
    return ServiceResponse(status, (orjson.dumps(selected(content, fields or {})),), JSON, points=points)


def error_response(status: int, messages: Iterable[str], headers: Mapping[str, str] | None = None) -> ServiceResponse:
    """Return a response with the service's list of errors."""
    body = {"Errors": [message[:_LONGEST_MESSAGE] for message in messages]}
    return ServiceResponse(status, (orjson.dumps(body),), JSON, dict(headers or {}))


def message_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> ServiceResponse:
    """Return a response with a single message, as the web server in front of the service sends it."""
    return ServiceResponse(status, (orjson.dumps({"Message": message[:_LONGEST_MESSAGE]}),), JSON, dict(headers or {}))


def page_links(url: str, query: Mapping[str, str], start: int, size: int, total: int) -> dict[str, str]:
    """Return the links of one page of a list: First, Previous, Next and Last, where there are such pages."""

    def link(index: int) -> str:
        return f"{url}?{urlencode({**query, 'startIndex': index, 'maxCount': size})}"

    links = {"First": link(0)}
    if start > 0:
        links["Previous"] = link(max(0, start - size))
    if start + size < total:
        links["Next"] = link(start + size)
    links["Last"] = link(max(0, (total - 1) // size * size))
    return links
