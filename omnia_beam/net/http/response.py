"""Interpret responses of the service: a success, or an error that names what failed, where and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from omnia_beam.core.errors import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    NotTheServiceError,
    PayloadTooLargeError,
    ServiceError,
    TerminalServiceError,
    ThrottledError,
    TransientServiceError,
    UnauthorizedError,
)
from omnia_beam.core.redaction import redact
from omnia_beam.net.auth.sign_in import offers_of

if TYPE_CHECKING:
    from omnia_beam.net.http.transport import RawResponse

JSON: Final = "application/json"
PROTOBUF: Final = "application/protobuf"

_LONGEST_MESSAGE = 400
_LONGEST_READ = 4_096
"""Characters of a text that are searched for secrets before it is cut: a secret that is cut cannot be recognised."""

_NESTING: Final = re.compile(r"(.{0,32}?[\[{])\1{7,}")
"""Brackets that repeat many times with the same text between them, as in deeply nested JSON."""

_TRANSIENT = frozenset({408, 425, 429})
_TERMINAL: Final[dict[int, type[TerminalServiceError]]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: PayloadTooLargeError,
}
_ADVICE: Final = {
    401: "the service refuses the sign-in: check the credential, its user name and password, or its tenant and resource_id",
    403: "the identity is known but may not do this: ask for access to the data, or check the subscription key",
    413: "send fewer points at a time",
}


@dataclass(frozen=True)
class Response:
    """A successful response. `body` is decoded from its Content-Encoding; `attempts` counts the attempts that were needed."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    attempts: int = 1
    method: str = ""
    path: str = ""

    def json(self) -> Any:
        """Return the body as JSON; None when there is no body.

        Raises:
            NotTheServiceError: the body is not JSON.
        """
        if not self.body:
            return None
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            reason = str(error).partition(":")[0]
        raise NotTheServiceError(
            f"{self.method} {self.path}: answered {self.status} with a body that is no JSON ({reason})",
            method=self.method,
            path=self.path,
            status=self.status,
            attempts=self.attempts,
        )


def is_transient(status: int) -> bool:
    """Return whether the same request may succeed later: after 408, 425, 429 and every 5xx except 501 and 505."""
    return status in _TRANSIENT or (500 <= status < 600 and status not in (501, 505))


def was_not_acted_on(status: int, retry_after_s: float | None) -> bool:
    """Return whether the status itself shows that the service did nothing.

    Then even a request that must not run twice may be sent again. 429 and 425 refuse before anything is done (RFC 6585,
    RFC 8470). A 503 shows it only when it names a time to come back; without one it may be from a gateway that lost its back
    end half way.
    """
    return status in (425, 429) or (status == 503 and retry_after_s is not None)


def error_of(response: RawResponse, method: str, path: str, retry_after_s: float | None) -> ServiceError:
    """Return the error for a response that is not a success. It holds the service's own message, without secrets."""
    message, trace_id = _own_words(response)
    status = response.status
    html = _is_html(response)
    kind: type[ServiceError]
    if status == 429:
        kind = ThrottledError
    elif is_transient(status):
        kind = TransientServiceError
    elif html and status not in (401, 403):
        kind = NotTheServiceError
    else:
        kind = _TERMINAL.get(status, TerminalServiceError)
    advice = (
        "is base_url right? A proxy or another site answers" if kind is NotTheServiceError else _ADVICE.get(status, "")
    )
    text = f"{method} {path}: {status}" + (f" {message}" if message else "")
    text += f" (trace {trace_id})" if trace_id else ""
    offers = sorted(offers_of(response.headers)) if status == 401 else []
    text += f" (the service takes {', '.join(offers)})" if offers else ""
    text += f"; {advice}" if advice else ""
    return kind(text, method=method, path=path, status=status, trace_id=trace_id, retry_after_s=retry_after_s)


def wrong_address(base_url: str, error: ServiceError) -> NotTheServiceError:
    """Return the error for a base URL below which the service responds with 404 to everything."""
    return NotTheServiceError(
        f"{base_url} does not respond like the Omnia Timeseries API ({error}). Check base_url: it goes up to the version and "
        "no further, such as https://api.gateway.equinor.com/plant/timeseries/v1.7",
        method=error.method,
        path=error.path,
        status=error.status,
    )


def wrong_content(response: RawResponse, method: str, path: str, accept: str) -> NotTheServiceError | None:
    """Return the error for a success whose content is not of the requested type; None when it is, or when there is no body.

    An absent or general Content-Type (application/octet-stream, text/plain) is accepted, an HTML page never.
    """
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not response.body or (_is_kind(content_type, accept) and not _is_html(response)):
        return None
    if _is_html(response):
        found, advice = f"an HTML page{_title(response.body)}", "is base_url right? A proxy or a sign-in page answers"
    else:
        found, advice = f"Content-Type {_clean(content_type)[:60]!r}", f"the service does not give {accept} here"
    return NotTheServiceError(
        f"{method} {path}: answered {response.status} with {found} where {accept} was requested; {advice}",
        method=method,
        path=path,
        status=response.status,
    )


def _is_kind(content_type: str, accept: str) -> bool:
    if content_type in ("", "application/octet-stream"):
        return True
    if accept == PROTOBUF:
        return "protobuf" in content_type
    return content_type.endswith(("/json", "+json")) or content_type == "text/plain"


def _is_html(response: RawResponse) -> bool:
    if "html" in response.headers.get("Content-Type", "").lower():
        return True
    # Match whole words only: protobuf may begin with a line feed and a '<'.
    return response.body[:200].lstrip().lower().startswith((b"<!doctype html", b"<html"))


def _title(body: bytes) -> str:
    match = re.search(rb"<title[^>]*>([^<]{1,200})", body[:8192], re.IGNORECASE)
    return f" titled {_clean(match[1].decode('utf-8', 'replace'))!r}" if match else ""


def _own_words(response: RawResponse) -> tuple[str, str | None]:
    """Return the service's message and trace id; an empty text and None where there are none."""
    if _is_html(response):
        return f"with an HTML page{_title(response.body)}", None
    try:
        content = orjson.loads(response.body[:65536])
    except ValueError:
        return _clean(response.body[:_LONGEST_READ].decode("utf-8", "replace")), None
    if not isinstance(content, dict):
        return "", None
    nested = content.get("error")
    places = [content, nested] if isinstance(nested, dict) else [content]
    message = _first_text(places, ("message", "Message", "detail", "title", "error_description"))
    if not message and isinstance(nested, str):
        message = nested
    if not message and isinstance(content.get("Errors"), list):  # as PI Web API has it
        message = "; ".join(each for each in content["Errors"] if isinstance(each, str))
    trace_id = _first_text(places, ("traceId", "TraceId", "traceID"))
    return _clean(message), _clean(trace_id) or None


def _first_text(places: list[Any], names: tuple[str, ...]) -> str:
    return next((p[n] for p in places for n in names if isinstance(p.get(n), str) and p[n].strip()), "")


def _clean(text: str) -> str:
    """Return one line of printable characters, short and without secrets or deep nesting, that cannot forge or flood a log."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:_LONGEST_READ]).split())
    line = _NESTING.sub(r"\1\1\1…", redact(line))
    return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 1] + "…"
