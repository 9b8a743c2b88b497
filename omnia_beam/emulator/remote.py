"""What a test may ask a running emulator, wherever it runs."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, cast

_TIMEOUT_S = 10.0


class Remote:
    """The emulator's own endpoints. `url` is its base URL."""

    url: str

    def stats(self) -> dict[str, Any]:
        """Counts since the start; see `Stats.as_json`."""
        return cast(dict[str, Any], self._ask("GET", "stats"))

    def set_faults(self, rules: Sequence[str]) -> None:
        """Puts these rules in force and no others; none lifts all. ValueError for a rule that cannot be read."""
        self._ask("POST", "faults", list(rules))

    def _ask(self, method: str, what: str, content: Any = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        # The URL is the emulator's own, printed by it: always http.
        request = urllib.request.Request(f"{self.url}/_emulator/{what}", body, method=method)  # noqa: S310
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_TIMEOUT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(json.load(error)["message"]) from None
