"""A page in a real browser without a screen: what it rendered, and what the page asked for on the network.

The browser itself can reach nothing but this machine: every other name is unknown to it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_OF_THE_BROWSER = "not an origin"
"""What the network log gives as the initiator of the browser's own look for updates; a page's is never that."""


@dataclass(frozen=True)
class Rendered:
    """The DOM as text, and the addresses that the page asked for."""

    dom: str
    requests: tuple[str, ...]


def render(page: Path, scratch: Path, *options: str) -> Rendered:
    """Open a page; skips the test where there is no Chromium."""
    browser = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    profile, log = scratch / "profile", scratch / "net.json"
    command = [browser, *_OPTIONS, f"--user-data-dir={profile}", f"--log-net-log={log}", *options]
    done = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, timeout=100, check=True)
    shutil.rmtree(profile, ignore_errors=True)
    return Rendered(done.stdout.decode(), _requests(log))


def _requests(log: Path) -> tuple[str, ...]:
    found = json.loads(log.read_text())
    kind = found["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    asked = (event["params"] for event in found["events"] if event["type"] == kind and "url" in event.get("params", {}))
    return tuple(each["url"] for each in asked if each["initiator"] != _OF_THE_BROWSER)
