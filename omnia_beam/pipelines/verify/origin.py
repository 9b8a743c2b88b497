"""Where a report comes from: who made it, on which machine, with which programs, and under which scope of the ledger."""

from __future__ import annotations

import getpass
import platform
import socket
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

_PACKAGES: Final = ("omnia-beam", "apache-beam", "pyarrow", "numpy")


@dataclass(frozen=True)
class Origin:
    """Who made a report, and with what.

    Args:
        scope_digest: of the ledger's scope, 32 hex digits.
        user, host: names, as the system gives them; empty where it gives none.
        system: operating system and processor.
        versions: (name, version) of the programs that took part.
    """

    scope_digest: str = ""
    user: str = ""
    host: str = ""
    system: str = ""
    versions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def here(cls, scope_digest: str) -> Origin:
        """Return this process's facts."""
        found = [(name, _version(name)) for name in _PACKAGES]
        versions = (*((name, text) for name, text in found if text), ("Python", platform.python_version()))
        return cls(scope_digest, _user(), socket.gethostname(), f"{platform.system()} {platform.machine()}", versions)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for a report."""
        return {
            "scope_digest": self.scope_digest,
            "user": self.user,
            "host": self.host,
            "system": self.system,
            "versions": dict(self.versions),
        }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user id may have no name
        return ""
