"""Access control: bearer tokens checked against the issuer's keys, and a subscription key.

No token and no key is ever kept, logged or repeated in a response.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jwt

from omnia_beam.emulator.common.serving.response import Refusal
from omnia_beam.emulator.settings import Settings

KEY_HEADER: Final = "Ocp-Apim-Subscription-Key"
_REALM: Final = 'Bearer realm="omnia-beam emulator"'


class TokenCheck:
    """A check of RS256 tokens: signature by the key set, expiry, not-before, and audience and issuer where they are required.

    The key set is read again when a token names a key that it does not hold, because issuers roll their keys. Without a
    key set no signature can be checked: any token then passes whose own claims do not show that it has expired or is
    meant for another audience or issuer.
    """

    def __init__(self, jwks: Path | None, audiences: tuple[str, ...], issuer: str | None) -> None:
        self._jwks = jwks
        self._audiences = audiences
        self._issuer = issuer
        self._keys = {} if jwks is None else self._read_keys(jwks)

    def check(self, headers: Mapping[str, str]) -> None:
        """Refuse a request without a valid token with 401, and one whose `roles` or `scp` contain `denied` with 403."""
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _unauthorized("A bearer token is required.", "")
        try:
            claims = self._unsigned(token.strip()) if self._jwks is None else self._signed(token.strip(), self._jwks)
        except jwt.ExpiredSignatureError:
            raise _unauthorized("The token has expired.", "invalid_token") from None
        except jwt.InvalidAudienceError:
            raise _unauthorized("The token is for another audience.", "invalid_token") from None
        except (jwt.PyJWTError, ValueError):
            # The message of the library could contain parts of the token.
            raise _unauthorized("The token is not valid.", "invalid_token") from None
        if "denied" in _permissions(claims):
            raise Refusal(403, "Access to this resource is denied.")

    def _signed(self, token: str, jwks: Path) -> Mapping[str, Any]:
        claims: Mapping[str, Any] = jwt.decode(
            token,
            self._key_for(token, jwks),
            algorithms=["RS256"],
            audience=list(self._audiences) or None,
            issuer=self._issuer,
            options={"require": ["exp", "aud"], "verify_aud": bool(self._audiences)},
        )
        return claims

    def _unsigned(self, token: str) -> Mapping[str, Any]:
        if token.count(".") != 2:
            return {}  # not a JWT: nothing can be read in it
        claims: Mapping[str, Any] = jwt.decode(
            token,
            audience=list(self._audiences) or None,
            issuer=self._issuer,
            options={
                "verify_signature": False,
                "verify_exp": True,
                "verify_aud": bool(self._audiences),
                "verify_iss": self._issuer is not None,
            },
        )
        return claims

    def _key_for(self, token: str, jwks: Path) -> Any:
        key_id = jwt.get_unverified_header(token).get("kid")
        if key_id not in self._keys:
            self._keys = self._read_keys(jwks)
        if key_id not in self._keys:
            raise ValueError("unknown key")
        return self._keys[key_id]

    @staticmethod
    def _read_keys(jwks: Path) -> dict[str | None, Any]:
        try:
            key_set = jwt.PyJWKSet.from_json(jwks.read_text())
        except (jwt.PyJWTError, ValueError) as error:
            raise ValueError(f"--jwks {jwks}: no JSON Web Key Set: {error}") from None
        return {key.key_id: key.key for key in key_set.keys}


class Guard:
    """The check of everything that a request must show: its subscription key and its token."""

    def __init__(self, token_check: TokenCheck | None, subscription_key: str | None) -> None:
        self._token_check = token_check
        self._subscription_key = subscription_key

    def check(self, headers: Mapping[str, str]) -> None:
        """Refuse a request without the required key or token with 401, one whose token is denied access with 403."""
        if self._subscription_key is not None:
            given = headers.get(KEY_HEADER, "")
            if not hmac.compare_digest(given.encode(), self._subscription_key.encode()):
                what = "invalid" if given else "missing"
                raise Refusal(401, f"Access denied due to {what} subscription key.")
        if self._token_check is not None:
            self._token_check.check(headers)


def guard_of(settings: Settings) -> Guard | None:
    """Return the guard that the settings describe, or None where they require nothing.

    Raises ValueError or OSError where the settings are incomplete.
    """
    token_check = None
    if settings.auth == "bearer":
        token_check = TokenCheck(Path(settings.jwks) if settings.jwks else None, settings.audience, settings.issuer)
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
