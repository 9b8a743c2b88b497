"""What a test may ask a running emulator, wherever it runs."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, cast

_TIMEOUT_S = 10.0


def control_token_for(arguments: Sequence[str]) -> str | None:
    """A new token for the emulator's own endpoints, where its arguments shut them; None where they are open.

    A test that starts an emulator need not hold a token of the service to set faults.
    """
    shut = any(each.startswith(("--auth", "--subscription-key-env")) for each in arguments)
    return secrets.token_urlsafe(24) if shut else None


class Remote:
    """The emulator's own endpoints. `url` is its base URL."""

    url: str
    _control_token: str | None = None

    def stats(self) -> dict[str, Any]:
        """Counts since the start; see `Stats.as_json`."""
        return cast(dict[str, Any], self._ask("GET", "stats"))

    def set_faults(self, rules: Sequence[str]) -> None:
        """Puts these rules in force and no others; none lifts all. ValueError for a rule that cannot be read."""
        self._ask("POST", "faults", list(rules))

    def _ask(self, method: str, what: str, content: Any = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        # The URL is the emulator's own, printed by it: always http.
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self._control_token is not None:
            headers["Authorization"] = f"Bearer {self._control_token}"
        request = urllib.request.Request(f"{self.url}/_emulator/{what}", body, headers, method=method)  # noqa: S310
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_TIMEOUT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(json.load(error)["message"]) from None
