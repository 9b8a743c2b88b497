"""The keys of a PostgreSQL table as a source and as a sink."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, model_validator

from omnia_beam.config.fields import OneOrMany, PathText, Status, Text, ZoneName
from omnia_beam.config.kind import SinkOptions, SourceOptions
from omnia_beam.config.section import Section, key, problem
from omnia_beam.core.addresses import is_loopback
from omnia_beam.core.limits import GOOD
from omnia_beam.io.postgresql.names import TableName
from omnia_beam.net.auth.credentials import AnyCredential

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

AZURE_RESOURCE: Final = "https://ossrdbms-aad.database.windows.net"
"""What Azure Database for PostgreSQL takes tokens of Microsoft Entra ID for. [Microsoft's documentation]"""

_CONNECTION: Final = frozenset({"credential", "sslmode", "ca_bundle", "resource_id"})
"""Keys that say how the table is reached, and change no point."""

_UNENCRYPTED: Final = ("disable", "allow", "prefer")


def _check_url(text: str) -> str:
    example = "write it like postgresql://host:5432/plant"
    try:
        url = urlsplit(text.strip())
        _ = url.port
    except ValueError:
        raise problem(f"is not a URL; {example}") from None
    if url.password is not None:
        raise problem("holds a password (not shown): name a credential below `credential` instead")
    if url.scheme not in ("postgresql", "postgres") or not url.hostname or not url.path.strip("/"):
        raise problem(f"is not the URL of a PostgreSQL database; {example}")
    if "/" in url.path.strip("/") or url.query or url.fragment:
        raise problem(f"has more than host, port and database; TLS is set by sslmode and ca_bundle; {example}")
    return text.strip().rstrip("/")


def _check_table(text: str) -> str:
    try:
        TableName.parse(text)
    except ValueError as error:
        raise problem(str(error)) from None
    return text


DatabaseUrl = Annotated[Text, AfterValidator(_check_url)]
TableText = Annotated[Text, AfterValidator(_check_table)]


class PostgresqlOptions(Section):
    """A database, how to sign in to it, and one of its tables."""

    url: DatabaseUrl = key(
        "Host, port and database, such as `postgresql://host:5432/plant`; a user may stand before the host."
    )
    credential: AnyCredential = key(
        "How to sign in: `basic` for an account with a password, an azure kind for a token of Microsoft Entra ID (the user then "
        "stands in `url`), `anonymous` where the server asks for nothing."
    )
    table: TableText = key("The table, such as `public.readings`; each name is spelled as in the catalog.")
    sslmode: SslMode | None = key(
        "How the connection is protected, as in libpq. Without it `verify-full`, and `prefer` for this machine itself.",
        None,
    )
    ca_bundle: PathText | None = key("PEM file of the authorities to trust for TLS; otherwise the system's.", None)
    resource_id: Text | None = key(
        "OAuth resource that tokens are asked for by the azure kinds; otherwise that of Azure Database for PostgreSQL.",
        None,
    )

    @model_validator(mode="after")
    def _signs_in_safely(self) -> PostgresqlOptions:
        kind = self.credential.kind
        if kind in ("kerberos", "ntlm"):
            raise problem(f"kind {kind} is not for PostgreSQL: use basic, anonymous or an azure kind", at="credential")
        if kind not in ("basic", "anonymous"):
            if urlsplit(self.url).username is None:
                raise problem(f"needs the user before the host, since credential {kind} gives a token alone", at="url")
            if self.mode in _UNENCRYPTED and not is_loopback(self.url):
                raise problem(f"{self.mode} could send the token over the network for all to read", at="sslmode")
        return self

    @property
    def mode(self) -> str:
        """The TLS mode in force."""
        return self.sslmode or ("prefer" if is_loopback(self.url) else "verify-full")

    @property
    def place(self) -> str:
        """Host, port, database and table, for messages and the scope; in one spelling whatever way they are written."""
        url = urlsplit(self.url)
        database = unquote(url.path.strip("/"))
        return f"postgresql://{url.hostname}:{url.port or 5432}/{database} {TableName.parse(self.table)}"


class TableColumns(Section):
    """Names of the table's columns."""

    series_id: Text = key(
        "Column of the series' id: a text, a uuid or an integer. Not used by `layout: wide`.", "series_id"
    )
    time: Text = key("Column of the time: a timestamp with or without a zone, a date or an integer.", "time")
    value: Text = key("Column of the value: any number, or a boolean. Not used by `layout: wide`.", "value")
    status: Text | None = key("Column of the status, an integer; `null` where there is none.", "status")
    text: Text | None = key(
        "Column of texts, whose rows are points with the value NaN. Without it a column `text` counts beside values that are NaN. "
        "Not used by `layout: wide`.",
        None,
    )


class TableSelection(Section):
    """Which series to read: all that any of the keys names, each once."""

    ids: OneOrMany[Text] = key("Ids of series, as the table spells them; columns of `layout: wide`.", ())
    ids_file: PathText | None = key(
        "File of ids: one a line, or CSV with a column `id`, `series_id` or `source`; `#` begins a comment.", None
    )
    search: OneOrMany[Text] = key("Patterns of ids, such as `27PT*`; `*` stands for anything.", ())

    @model_validator(mode="after")
    def _selects_something(self) -> TableSelection:
        if not self.ids and self.ids_file is None and not self.search:
            raise problem("selects nothing: give ids, ids_file or search; without the key `series` all are read")
        return self


class PostgresqlSource(PostgresqlOptions, SourceOptions):
    """A table of PostgreSQL to read: a row a point, or a column a series."""

    beside: ClassVar = _CONNECTION | {"series"}
    apart: ClassVar = frozenset({"url", "table"})
    job_starter: ClassVar = {"window": ""}

    kind: Literal["postgresql"] = key("The kind of source.")
    columns: TableColumns = key("Names of the table's columns.", default_factory=TableColumns)
    layout: Literal["long", "wide"] = key(
        "`long`: a row a point. `wide`: a time column, and one column a series.", "long"
    )
    time_unit: Literal["s", "ms", "us", "ns"] = key("What an integer in the time column counts, since 1970 UTC.", "ns")
    timezone: ZoneName = key("Zone of times that name none: a name, or a fixed offset such as `+01:00`.", "UTC")
    default_status: Status = key("Status of points that come without one.", GOOD)
    series: TableSelection | None = key("Which series to read; all of the table without it.", None)

    def identity(self) -> dict[str, str]:
        """Return the database and table, and how rows are understood."""
        return {"source": self.place, "reading": self.options_digest()}

    def selection(self) -> str:
        """Return the selection of series as a text."""
        return repr(self.series)

    def resolved(self, series_ids: tuple[str, ...]) -> PostgresqlSource:
        """Return the options with ids in place of a file of ids, which only this machine may have."""
        if self.series is None or self.series.ids_file is None:
            return self
        series = self.series.model_copy(update={"ids": series_ids, "ids_file": None})
        return self.model_copy(update={"series": series})


class PostgresqlSink(PostgresqlOptions, SinkOptions):
    """A table of PostgreSQL to write: columns series_id, time, value and status, unique by series_id and time."""

    beside: ClassVar = _CONNECTION | {"create", "default_status", "commit_points"}
    job_starter: ClassVar = {"window": ""}

    is_read_whole: ClassVar = True

    kind: Literal["postgresql"] = key("The kind of sink.")
    create: bool = key("Create the table where it does not exist, a hypertable where TimescaleDB is installed.", False)
    time: Literal["timestamptz", "bigint_ns"] = key(
        "Type of the time column: `timestamptz` keeps microseconds, `bigint_ns` every nanosecond since 1970 UTC.",
        "timestamptz",
    )
    time_resolution: Literal["dead_letter", "truncate"] = key(
        "What becomes of times finer than the column's microsecond: kept as dead letters, or cut off (and counted; two points "
        "in the same step become one).",
        "dead_letter",
    )
    default_status: Status = key(
        "Status of rows that others have written without one, where the table is compared.", GOOD
    )
    text: bool = key(
        "Whether the table has a nullable column `text`, for series whose values are texts: their value is NaN. Without it such "
        "points are the finding `text_values`.",
        False,
    )
    commit_points: int = key(
        "Points in one transaction, about; several windows go into one.", 1_000_000, ge=1, le=100_000_000
    )

    def identity(self) -> dict[str, str]:
        """Return the database and table, and what is stored of times that it cannot hold."""
        resolution = f" time_resolution={self.time_resolution}" if self.time == "timestamptz" else ""
        texts = " with texts" if self.text else ""
        return {"sink": self.place, "writing": f"time={self.time}{resolution}{texts}"}
