"""Secrets taken out of text: of error messages, and of what the sign-in libraries log.

`redact` knows two things: the shapes that secrets have on the wire (a JSON web token, `client_secret=…`, a private key), and
the very values that this process has read (`remember_secret`). `guard_logs` puts it in front of the loggers of
azure-identity, msal, requests and urllib3. What those log otherwise, as their source has it and our tests found:

- msal (1.39), at DEBUG, each token request: it stars out secrets and tokens, but not the authorization code, its verifier, the
  device code and the client assertion. [msal/token_cache.py]
- msal, at ERROR, the whole answer of a token endpoint that is not JSON; at DEBUG that of an identity endpoint. A proxy's page may
  well repeat the request. [msal/oauth2cli/oauth2.py, msal/managed_identity.py]
- azure-identity, at WARNING, the authority's error text, whatever that repeats; at DEBUG with the traceback.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from typing import Final
from urllib.parse import quote, quote_plus

REDACTED: Final = "***"
"""What stands where a secret was."""

_SHORTEST_KNOWN_SECRET: Final = 4
"""Characters: blotting out every occurrence of something shorter would make a message unreadable and hide nothing."""

_GUARDED: Final = ("azure", "msal", "msal_extensions", "requests", "urllib3")
"""Roots of the loggers that see requests and answers of a sign-in."""

_KEYS: Final = (
    "access_token|refresh_token|id_token|client_secret|client_assertion|user_assertion|assertion|code_verifier"
    "|device_code|password|x-identity-header|x_identity_header"
)

_SHAPES: Final = (
    # Three base64url parts, the first a JSON object: a JSON web token, whatever field it travels in.
    re.compile(r"\beyJ[\w-]{5,}\.[\w-]*\.?[\w-]*"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    # key=value of a form or a query, "key": "value" of JSON and of a Python dict.
    re.compile(rf"(?P<kept>(?<![\w.-])(?:{_KEYS})=)[^&\s\"']+", re.IGNORECASE),
    re.compile(rf"(?P<kept>[\"'](?:{_KEYS})[\"']\s*:\s*)(?:\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?)", re.IGNORECASE),
    # The authorization code is called just `code`, as an error's number is: only long ones, or those of a query.
    re.compile(r"(?P<kept>[?&]code=)[^&\s\"']+"),
    re.compile(r"(?P<kept>[\"']code[\"']\s*:\s*)(?:\"[^\"]{16,}\"?|'[^']{16,}'?)"),
    # JSON within JSON, as an error answer that is itself a text.
    re.compile(rf"(?P<kept>\\+\"(?:{_KEYS}|code)\\+\"\s*:\s*)\\+\"[^\"]{{5,}}\"?", re.IGNORECASE),
    re.compile(r"(?P<kept>\bBearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE),
    # A proxy's user and password.
    re.compile(r"(?P<kept>\b[a-z][a-z0-9+.-]*://)[^/@\s:]+:[^/@\s]+(?=@)", re.IGNORECASE),
)

_known: frozenset[str] = frozenset()
_lock = threading.Lock()


def remember_secret(value: str) -> None:
    """Have `redact` blot out this very value from now on, as it is and as a form, a URL or JSON would spell it.

    It is kept in this process's memory only. Values shorter than four characters are not remembered.
    """
    global _known  # one set for the process: a log record does not say whose secret it carries
    if len(value) >= _SHORTEST_KNOWN_SECRET:
        in_json = json.dumps(value)[1:-1]
        spellings = {value, in_json, json.dumps(in_json)[1:-1], repr(value)[1:-1]}
        with _lock:
            _known = _known | spellings | {quote(value, safe=""), quote_plus(value)}


def redact(text: str) -> str:
    """The text with `***` where a secret was: known values first, then everything that is shaped like one."""
    for value in sorted(_known, key=len, reverse=True):
        text = text.replace(value, REDACTED)
    for shape in _SHAPES:
        text = shape.sub(_blot, text)
    return text


def _blot(match: re.Match[str]) -> str:
    return (match.groupdict().get("kept") or "") + REDACTED


class RedactingFilter(logging.Filter):
    """Lets every record pass, without the secrets: in its message, its arguments and its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = f"{record.msg} {record.args}"  # a malformed call: logging would print both, so must we
        clean = redact(message)
        if clean != message:
            record.msg, record.args = clean, ()
        if record.exc_info:
            # Handlers that format the exception themselves would find the secret again: only the text is handed on.
            record.exc_text = redact(record.exc_text or _FORMATTER.formatException(record.exc_info))
            record.exc_info = None
        return True


_FORMATTER: Final = logging.Formatter()
_FILTER: Final = RedactingFilter()


def guard_logs() -> None:
    """Filter the loggers of the sign-in libraries, those that exist by now. Calling it again is cheap and adds the newer ones.

    A filter of a logger does not see what its children log, so each logger gets it; a library makes its loggers when its
    modules are imported, so this is called again before a token is asked for.
    """
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.split(".", 1)[0] in _GUARDED:
            logger.addFilter(_FILTER)
