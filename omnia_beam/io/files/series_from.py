"""Take the name of a series from the path of its file, where each file or each folder holds one series."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from omnia_beam.core.errors import UsageError

FIELD: Final = "{series}"
_COMPRESSED: Final = r"(?:\.(?:gz|bz2|xz|zst))?"
_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"


def series_of_path(path: str, pattern: str) -> str:
    """Return the series that a file belongs to.

    Args:
        path: the whole path of the file.
        pattern: the end of the path (`{series}.csv`), or a folder (`tag={series}/`); `*` matches anything within a
            part of the path. The suffix of a compression may follow. In folders `KEY=VALUE` the value's percent-encoding
            is decoded, since writers of such folders encode it.

    Raises:
        UsageError: the path does not match the pattern.
    """
    found = list(_compiled(pattern).finditer(path.replace("\\", "/")))
    name = found[-1]["series"] if found else ""
    if pattern.endswith("/") and f"={FIELD}" in pattern:
        name = unquote(name)
    if not name.strip() or name == _NO_VALUE:
        raise UsageError(
            f"source.series_from: {path}: the path names no series by {pattern!r}: correct path or series_from"
        )
    return name.strip()


@lru_cache(maxsize=16)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = [re.escape(part).replace(r"\*", "[^/]*") for part in pattern.split(FIELD)]
    body = "(?P<series>[^/]+)".join(parts)
    if pattern.endswith("/"):
        return re.compile(rf"(?:(?<=/)|^){body}")
    return re.compile(rf"(?:(?<=/)|^){body}{_COMPRESSED}$")
