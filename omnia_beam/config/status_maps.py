"""Map the status codes of historians to Omnia's and back. [wiki]

Only the readable rows of the published table are here, and more rows exist: `unlisted_status` decides about a code that is
not listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_PI: Final = {192: 192, 64: 64, 0: 0, 24: 24, 8: 8, 60: 60}
_IP21: Final = {0: 192, 1: 64, 2: 0, 4: 24, 5: 8, 6: 60}

STATUS_MAPS: Final[Mapping[str, Mapping[int, int]]] = {
    "pi": _PI,
    "ip21": _IP21,
    "omnia_to_pi": {omnia: pi for pi, omnia in _PI.items()},
    "omnia_to_ip21": {omnia: ip21 for ip21, omnia in _IP21.items()},
}
"""Name -> {status of the source: status of the target}. `pi` and `ip21` lead to Omnia, the others back."""
