"""Who may ask: bearer tokens checked against the issuer's keys, and a subscription key.

No token and no key is ever kept, logged or repeated in an answer.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jwt

from .answer import Refusal
from .settings import Settings

KEY_HEADER: Final = "Ocp-Apim-Subscription-Key"
_REALM: Final = 'Bearer realm="omnia-beam emulator"'


class TokenCheck:
    """Checks RS256 tokens: signature by the key set, audience, expiry, not-before, and issuer where one is wanted.

    The key set is read again when a token names a key that it does not hold, as issuers roll their keys.
    """

    def __init__(self, jwks: Path, audiences: tuple[str, ...], issuer: str | None) -> None:
        self._jwks = jwks
        self._audiences = audiences
        self._issuer = issuer
        self._keys = self._read_keys()

    def check(self, headers: Mapping[str, str]) -> None:
        """401 without a valid token; 403 for a valid one whose `roles` or `scp` contain `denied`."""
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _unauthorized("A bearer token is required.", "")
        try:
            claims = jwt.decode(
                token.strip(),
                self._key_for(token.strip()),
                algorithms=["RS256"],
                audience=list(self._audiences),
                issuer=self._issuer,
                options={"require": ["exp", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise _unauthorized("The token has expired.", "invalid_token") from None
        except jwt.InvalidAudienceError:
            raise _unauthorized("The token is for another audience.", "invalid_token") from None
        except (jwt.PyJWTError, ValueError):
            # The library's text could hold parts of the token.
            raise _unauthorized("The token is not valid.", "invalid_token") from None
        if "denied" in _permissions(claims):
            raise Refusal(403, "Access to this resource is denied.")

    def _key_for(self, token: str) -> Any:
        key_id = jwt.get_unverified_header(token).get("kid")
        if key_id not in self._keys:
            self._keys = self._read_keys()
        if key_id not in self._keys:
            raise ValueError("unknown key")
        return self._keys[key_id]

    def _read_keys(self) -> dict[str | None, Any]:
        try:
            key_set = jwt.PyJWKSet.from_json(self._jwks.read_text())
        except (jwt.PyJWTError, ValueError) as error:
            raise ValueError(f"--jwks {self._jwks}: no JSON Web Key Set: {error}") from None
        return {key.key_id: key.key for key in key_set.keys}


class Guard:
    """Everything that a request must show."""

    def __init__(self, token_check: TokenCheck | None, subscription_key: str | None) -> None:
        self._token_check = token_check
        self._subscription_key = subscription_key

    def check(self, headers: Mapping[str, str]) -> None:
        """401 or 403 for a request that may not go on."""
        if self._subscription_key is not None:
            given = headers.get(KEY_HEADER, "")
            if not hmac.compare_digest(given.encode(), self._subscription_key.encode()):
                what = "invalid" if given else "missing"
                raise Refusal(401, f"Access denied due to {what} subscription key.")
        if self._token_check is not None:
            self._token_check.check(headers)


def guard_of(settings: Settings) -> Guard | None:
    """The guard that the settings ask for, None for none. ValueError or OSError where they are incomplete."""
    token_check = None
    if settings.auth == "bearer":
        if not settings.jwks or not settings.audience:
            raise ValueError("--auth bearer needs --jwks FILE and --audience ID")
        token_check = TokenCheck(Path(settings.jwks), settings.audience, settings.issuer)
    key = None
    if settings.subscription_key_env:
        key = os.environ.get(settings.subscription_key_env)
        if not key:
            raise ValueError(f"--subscription-key-env: the variable {settings.subscription_key_env} is not set")
    return Guard(token_check, key) if token_check or key else None


def _permissions(claims: Mapping[str, Any]) -> set[str]:
    roles, scopes = claims.get("roles") or [], claims.get("scp") or ""
    return {str(role) for role in (roles if isinstance(roles, list) else [roles])} | set(str(scopes).split())


def _unauthorized(message: str, error: str) -> Refusal:
    challenge = _REALM
    if error:
        challenge += f', error="{error}", error_description="{message}"'
    return Refusal(401, message, {"WWW-Authenticate": challenge})
