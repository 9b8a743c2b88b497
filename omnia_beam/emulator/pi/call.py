"""A request as the endpoints see it, and its parameters read as the service reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

import orjson

from omnia_beam.emulator.common.serving.faults import Injection
from omnia_beam.emulator.common.serving.response import Refusal, ServiceResponse
from omnia_beam.emulator.pi.response import Fields, content_response, read_fields
from omnia_beam.emulator.pi.times import read_duration, read_time, zone_of
from omnia_beam.emulator.pi.webid import TYPES, WebIdType


@dataclass(frozen=True, slots=True)
class Call:
    """One request: path values by name, query values by name in lower case, body, and the emulator's time (ns)."""

    values: Mapping[str, str]
    query: Mapping[str, list[str]]
    body: bytes
    now_ns: int
    zone: tzinfo
    base: str
    path: str
    injection: Injection

    def text(self, name: str) -> str | None:
        """Return a query parameter, or None where it is absent or empty."""
        values = self.query.get(name.lower())
        return (values[0] or None) if values else None

    def texts(self, name: str) -> list[str]:
        """Return every value of a repeated query parameter."""
        return [value for value in self.query.get(name.lower(), []) if value]

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """Return a whole number; refuse with 400 what is none, is below `least` or above `most`."""
        given = self.text(name)
        if given is None:
            return default
        try:
            number = int(given)
        except ValueError:
            raise Refusal(400, f"The value '{given}' of parameter '{name}' is not a whole number.") from None
        if number > most:
            raise Refusal(400, f"Parameter '{name}' is greater than the maximum allowed ({most}).")
        if number < least:
            raise Refusal(400, f"Parameter '{name}' is less than the minimum allowed ({least}).")
        return number

    def time(self, name: str, default: str) -> int:
        """Return a time in ns; refuse with 400 what is none."""
        try:
            return read_time(self.text(name) or default, self.now_ns, self.zone_given())
        except ValueError as error:
            raise Refusal(400, str(error)) from None

    def duration(self, name: str) -> int | None:
        """Return a duration in ns, or None where none is given; refuse with 400 what is none."""
        given = self.text(name)
        try:
            return None if given is None else read_duration(given)
        except ValueError as error:
            raise Refusal(400, str(error)) from None

    def choice(self, name: str, default: str, known: tuple[str, ...]) -> str:
        """Return the known value that equals the given one in any case; refuse any other with 400."""
        given = self.text(name) or default
        for value in known:
            if given.lower() == value.lower():
                return value
        raise Refusal(400, f"The value '{given}' of parameter '{name}' is not one of {', '.join(known)}.")

    def zone_given(self) -> tzinfo:
        """Return the time zone of the request, or the server's; refuse an unknown one with 400."""
        given = self.text("timeZone")
        try:
            return self.zone if given is None else zone_of(given)
        except ValueError as error:
            raise Refusal(400, str(error)) from None

    @property
    def web_id_type(self) -> WebIdType:
        """The type of the WebIds in the response."""
        return TYPES[self.choice("webIdType", "Full", tuple(TYPES)).lower()]

    @property
    def fields(self) -> Fields:
        """The selected fields; none selects all."""
        return read_fields(self.text("selectedFields"))

    def content(self) -> Any:
        """Return the JSON body; refuse with 400 what is not JSON, NaN and Infinity included."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise Refusal(400, f"The request body is not valid JSON: {error}.") from None

    def response(self, content: Any, status: int = 200, points: int = 0) -> ServiceResponse:
        """Return a response with the selected fields of this content."""
        return content_response(content, self.fields, status, points)
