"""Decide whether the response to a write confirms that the points are stored.

With `async=false` the service responds after the commit, with a message: `{"statusCode": 200, "message": …, "traceId": …}`
[sdk]. An empty body comes from a gateway that has forwarded nothing, and a body with points responds to another request.
Whether a batch may be stored in part is unknown, so a count or a status in the body that reports it is believed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from omnia_beam.core.errors import NotTheServiceError, TransientServiceError
from omnia_beam.net.http.response import Response

_TRIES: Final = 3
_STORED: Final = frozenset({"stored", "written", "accepted", "succeeded", "datapointcount", "pointcount"})
_NOT_STORED: Final = frozenset({"failed", "rejected", "failures", "errors", "error", "skipped"})


def send_until_committed(send: Callable[[], Response], points: int, series: int) -> Response:
    """Send a write until its response confirms that the points are stored, and return that response; an upsert may be repeated.

    Args:
        send: sends the write; the response to one that the service has only queued (202) is returned.
        points, series: the numbers of points and series in the write.

    Raises:
        TransientServiceError: no response of three confirmed it, so it is unknown what is stored.
        Exception: whatever `send` raises.
    """
    tries = _TRIES
    while True:
        response = send()
        doubt = None if response.status == 202 else _doubt(response, points, series)
        if doubt is None:
            return response
        tries -= 1
        if not tries:
            raise TransientServiceError(
                f"{response.method} {response.path}: answered {response.status} {doubt}: no confirmation that the {points} points "
                f"are stored, in {_TRIES} tries. Something between here and the service may answer in its place",
                method=response.method,
                path=response.path,
                status=response.status,
                attempts=response.attempts,
            )


def _doubt(response: Response, points: int, series: int) -> str | None:
    """Return why the response does not confirm a commit; None where it does."""
    if response.status not in (200, 201):
        return "in place of 200" if response.body else "without a body"
    if not response.body.strip():
        return "with an empty body"
    try:
        content = response.json()
    except NotTheServiceError:
        return "with a body that is no JSON"
    if not isinstance(content, dict) or not content:
        return "with a body that reports nothing"
    members = {str(name).lower(): value for name, value in content.items()}
    if "data" in members or "items" in members:
        return "with a response to another request"
    status = members.get("statuscode")
    if isinstance(status, int) and status not in (200, 201):
        return f"with a body that reports {status}"
    for name, value in members.items():
        # What `count` counts in a response is not documented: in responses to reads it is the series.
        right = (points, series) if name == "count" else (points,)
        if (name in _STORED or name == "count") and _is_count(value) and value not in right:
            return f"with {name} {value}"
        if name in _NOT_STORED and value:
            return f"with {name} {_size(value)}"
    return None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _size(value: Any) -> str:
    return str(len(value)) if isinstance(value, list | dict) else str(value)[:60]
