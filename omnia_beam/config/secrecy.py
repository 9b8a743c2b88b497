"""Recognise what looks like a secret in a configuration, and show keys and values without revealing one.

A configuration is committed, mailed and printed; a secret in it is a secret lost. It is therefore refused, and no message
repeats a value that may be one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

_SECRET_WORD: Final = re.compile(
    r"secret|password|passwd|passphrase|pwd\b|token|assertion|api[_-]?key|access[_-]?key|account[_-]?key|subscription[_-]?key|private[_-]?key"
    r"|shared[_-]?key|connection[_-]?string|authorization|bearer|\bsas\b|credentials?[_-]?json",
    re.IGNORECASE,
)
_REFERENCE: Final = re.compile(r".*_(env|file|path|cache|cache_unencrypted)", re.IGNORECASE)

_SECRET_VALUE: Final = re.compile(
    r"(AccountKey|SharedAccessKey|SharedAccessSignature|password|pwd|passwd|secret|api[-_]?key|sig|token)\s*=\s*[^\s;&]"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"  # a JSON web token
    r"|\bBearer\s+\S{8,}"
    r"|[a-z][a-z0-9+.-]*://[^/@\s]*:[^/@\s]*@",  # a URL with a password
    re.IGNORECASE,
)
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z_-]{0,40}")
_LEADING_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z_-]*")
_CREDENTIAL: Final = "credential"
_SHOWN_LENGTH: Final = 80

NOT_SHOWN: Final = "the value (not shown)"


def is_secret_key(key: str) -> bool:
    """Return whether a key of this name would hold a secret itself, and not the name of a variable or file that does."""
    return _SECRET_WORD.search(key) is not None and _REFERENCE.fullmatch(key) is None


def is_secret_value(value: object) -> bool:
    """Return whether a text contains a password, a key, a signature or a token, as a connection string does."""
    return isinstance(value, str) and _SECRET_VALUE.search(value) is not None


def may_hold_secret(path: Iterable[str | int]) -> bool:
    """Return whether values at this path are never shown: all below `credential`, and below any key that names a secret."""
    parts = [part for part in path if isinstance(part, str)]
    return any(part == _CREDENTIAL or _SECRET_WORD.search(part) for part in parts)


def show_key(path: Iterable[str | int]) -> str:
    """Return a key's path with dots, such as `source.series.ids.3`.

    Of a key that may be a secret by mistake (`{client_secret:abc}` without the blank is one key), only the leading word is shown.
    """
    parts: list[str] = []
    guarded = False
    for part in path:
        text = str(part)
        if isinstance(part, str) and (guarded or _SECRET_WORD.search(text)) and not _PLAIN_KEY.fullmatch(text):
            word = _LEADING_WORD.match(text)
            text = f"{word[0] if word else ''}…"
        guarded = guarded or part == _CREDENTIAL
        text = text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"
        # A key with blanks or a line break in it would not look like a key.
        parts.append(text if text and text.isprintable() and " " not in text else json.dumps(text, ensure_ascii=False))
    return ".".join(parts)


def show_value(path: Iterable[str | int], value: Any) -> str:
    """Return a value in quotes, cut to a readable length.

    Only its kind is returned where it may hold a secret or has no short text.
    """
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    if may_hold_secret(path) or is_secret_value(value):
        return NOT_SHOWN
    text = str(value)
    return json.dumps(text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…", ensure_ascii=False)


def secret_problem(key: str) -> str:
    """Return the message about a key that would hold a secret; it does not contain the value."""
    if "subscription" in key.lower():
        cure = "subscription_key_env: NAME_OF_THE_VARIABLE"
    elif key.lower() == "password":
        cure = "password_env: NAME_OF_THE_VARIABLE (under credential)"
    elif "password" in key.lower() or "passphrase" in key.lower():
        cure = "certificate_password_env: NAME_OF_THE_VARIABLE (under credential)"
    elif "assertion" in key.lower() or "token" in key.lower():
        cure = "credential: {kind: on_behalf_of, user_assertion_env: NAME_OF_THE_VARIABLE}; other tokens are fetched automatically"
    else:
        cure = "client_secret_env: NAME_OF_THE_VARIABLE (under credential)"
    return (
        "a secret must not be in a configuration (its value is not shown here; replace it, since it has been in a file); "
        f"put it into an environment variable and write the variable's name: {cure}"
    )


def secret_value_problem() -> str:
    """Return the message about a value that contains a secret; it does not contain the value."""
    return (
        "the value (not shown) looks like it holds a password, key, signature or token, which must not be in a "
        "configuration: give the address without it, and the credential by environment variables"
    )
