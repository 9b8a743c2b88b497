"""The endpoints that read metadata: list, search, get."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from omnia_beam.core.limits import MAX_METADATA_ITEMS, SERVICE_DEFAULT_LIMIT
from omnia_beam.emulator.common.metadata import SeriesMetadata
from omnia_beam.emulator.common.serving.response import Refusal, ServiceResponse
from omnia_beam.emulator.common.store import Series
from omnia_beam.emulator.omnia.call import Call, limit_of
from omnia_beam.emulator.omnia.pagetoken import START, PageToken
from omnia_beam.emulator.omnia.reading import found
from omnia_beam.emulator.omnia.response import list_response
from omnia_beam.emulator.omnia.service import Service

LISTED_BY: Final = ("name", "externalId", "source", "assetId", "facility")
SEARCHED_BY: Final = (*LISTED_BY, "description", "unit")
_Test = Callable[[SeriesMetadata], bool]


async def list_series(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET B`, filtered by the fields of `LISTED_BY`."""
    return _listing(service, call, "list", _field_tests(call, LISTED_BY))


async def search_series(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET B/search`, filtered by the fields of `SEARCHED_BY`."""
    return _listing(service, call, "search", _field_tests(call, SEARCHED_BY))


async def search_text(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET B/search/{query}`: the text anywhere in name, description or external id; `*` matches anything."""
    text = call.values["query"]
    matches = text_pattern(text if "*" in text else f"*{text}*")

    def test(metadata: SeriesMetadata) -> bool:
        return any(matches(value) for value in (metadata.name, metadata.description, metadata.externalId))

    return _listing(service, call, f"text {text}", [test, *_field_tests(call, SEARCHED_BY)])


async def get_series(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET B/{id}` with a list of one series."""
    return list_response([found(service, call.values["id"]).metadata.as_json()])


def _listing(service: Service, call: Call, what: str, tests: list[_Test]) -> ServiceResponse:
    limit = limit_of(call.text("limit"), SERVICE_DEFAULT_LIMIT, MAX_METADATA_ITEMS)
    identity = [what, sorted((name, call.text(name)) for name in SEARCHED_BY if call.text(name))]
    after = -1
    if token := call.text("continuationToken"):
        if call.faults.refuse_token:
            raise Refusal(400, "The continuation token is not valid.")
        given = service.sealer.unseal(identity, token, call.now_ns)
        position = (given.before if call.faults.duplicate else given.positions)[0]
        after = -1 if position == START else int(position)
    items, last = _page(service.store.listed(after), tests, limit)
    following = None
    if last is not None or call.faults.repeat:
        positions = (after,) if call.faults.repeat or last is None else (last,)
        following = service.sealer.seal(identity, PageToken(positions, (after,)), call.now_ns)
    return list_response(items, following)


def _page(series: Iterator[Series], tests: list[_Test], limit: int) -> tuple[list[object], int | None]:
    """Return the first matches, and the ordinal of the last of them where more follow."""
    items: list[object] = []
    last = None
    for one in series:
        if all(test(one.metadata) for test in tests):
            if len(items) == limit:
                return items, last
            items.append(one.metadata.as_json())
            last = one.ordinal
    return items, None


def _field_tests(call: Call, fields: tuple[str, ...]) -> list[_Test]:
    return [_field_test(name, value) for name in fields if (value := call.text(name))]


def _field_test(name: str, value: str) -> _Test:
    matches = text_pattern(value)

    def test(metadata: SeriesMetadata) -> bool:
        return matches(getattr(metadata, name))

    return test


def text_pattern(text: str) -> Callable[[str | None], bool]:
    """Return a test whether a value equals the text in any case, where `*` matches anything, also nothing."""
    expression = re.compile(".*".join(map(re.escape, text.split("*"))), re.IGNORECASE | re.DOTALL)
    return lambda value: value is not None and expression.fullmatch(value) is not None
