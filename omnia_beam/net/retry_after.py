"""Read the `Retry-After` header, by which the service names when to come back (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"\d{1,9}(\.\d+)?", re.ASCII)


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return the seconds to wait, 0 or more; None where the header is absent or cannot be read.

    Args:
        headers: of the response; the case of names matters only where it does to the mapping.
        now_s: seconds since the Unix epoch, for an HTTP date in a response without a `Date` of its own. With one, the
            two dates are compared with each other, so that the wait is right even where the service's clock is off.
    """
    text = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    until = _http_date_s(text)
    if until is None:
        return None
    sent = _http_date_s(headers.get("Date", "").strip())
    return max(0.0, until - (now_s if sent is None else sent))


def _http_date_s(text: str) -> float | None:
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return _utc(moment).timestamp()


def _utc(moment: datetime) -> datetime:
    # `-0000` gives a naive datetime, which is UTC according to RFC 5322.
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
