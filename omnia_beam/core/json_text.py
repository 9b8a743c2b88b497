"""JSON from a file that anything may have written."""

from __future__ import annotations

import json
from typing import Any


def load_json(text: str | bytes) -> Any:
    """The value of a JSON text; a text that is nested too deeply to be read is a ValueError like any other that is not JSON.

    Raises:
        ValueError: not JSON.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("not JSON that can be read: nested too deeply") from None
