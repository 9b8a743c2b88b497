"""The emulator's own endpoints beside the service's: counts of what happened, and the faults in force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from omnia_beam.emulator.common.serving.service import SharedService

MAX_CONTROL_BODY: Final = 1 << 20
"""Most bytes of a body to the emulator's own endpoints, enough for thousands of rules."""


@dataclass(frozen=True, slots=True)
class Control:
    """One endpoint: a function from the service and the body to JSON content; its ValueError becomes a 400."""

    method: str
    path: str
    response: Callable[[SharedService, bytes], Any]


def _stats(service: SharedService, body: bytes) -> Any:
    return service.stats.as_json()


def _faults(service: SharedService, body: bytes) -> Any:
    return [rule.text for rule in service.faults.rules]


def _change_faults(service: SharedService, body: bytes) -> Any:
    try:
        rules = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the body is no JSON: {error}") from None
    if not isinstance(rules, list) or not all(isinstance(rule, str) for rule in rules):
        raise ValueError('the body must be a list of rules, such as ["path=/data status=503 rate=0.1"]')
    service.faults.change(rules)
    return _faults(service, b"")


CONTROL: Final = (
    Control("GET", "/_emulator/stats", _stats),
    Control("GET", "/_emulator/faults", _faults),
    Control("POST", "/_emulator/faults", _change_faults),
)
