"""Connections to one database: psycopg for statements and COPY into a table, ADBC for rows that come back as Arrow columns.

Measured on PostgreSQL 15 with rows of four columns: COPY into a table costs the client 0.06 µs a row by psycopg, with rows that
numpy has encoded, and 0.5 µs by ADBC; rows that come back cost 3 µs by psycopg, which gives them one by one, and 0.5 µs by ADBC.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from omnia_beam.core.errors import UsageError
from omnia_beam.io.postgresql.failure import database_error
from omnia_beam.io.postgresql.options import AZURE_RESOURCE, PostgresqlOptions
from omnia_beam.net.auth.account import BasicCredential
from omnia_beam.net.auth.credentials import AnyCredential
from omnia_beam.net.auth.token_provider import TokenProvider

if TYPE_CHECKING:
    import psycopg

DURABLY: Final = (
    "select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off'"
)
"""The statement by which the present transaction is stored when its commit returns: a receipt would be a lie otherwise."""

_EXTRA = "kind postgresql needs the module {}: pip install 'omnia-beam[postgresql]'"


@dataclass(frozen=True)
class Database:
    """A database and how to sign in to it. It is pickled to the workers and holds no secret.

    Args:
        url: without a password.
        credential: how to sign in.
        sslmode, ca_bundle: how the connection is protected.
        resource_id: what a token is asked for.
    """

    url: str
    credential: AnyCredential
    sslmode: str
    ca_bundle: str | None = None
    resource_id: str = AZURE_RESOURCE

    @classmethod
    def of(cls, options: PostgresqlOptions) -> Database:
        """Return the database that options name."""
        resource_id = options.resource_id or AZURE_RESOURCE
        return cls(options.url, options.credential, options.mode, options.ca_bundle, resource_id)

    @property
    def name(self) -> str:
        """Host, port and database, for messages."""
        url = urlsplit(self.url)
        return f"{url.hostname}:{url.port or 5432}/{unquote(url.path.strip('/'))}"

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection[Any]]:
        """Open a connection for the block. Each statement is a transaction of its own, unless the block begins one.

        Raises:
            UsageError, CredentialError, ServiceError: as `connect`; also what a statement of the block raises, in these terms.
        """
        with self.reporting(), self.connect() as connection:
            yield connection

    def connect(self) -> psycopg.Connection[Any]:
        """Open a connection in UTC.

        Raises:
            UsageError: the extra is not installed, or there is no such database.
            CredentialError: the server refuses the account.
            UnreachableError: there is no connection.
        """
        try:
            import psycopg
        except ImportError:
            raise UsageError(_EXTRA.format("psycopg")) from None
        with self.reporting():
            # A pooler may give each transaction another session, which knows no statement that was prepared in one before.
            connection = psycopg.connect(self._conninfo(), autocommit=True, prepare_threshold=None)
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            connection.execute(
                "set timezone = 'UTC'; set standard_conforming_strings = on; set client_min_messages = error; "
                "set default_transaction_isolation = 'read committed'; "
                f"{DURABLY.replace('true', 'false')}"
            )
            return connection

    @contextmanager
    def arrow(self) -> Iterator[Any]:
        """Open a connection whose cursors return Arrow columns, for the block; raises as `connected`."""
        try:
            from adbc_driver_postgresql import dbapi
        except ImportError:
            raise UsageError(_EXTRA.format("adbc_driver_postgresql")) from None
        with self.reporting(), dbapi.connect(self._conninfo(), autocommit=True) as connection:
            with one_transaction(connection), connection.cursor() as cursor:
                cursor.execute("set timezone = 'UTC'")
                cursor.execute("set standard_conforming_strings = on")
                cursor.execute("set default_transaction_isolation = 'read committed'")
            yield connection

    @contextmanager
    def reporting(self, doing: str = "") -> Iterator[None]:
        """Turn errors of both drivers into those of this package; `doing` names the table or the window, where that is known."""
        try:
            yield
        except Exception as error:
            found = database_error(error, self.name, doing)
            if found is None:
                raise
        else:
            return
        raise found  # outside of the except block, so that no driver's error with its statement travels along

    def _conninfo(self) -> str:
        from psycopg.conninfo import make_conninfo

        url = urlsplit(self.url)
        user = None if url.username is None else unquote(url.username)
        password: str | None = None
        if isinstance(self.credential, BasicCredential):
            user, password = self.credential.account()
        elif self.credential.kind != "anonymous":
            password = token_provider(self.credential, self.resource_id).token()
        parts: dict[str, Any] = {
            "host": url.hostname,
            "port": url.port or 5432,
            "dbname": unquote(url.path.strip("/")),
            "user": user,
            "password": password,
            "sslmode": self.sslmode,
            "sslrootcert": self._authorities() if self.sslmode.startswith("verify") else self.ca_bundle,
            "application_name": "omnia-beam",
            "connect_timeout": 10,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "client_encoding": "UTF8",
        }
        return make_conninfo(**{name: value for name, value in parts.items() if value is not None})

    def _authorities(self) -> str:
        """Return the file of authorities; the drivers' own libraries do not know where this system keeps its."""
        return self.ca_bundle or ssl.get_default_verify_paths().cafile or "system"


@contextmanager
def one_transaction(connection: Any) -> Iterator[None]:
    """Carry out the statements of a block in one transaction of an ADBC connection.

    The driver prepares a statement and then carries it out, for which a pooler may take two sessions otherwise.
    """
    connection.adbc_connection.set_autocommit(False)
    yield
    connection.adbc_connection.set_autocommit(True)  # an error leaves a connection that is of no use any more


@cache
def token_provider(credential: AnyCredential, resource_id: str) -> TokenProvider:
    """Return this process's provider, which keeps a token until shortly before it expires."""
    return TokenProvider.of(credential, resource_id)
