"""A person at a browser, scripted: opens the sign-in page, and lets the page send its form back to the waiting program.

In the test's own process:      `webbrowser.open` replaced by `ScriptedBrowser(ca.bundle).open`.
In a process that a test runs:  BROWSER set to `browser_command()`, REQUESTS_CA_BUNDLE to the CA.
"""

from __future__ import annotations

import shlex
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path

import requests


class ScriptedBrowser:
    """Signs in at once. `visited` lists the pages; with `absent` nobody is there, and nothing happens."""

    def __init__(self, ca_bundle: Path) -> None:
        self.visited: list[str] = []
        self.absent = False
        self._ca_bundle = ca_bundle
        self._threads: list[threading.Thread] = []

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        """What `webbrowser.open` does: returns at once, the person acts meanwhile."""
        self.visited.append(url)
        if not self.absent:
            thread = threading.Thread(target=sign_in, args=(url, str(self._ca_bundle)), name="browser")
            thread.start()
            self._threads.append(thread)
        return True

    def close(self) -> None:
        """Wait until the pages are done."""
        for thread in self._threads:
            thread.join()


def sign_in(url: str, ca_bundle: str | bool = True) -> None:
    """Open the page and submit its form."""
    page = requests.get(url, verify=ca_bundle, timeout=10)
    page.raise_for_status()
    form = SignInPage()
    form.feed(page.text)
    requests.post(form.action, data=form.fields, timeout=10).raise_for_status()


def browser_command() -> str:
    """For the environment variable BROWSER: this file as a browser, in the background, as browsers are."""
    return f"{shlex.quote(sys.executable)} {shlex.quote(__file__)} %s &"


class SignInPage(HTMLParser):
    """The form of a sign-in page: where it goes, and its fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = values["action"]
        elif tag == "input":
            self.fields[values["name"]] = values["value"]


if __name__ == "__main__":
    sign_in(sys.argv[1])
