"""Remove secrets from text: from every error of omnia-beam, and from the logs of the command line and the sign-in libraries.

`redact` knows two things: the shapes that secrets have on the wire (a JSON web token, `client_secret=…`, a private key), and
the exact values that this process has read (`remember_secret`) or sends (`remember_token`). It finds values in other
spellings too (percent, base64, JSON and HTML escapes, upper and lower case, wrapped lines) and in pieces, since a service
may cut its message in the middle of a token.

`guard_logs` adds a filter to the loggers of azure-identity, msal, pyspnego, requests and urllib3. Without it they log the
following, according to their source and our tests:

- msal (1.39), at DEBUG, logs each token request: it stars out secrets and tokens, but not the authorization code, its
  verifier, the device code and the client assertion. [msal/token_cache.py]
- msal, at ERROR, logs the whole response of a token endpoint that is not JSON; at DEBUG the response of an identity endpoint.
  A proxy's page may well repeat the request. [msal/oauth2cli/oauth2.py, msal/managed_identity.py]
- azure-identity, at WARNING, logs the authority's error text, whatever that repeats; at DEBUG with the traceback.
- pyspnego (0.12), at DEBUG, logs each message of a sign-in, ours among them. [spnego/_ntlm.py, spnego/_gss.py]
"""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, quote_plus

REDACTED: Final = "***"
"""Replaces a secret in a text."""

_SHORTEST_KNOWN_SECRET: Final = 4
"""Characters. Removing every occurrence of a shorter value would make a message unreadable and hide nothing."""

_SHORTEST_PIECE: Final = 8
"""Letters and digits in a row that count as a piece of a token."""

_SHORTEST_IN_PIECES: Final = 10
"""Letters and digits that a value must have before pieces of it are searched for."""

_TOKENS_KEPT: Final = 16
"""Number of tokens that are remembered. It is bounded because tokens change every hour and a job may run for a year."""

_GUARDED: Final = ("azure", "msal", "msal_extensions", "requests", "spnego", "urllib3")
"""Root names of the loggers that see the requests and responses of a sign-in."""

_KEYS: Final = (
    "access_token|refresh_token|id_token|client_secret|client_assertion|user_assertion|assertion|code_verifier"
    "|device_code|password|x-identity-header|x_identity_header"
)

