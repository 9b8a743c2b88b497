"""Reads one series with the official SDK, page after page, and prints what it gave: JSON texts, protobuf in base64.

    .venv-sdk/bin/python tests/net/api/sdk_read.py URL ID START END json|protobuf

Run by an interpreter that has the SDK; it imports nothing of omnia-beam.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

from azure.core.credentials import AccessToken
from omnia_timeseries.api import TimeseriesAPI, TimeseriesEnvironment

LIMIT = 700


class NoToken:
    """A token for everybody."""

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken("none", 2**40)


def main() -> None:
    url, series_id, start, end, form = sys.argv[1:]
    api = TimeseriesAPI(azure_credential=NoToken(), environment=TimeseriesEnvironment.Dev())
    api._base_url = url
    pages: list[Any] = []
    token = None
    while True:
        if form == "json":
            page = api.get_datapoints(series_id, start, end, limit=LIMIT, continuationToken=token)
            pages.append(page)
            token = page.get("continuationToken")
        else:
            accept = "application/protobuf"
            body = api.get_datapoints(series_id, start, end, limit=LIMIT, continuationToken=token, accept=accept)
            pages.append(base64.b64encode(body).decode())
            token = None  # told by the reader, who has the messages: one page is enough to compare
        if not token:
            break
    print(json.dumps(pages))


if __name__ == "__main__":
    main()
