"""Read the secrets and ids of a credential, from the files and environment variables that its keys name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from omnia_beam.core.errors import UsageError
from omnia_beam.core.redaction import remember_secret
from omnia_beam.net.auth.options import CredentialOptions


class Secrets:
    """The places from which the parts of one credential are read: its own keys, files, an environment.

    Args:
        options: the credential; `key`s below are names of its keys, without `_env` and `_file`.
        environ: where variables are looked up; this process's environment when None.
    """

    def __init__(self, options: CredentialOptions, environ: Mapping[str, str] | None) -> None:
        self._options = options
        self._kind = options.kind
        self._environ = os.environ if environ is None else environ

    def get(self, name: str) -> str | None:
        """Return the variable's value; None where it is not set or empty."""
        return self._environ.get(name) or None

    def id(self, key: str) -> str:
        """Return `tenant_id` or `client_id`: the literal, or else the value of its variable.

        Raises:
            UsageError: neither is given.
        """
        literal: str | None = getattr(self._options, key)
        variable: str = getattr(self._options, f"{key}_env") or f"AZURE_{key.upper()}"
        value = literal or self.get(variable)
        if not value:
            raise self.missing(variable, f"{key}_env", instead=f"credential.{key}")
        return value.strip()

    def secret(self, key: str) -> str:
        """Return a secret such as `client_secret` or `password`: from its file, or else from its variable.

        Raises:
            UsageError: neither is given, or the file cannot be read.
        """
        value = self.optional_secret(key)
        if value is None:
            variable = getattr(self._options, f"{key}_env")
            raise self.missing(variable, f"{key}_env", instead=f"credential.{key}_file")
        return value

    def optional_secret(self, key: str) -> str | None:
        """Return the secret from its file, or else from its variable; None where neither is given.

        Raises:
            UsageError: the file cannot be read, is empty or is not text.
        """
        path = getattr(self._options, f"{key}_file")
        value = self._read_file(f"{key}_file", path) if path else self.get(getattr(self._options, f"{key}_env"))
        if value:
            remember_secret(value)
        return value

    def existing_file(self, key: str, path: str) -> str:
        """Return the path, with `~` expanded.

        Raises:
            UsageError: it is not a readable file.
        """
        expanded = os.path.expanduser(path)
        if not (os.path.isfile(expanded) and os.access(expanded, os.R_OK)):
            raise UsageError(
                f"credential.{key}: {expanded} is not a file that can be read here; credential kind {self._kind!r} "
                "wants it. On a cluster it must be there on every worker."
            )
        return expanded

    def missing(self, variable: str, key: str, instead: str) -> UsageError:
        """Return the error for a variable that is not set; `instead` names the key that would do without it."""
        return UsageError(
            f"credential kind {self._kind!r} needs the environment variable {variable} (credential.{key}), which is not set "
            f"or empty in this process. Set it where the job runs, on a cluster on every worker; or use {instead}."
        )

    def _read_file(self, key: str, path: str) -> str:
        expanded = self.existing_file(key, path)
        try:
            value = Path(expanded).read_text(encoding="utf-8").strip()  # editors and `kubectl` add a line end
        except UnicodeDecodeError:
            value = ""
        if not value:
            raise UsageError(f"credential.{key}: {expanded} is empty or not text (kind {self._kind!r} reads it)")
        return value
