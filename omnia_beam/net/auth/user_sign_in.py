"""Sign a person in: one prompt, then none while the refresh token lives, also in later runs where a cache is configured.

azure-identity's own disk cache holds the tokens, but a new process finds them only when it also knows *whose* they are:
from the authentication record (account, tenant, client; no secret), which the caller has to keep. This module keeps it in
`~/.omnia-beam/sign-in/<name>.json`.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from azure.core.credentials import AccessToken
from azure.identity import AuthenticationRecord, AuthenticationRequiredError

_LOG = logging.getLogger(__name__)


class PersonCredential(Protocol):
    """The common interface of the two azure-identity classes that prompt a person."""

    def get_token(self, *scopes: str, claims: str | None = None, **options: Any) -> AccessToken: ...

    def authenticate(self, **options: Any) -> AuthenticationRecord: ...

    def close(self) -> None: ...


class UserSignIn:
    """A `TokenCredential` that prompts a person only when no earlier sign-in is usable.

    `make` builds the azure-identity credential, with its automatic prompts off, from a record or from None (no sign-in yet).
    `record` is the file that keeps the record between runs; with None it is lost when the process ends.
    """

    def __init__(self, make: Callable[[AuthenticationRecord | None], PersonCredential], record: Path | None) -> None:
        kept = _read_record(record) if record else None
        self._record = record
        self._credential = make(kept)
        self._signed_in = kept is not None

    @property
    def name(self) -> str:
        """The name of the azure-identity class, for messages."""
        return type(self._credential).__name__

    def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **options: Any,
    ) -> AccessToken:
        """Return a token of the existing sign-in, by its refresh token if necessary; else of a new sign-in, after a prompt.

        Raises:
            ClientAuthenticationError, CredentialUnavailableError: as azure-identity raises them.
        """
        wanted: dict[str, Any] = {"tenant_id": tenant_id, "enable_cae": enable_cae, **options}
        if self._signed_in:
            try:
                return self._credential.get_token(*scopes, claims=claims, **wanted)
            except AuthenticationRequiredError:
                _LOG.info("the earlier sign-in is no longer valid: a new one is needed")
        record = self._credential.authenticate(scopes=list(scopes), claims=claims, **wanted)
        self._signed_in = True
        if self._record:
            _write_record(self._record, record)
        return self._credential.get_token(*scopes, **wanted)

    def close(self) -> None:
        """Close the connections to the authority."""
        self._credential.close()


def record_path(name: str) -> Path:
    """Return the file for the record of the token cache `name`: below the home directory, as the cache itself is."""
    return Path("~/.omnia-beam/sign-in").expanduser() / f"{name}.json"


def _read_record(path: Path) -> AuthenticationRecord | None:
    try:
        return AuthenticationRecord.deserialize(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        _LOG.warning("the saved sign-in %s cannot be read (%s): a new one is needed", path, error)
        return None


def _write_record(path: Path, record: AuthenticationRecord) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=path.parent)  # only the owner can read it
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(record.serialize())
        os.replace(temporary, path)
    except OSError as error:
        # This run has its token; only the next one has to prompt.
        _LOG.warning("the sign-in could not be saved in %s (%s): the next run needs a new one", path, error)
