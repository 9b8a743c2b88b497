"""The places that paths name: this machine's disk, or a key in a container of Azure, S3 or Google Cloud Storage."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from omnia_beam.core.errors import UsageError

Service = Literal["az", "s3", "gs"]

SPELLINGS: Final = (
    "a local path, az://CONTAINER/…, abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/…, "
    "https://ACCOUNT.blob.core.windows.net/CONTAINER/…, s3://BUCKET/… or gs://BUCKET/…"
)
_AZURE_HOST: Final = re.compile(
    r"(?P<account>[a-z0-9-]+)\.(?:blob|dfs)\.(?P<cloud>core\.(?:windows\.net|chinacloudapi\.cn|usgovcloudapi\.net))"
)
_PUBLIC_CLOUD: Final = "core.windows.net"
_ACCOUNT_VARIABLES: Final = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")


class SignIn(Protocol):
    """A way to sign in, without any secret: it is hashable and can be pickled."""

    @property
    def kind(self) -> str:
        """Its name in the configuration."""

    def build(self) -> Any:
        """Return the credential, whose `get_token` gives tokens."""


@dataclass(frozen=True, slots=True)
class StorageEntry:
    """How the places below a prefix are reached, where the environment does not configure it. It holds no secret.

    Args:
        prefix: of places in their short spelling, such as `az://lake/` or `s3://`.
        account: the storage account of Azure.
        endpoint: URL of the service, in place of the cloud's own.
        account_key_env, sas_token_env: environment variables that hold an account key and a SAS token.
        credential: how to sign in to Azure; None for the environment's.
        region: of S3.
        anonymous: whether requests are not signed.
    """

    prefix: str
    account: str | None = None
    endpoint: str | None = None
    account_key_env: str | None = None
    sas_token_env: str | None = None
    credential: SignIn | None = None
    region: str | None = None
    anonymous: bool = False


class Place(str):
    """A path on an object store together with the settings of its service; for everything else it is the path.

    Operations of `str` return plain texts, which lose the settings: join names to a place with `within`.

    Attributes:
        entry: the settings; None where the environment configures all.
    """

    __slots__ = ("entry",)
    entry: StorageEntry | None

    def __new__(cls, path: str, entry: StorageEntry | None = None) -> Place:
        place = super().__new__(cls, path)
        place.entry = entry
        return place

    def __getnewargs__(self) -> tuple[Any, ...]:
        return str(self), self.entry


def is_remote(path: str) -> bool:
    """Return whether a path is on an object store, and not on this machine's disk."""
    return "://" in path


def within(folder: str, name: str) -> str:
    """Return the path of a name in a folder, with the folder's settings."""
    path = f"{folder.rstrip('/')}/{name}" if name else folder
    return Place(path, folder.entry) if isinstance(folder, Place) else path


def with_settings(path: str, entries: Iterable[StorageEntry]) -> str:
    """Return a path with the settings of the entry whose prefix is the longest that fits; local paths as they are.

    Raises:
        UsageError: it names no store that is known.
    """
    if not is_remote(path):
        return path
    short = Location.of(path).short
    fitting = [each for each in entries if short.startswith(each.prefix)]
    return Place(path, max(fitting, key=lambda each: len(each.prefix), default=None))


def identity_of(path: str) -> str:
    """Return one text for a place on an object store, whatever spelling it has: what receipts of jobs are kept under.

    Raises:
        UsageError: it names no store, or the storage account is not known.
    """
    location = Location.of(path)
    if location.service != "az":
        return path.rstrip("/")
    return f"az://{location.known_account()}/{location.container}/{location.key}".rstrip("/")


@dataclass(frozen=True, slots=True)
class Location:
    """The parts of a place on an object store.

    Args:
        service: `az`, `s3` or `gs`.
        container: container or bucket.
        key: path in it, without slashes at its ends.
        base: text in front of the key in the spelling of the place, with a slash at its end.
        account: the storage account; None where the spelling does not name it.
        endpoint: URL of the service; None for the public cloud's.
        entry: the place's settings.
    """

    service: Service
    container: str
    key: str
    base: str
    account: str | None = None
    endpoint: str | None = None
    entry: StorageEntry | None = field(default=None, repr=False)

    @classmethod
    def of(cls, path: str) -> Location:
        """Return the parts of a place.

        Raises:
            UsageError: it names no store that is known; the message has the spellings that are.
        """
        scheme, _, rest = path.partition("://")
        entry = path.entry if isinstance(path, Place) else None
        first, *names = rest.split("/")
        names = [name for name in names if name]
        account: str | None = None
        endpoint: str | None = None
        base = f"{scheme}://{first}/"
        if scheme in ("az", "s3", "gs"):
            container = first
        elif scheme in ("abfss", "abfs"):
            container, _, host = first.partition("@")
            account, endpoint = _azure(path, host)
        elif scheme == "https" and _AZURE_HOST.fullmatch(first):
            account, endpoint = _azure(path, first)
            container, names = (names[0] if names else ""), names[1:]
            base += f"{container}/"
        elif scheme == "azfs":
            account = first
            container, names = (names[0] if names else ""), names[1:]
            base += f"{container}/"
        else:
            raise _unknown(path, scheme)
        if not container or (scheme in ("abfss", "abfs", "azfs") and not account):
            raise UsageError(f"{path}: names no container: write {SPELLINGS}")
        if ".." in names or "." in names:
            raise UsageError(f"{path}: holds . or .. for a folder, which object stores do not have: write the path out")
        if not path.isprintable():
            raise UsageError(f"{path!r}: holds a control character, which names of objects must not have")
        service: Service = "s3" if scheme == "s3" else "gs" if scheme == "gs" else "az"
        return cls(service, container, "/".join(names), base, account, endpoint, entry)

    @property
    def short(self) -> str:
        """The short spelling, to which the prefixes of storage entries refer."""
        return f"{self.service}://{self.container}/{self.key}"

    def known_account(self) -> str:
        """Return the storage account, from the place, its settings or the environment.

        Raises:
            UsageError: none of them names it.
        """
        from_entry = self.entry.account if self.entry is not None else None
        found = (
            self.account or from_entry or next((os.environ[n] for n in _ACCOUNT_VARIABLES if os.environ.get(n)), None)
        )
        if found is None:
            raise UsageError(
                f'{self.short}: the storage account is not known: give storage: {{for: "az://{self.container}/", '
                f"account: …}}, or set {_ACCOUNT_VARIABLES[0]}, or write https://ACCOUNT.blob.core.windows.net/"
                f"{self.container}/…"
            )
        return found


def _azure(path: str, host: str) -> tuple[str, str | None]:
    found = _AZURE_HOST.fullmatch(host)
    if found is None:
        raise UsageError(f"{path}: {host} is no storage account of Azure: write {SPELLINGS}")
    cloud = found["cloud"]
    return found["account"], None if cloud == _PUBLIC_CLOUD else f"https://{found['account']}.blob.{cloud}"


def _unknown(path: str, scheme: str) -> UsageError:
    if scheme == "file":
        return UsageError(f"{path}: write a local path without file://")
    if scheme == "hdfs":
        return UsageError(
            f"{path}: HDFS is not read or written any more: mount it (NFS gateway, hdfs-fuse) and give the local path, or "
            f"copy to an object store: {SPELLINGS}"
        )
    return UsageError(f"{path}: no store is known for {scheme}://: write {SPELLINGS}")
