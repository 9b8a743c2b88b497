"""JSON web tokens as Entra ID issues them (version 2.0), signed by a key of the mint's own."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm


class TokenMint:
    """Signs tokens (RS256) and publishes the key to check them by.

    `issuer` goes into `iss`; `clock` gives seconds since the epoch; `lifetime_s` may be changed between two tokens.
    """

    def __init__(self, issuer: str, tenant_id: str, clock: Callable[[], float], lifetime_s: int = 3600) -> None:
        self.issuer = issuer
        self.tenant_id = tenant_id
        self.lifetime_s = lifetime_s
        self._clock = clock
        self._key = _shared_key()
        self._public = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self._key_id = hashlib.sha256(self._public["n"].encode()).hexdigest()[:16]

    def sign(self, audience: str, lifetime_s: int | None = None, **claims: Any) -> str:
        """A token for `audience` that is valid from now on, with these further claims."""
        now = int(self._clock())
        standard = {
            "aud": audience,
            "iss": self.issuer,
            "iat": now,
            "nbf": now,
            "exp": now + (self.lifetime_s if lifetime_s is None else lifetime_s),
            "tid": self.tenant_id,
            "uti": uuid.uuid4().hex,  # no two tokens are equal
            "ver": "2.0",
        }
        return jwt.encode(standard | claims, self._key, algorithm="RS256", headers={"kid": self._key_id})

    def check(self, token: str, audience: str) -> dict[str, Any]:
        """The claims of a token of ours for `audience`. Raises jwt.InvalidTokenError."""
        # PyJWT would look at the machine's clock.
        options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
        claims: dict[str, Any] = jwt.decode(
            token, self._key.public_key(), ["RS256"], audience=audience, issuer=self.issuer, options=options
        )
        if not claims["nbf"] <= self._clock() < claims["exp"]:
            raise jwt.ExpiredSignatureError("outside nbf and exp")
        return claims

    def jwks(self) -> dict[str, Any]:
        """The JSON web key set with the public key."""
        return {"keys": [self._public | {"kid": self._key_id, "use": "sig", "alg": "RS256"}]}

    def write_jwks(self, path: Path) -> Path:
        """The key set as a file, as `omnia-beam emulator --jwks` takes it."""
        path.write_text(json.dumps(self.jwks()), encoding="utf-8")
        return path


_key: rsa.RSAPrivateKey | None = None


def _shared_key() -> rsa.RSAPrivateKey:
    """One key for all mints of the process: making one takes a tenth of a second."""
    global _key
    if _key is None:
        _key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return _key


def base64url(raw: bytes) -> str:
    """Without padding, as everything around JSON web tokens is."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
