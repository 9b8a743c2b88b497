"""The error tree: as drawn, picklable with its members, and readable."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from dataclasses import replace
from typing import Any

import pytest

from omnia_beam.core import errors
from omnia_beam.core.errors import DestinationError, Interrupted, OmniaBeamError, ServiceError, WireFormatError
from omnia_beam.core.summary import ProgressFacts, Summary

OURS = [each for each in vars(errors).values() if inspect.isclass(each) and each.__module__ == errors.__name__]
CLASSES = [each for each in OURS if each is not Interrupted]  # a KeyboardInterrupt: `except Exception` lets it pass
MEMBERS = {
    "method": "POST",
    "path": "/query/data",
    "status": 503,
    "trace_id": "4bf9",
    "attempts": 7,
    "retry_after_s": 2.5,
    "offset": 17,
    "expected": 100,
    "received": 99,
}
by_name = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)


def members_of(kind: type[OmniaBeamError]) -> dict[str, Any]:
    """A telling value for every member that the class declares."""
    parameters = [each for each in inspect.signature(kind).parameters.values() if each.name != "message"]
    return {each.name: MEMBERS[each.name] for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD}


@by_name
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_keeps_class_message_and_members(kind: type[OmniaBeamError], protocol: int) -> None:
    error = kind("what failed", **members_of(kind))
    error.add_note("window 3")
    for again in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(again) is kind
        assert str(again) == str(error)
        assert again.args == error.args
        assert vars(again) == vars(error)
        assert again.__notes__ == ["window 3"]
        assert {name: getattr(again, name) for name in members_of(kind)} == members_of(kind)


@by_name
def test_members_have_defaults(kind: type[OmniaBeamError]) -> None:
    error = kind("what failed")
    assert str(error) == "what failed"
    assert repr(error) == f"{kind.__name__}('what failed')"
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)


def test_members_of_ones_own() -> None:
    error = pickle.loads(pickle.dumps(OmniaBeamError("what failed", window="w", tries=3)))
    assert (error.window, error.tries) == ("w", 3)


def test_an_error_travels_twice() -> None:
    error: Exception = ServiceError("what failed", status=503, attempts=4)
    for _ in range(2):
        error = pickle.loads(pickle.dumps(error))
    assert vars(error) == vars(ServiceError("what failed", status=503, attempts=4))


def test_the_offset_is_told_once() -> None:
    error = pickle.loads(pickle.dumps(WireFormatError("truncated varint", 17)))
    assert str(error) == "truncated varint (byte offset 17)"
    assert (str(WireFormatError("not JSON")), WireFormatError("not JSON").offset) == ("not JSON", None)


REACHED = Summary("backfill", series=2, warnings=("w",), details={"cycles": 3})
PROGRESS = ProgressFacts(3, 7, 300, 700, failed=1)


@pytest.mark.parametrize("error", [DestinationError("full", path="/mnt"), Interrupted()], ids=["error", "interrupt"])
def test_what_was_reached_travels_with_what_ended_it(error: OmniaBeamError | Interrupted) -> None:
    assert (error.summary, error.progress) == (None, None)
    error.summary, error.progress = REACHED, PROGRESS
    again = pickle.loads(pickle.dumps(error))
    assert (again.summary, again.progress) == (REACHED, PROGRESS)
    assert vars(again) == vars(error)


def test_points_written_stand_for_those_read_where_these_were_not_counted() -> None:
    assert (PROGRESS.read, replace(PROGRESS, points_read=310).read, replace(PROGRESS, points_read=0).read) == (
        300,
        310,
        0,
    )


def drawn() -> dict[str, set[str]]:
    """By class name its bases, from the drawing in the module's docstring."""
    found: dict[str, set[str]] = {}
    path: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ([ │├└─]*)(\w+Error)(?:\s|$)", line)
        if match:
            depth, name = len(match[1]), match[2]
            path = [(at, above) for at, above in path if at < depth]
            found[name] = {path[-1][1]} if path else {"Exception"}
            found[name] |= set(re.findall(r"\(also an? (\w+)\)", line))
            path.append((depth, name))
    return found


def test_the_tree_is_as_drawn() -> None:
    assert drawn() == {kind.__name__: {base.__name__ for base in kind.__bases__} for kind in CLASSES}


@by_name
def test_everything_is_ours(kind: type[OmniaBeamError]) -> None:
    assert issubclass(kind, OmniaBeamError)
    assert kind.__doc__