_SHAPES: Final = (
    # A JSON web token has three base64url parts, the first a JSON object; it may be in any field.
    re.compile(r"\beyJ[\w-]{5,}\.[\w-]*\.?[\w-]*"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    # These cover key=value of a form or a query, and "key": "value" of JSON and of a Python dict.
    re.compile(rf"(?P<kept>(?<![\w.-])(?:{_KEYS})=)[^&\s\"']+", re.IGNORECASE),
    re.compile(rf"(?P<kept>[\"'](?:{_KEYS})[\"']\s*:\s*)(?:\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?)", re.IGNORECASE),
    # The authorization code is called `code`, like the number of an error: match only long values, or those of a query.
    re.compile(r"(?P<kept>[?&]code=)[^&\s\"']+"),
    re.compile(r"(?P<kept>[\"']code[\"']\s*:\s*)(?:\"[^\"]{16,}\"?|'[^']{16,}'?)"),
    # JSON occurs within JSON where an error response is itself a text.
    re.compile(rf"(?P<kept>\\+\"(?:{_KEYS}|code)\\+\"\s*:\s*)\\+\"[^\"]{{5,}}\"?", re.IGNORECASE),
    re.compile(r"(?P<kept>\bBearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE),
    re.compile(r"(?P<kept>\bAuthorization[\"']?\s*[:=]\s*[\"']?Basic\s+)[\w+/=-]{4,}", re.IGNORECASE),
    # Messages of NTLM and Kerberos are base64 of bytes that begin alike. NTLM's let a password be guessed.
    re.compile(r"\b(?:TlRMTVNTU|YI[G-I])[\w+/]{24,}={0,2}"),
    # The URL of a proxy may hold its user and password.
    re.compile(r"(?P<kept>\b[a-z][a-z0-9+.-]*://)[^/@\s:]+:[^/@\s]+(?=@)", re.IGNORECASE),
)


@dataclass(frozen=True)
class _Remembered:
    """One value: its spellings as a whole, and all runs of `size` letters and digits in it."""

    spellings: frozenset[str] = field(repr=False)
    size: int = 0
    pieces: frozenset[str] = field(default=frozenset(), repr=False)


_secrets: dict[str, _Remembered] = {}
_tokens: OrderedDict[str, _Remembered] = OrderedDict()
_lock = threading.Lock()


def remember_secret(value: str) -> None:
    """Make `redact` remove this value from now on, and pieces of half its length or more.

    The value is kept in this process's memory only. Values shorter than four characters are not remembered.
    """
    if value not in _secrets and len(value) >= _SHORTEST_KNOWN_SECRET:
        # People choose words as passwords: with shorter pieces such a word would disappear from every message.
        made = _remembered(value, max(_SHORTEST_PIECE, len(_letters(value)[0]) // 2))
        with _lock:
            _secrets[value] = made


def remember_token(value: str) -> None:
    """Make `redact` remove this token and pieces of it of eight letters or more, until sixteen newer tokens are known."""
    if value not in _tokens and len(value) >= _SHORTEST_KNOWN_SECRET:
        made = _remembered(value, _SHORTEST_PIECE)
        with _lock:
            _tokens[value] = made
            while len(_tokens) > _TOKENS_KEPT:
                _tokens.popitem(last=False)


@contextmanager
def forgotten_afterwards() -> Iterator[None]:
    """Forget at the end of the block what is remembered inside, where one process plays several that share no secret."""
    with _lock:
        before = dict(_secrets), _tokens.copy()
    try:
        yield
    finally:
        with _lock:
            for known, kept in zip((_secrets, _tokens), before, strict=True):
                known.clear()
                known.update(kept)


def redact(text: str) -> str:
    """Return the text with `***` in place of secrets: first of known values, then of text shaped like one, then of pieces."""
    with _lock:
        known = [*_secrets.values(), *_tokens.values()]
    for spelling in sorted({each for one in known for each in one.spellings}, key=len, reverse=True):
        text = text.replace(spelling, REDACTED)
    for shape in _SHAPES:
        text = shape.sub(_blot, text)
    # Pieces come last: all tokens begin alike, and a token whose beginning is already replaced no longer has its shape.
    return _without_pieces(text, known)


def _remembered(value: str, size: int) -> _Remembered:
    in_json = json.dumps(value)[1:-1]
    spellings = {value, in_json, json.dumps(in_json)[1:-1], repr(value)[1:-1], quote(value, safe=""), quote_plus(value)}
    if len(_letters(value)[0]) < _SHORTEST_IN_PIECES:
        return _Remembered(frozenset(spellings))
    # Base64 spells a value in three ways, depending on the number of bytes before it.
    forms = [value, *(base64.b64encode(b"\0" * before + value.encode()).decode()[4:-4] for before in range(3))]
    runs = [_letters(form)[0] for form in forms]
    pieces = {run[at : at + size] for run in runs for at in range(len(run) - size + 1)}
    return _Remembered(frozenset(spellings), size, frozenset(pieces))


_ESCAPED: Final = re.compile(
    r"%(?:25)*(?P<hex>[0-9a-f]{2})"  # percent-encoded, any number of times
    r"|\\+(?:u00|x)(?P<code>[0-9a-f]{2})"  # JSON, Python
    r"|&\#x(?P<html>[0-9a-f]{2});|&\#(?P<number>[0-9]{2,3});"
    r"|&(?:amp|lt|gt|quot|apos|plus|sol|equals|lowbar|hyphen|period);"
    r"|(?P<plain>[a-z0-9])",
    re.IGNORECASE,
)


def _letters(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the ASCII letters and digits of a text, in lower case and without escapes, and the span of each in the text."""
    found: list[str] = []
    places: list[tuple[int, int]] = []
    for match in _ESCAPED.finditer(text):
        digits = match["hex"] or match["code"] or match["html"]
        letter = match["plain"] or (chr(int(digits, 16)) if digits else chr(int(match["number"] or 0)))
        if letter.isascii() and letter.isalnum():
            found.append(letter.lower())
            places.append(match.span())
    return "".join(found), places


def _without_pieces(text: str, known: list[_Remembered]) -> str:
    """Return the text with `***` in place of runs of letters that a remembered value has too."""
    letters, places = _letters(text)
    hidden = bytearray(len(letters))
    for one in known:
        for at in range(len(letters) - one.size + 1 if one.size else 0):
            if letters[at : at + one.size] in one.pieces:
                hidden[at : at + one.size] = b"\1" * one.size
    parts: list[str] = []
    end = 0
    for run in re.finditer(b"\1+", hidden):
        parts += [text[end : places[run.start()][0]], REDACTED]
        end = places[run.end() - 1][1]
    return "".join([*parts, text[end:]]) if parts else text


def _blot(match: re.Match[str]) -> str:
    return (match.groupdict().get("kept") or "") + REDACTED


class RedactingFilter(logging.Filter):
    """A log filter that passes every record, with secrets removed from its message, its arguments and its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = f"{record.msg} {record.args}"  # logging prints both for a malformed call
        clean = redact(message)
        if clean != message:
            record.msg, record.args = clean, ()
        if record.exc_info:
            # A handler that formats the exception itself would find the secret again, so only the text is passed on.
            record.exc_text = redact(record.exc_text or _FORMATTER.formatException(record.exc_info))
            record.exc_info = None
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


_FORMATTER: Final = logging.Formatter()
_FILTER: Final = RedactingFilter()


def guard_logs() -> None:
    """Add the redacting filter to the existing loggers of the sign-in libraries. Further calls are cheap and add newer loggers.

    A filter of a logger does not see what its children log, so each logger gets the filter. A library creates its loggers when
    its modules are imported, so this is called again before a token is requested.
    """
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.split(".", 1)[0] in _GUARDED:
            logger.addFilter(_FILTER)
