"""What a test may request of a running emulator, on a thread or in another process."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, cast

_TIMEOUT_S = 10.0


def control_token_for(arguments: Sequence[str]) -> str | None:
    """Return a new token for the emulator's own endpoints where its arguments protect them, or None where they are open.

    With it, a test that starts an emulator can set faults without a token of the service.
    """
    shut = any(each.startswith(("--auth", "--subscription-key-env")) for each in arguments)
    return secrets.token_urlsafe(24) if shut else None


class Remote:
    """A client of the emulator's own endpoints. `url` is the emulator's base URL."""

    url: str
    _control_token: str | None = None

    def stats(self) -> dict[str, Any]:
        """Return the counts since the start; see `Stats.as_json`."""
        return cast(dict[str, Any], self._ask("GET", "stats"))

    def set_faults(self, rules: Sequence[str]) -> None:
        """Replace the rules in force with these; an empty list removes all.

        Raises ValueError for a rule that cannot be parsed.
        """
        self._ask("POST", "faults", list(rules))

    def _ask(self, method: str, what: str, content: Any = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        # The emulator itself printed the URL, so its scheme is always http.
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self._control_token is not None:
            headers["Authorization"] = f"Bearer {self._control_token}"
        request = urllib.request.Request(f"{self.url}/_emulator/{what}", body, headers, method=method)  # noqa: S310
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_TIMEOUT_S) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(json.load(error)["message"]) from None
