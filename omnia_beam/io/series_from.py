"""The name of a series out of the path of its file: one file a series, or one folder a series."""

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
    """The series that a file belongs to.

    Args:
        path: of the file, whole.
        pattern: the end of the path (`{series}.csv`), or a folder (`tag={series}/`); `*` stands for anything within a
            part of the path. The suffix of a compression may follow. In folders `KEY=VALUE` the value's percent signs are
            undone, as those who write such folders put them in.

    Raises:
        UsageError: the path is not of this form.
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
