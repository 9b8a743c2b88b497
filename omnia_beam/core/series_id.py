"""Compare ids of timeseries: they are GUIDs, and one id in capitals, in braces, without dashes or as a URN is one series."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_GUID: Final = re.compile(
    r"(?:urn:uuid:)?(?P<brace>\{)?([0-9a-f]{8})(-?)([0-9a-f]{4})\3([0-9a-f]{4})\3([0-9a-f]{4})\3([0-9a-f]{12})(?(brace)\})",
    re.IGNORECASE | re.ASCII,
)

_CANONICAL: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def canonical_id(text: str) -> str:
    """Return an id in the service's spelling: small letters with dashes for a GUID, any other text unchanged.

    >>> canonical_id("{6F9619FF-8B86-D011-B42D-00C04FC964FF}")
    '6f9619ff-8b86-d011-b42d-00c04fc964ff'
    """
    if _CANONICAL.fullmatch(text):  # as the service spells all of them: a tenth of the time
        return text
    found = _GUID.fullmatch(text)
    if found is None:
        return text
    return "-".join(found[group].lower() for group in (2, 4, 5, 6, 7))


@lru_cache(maxsize=16_384)  # of every page the same ids are compared, several times
def id_key(text: str) -> str:
    """Return a key that is equal for two spellings of one series, also where ids are not GUIDs: the service ignores the case."""
    return canonical_id(text).lower()
