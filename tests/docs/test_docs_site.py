"""The documentation's site: its generated parts hold everything, it builds strictly, and a browser loads nothing from elsewhere."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import omnia_beam
from omnia_beam.beam.metrics import COUNTERS, GAUGES
from omnia_beam.cli.arguments import build_parser
from omnia_beam.cli.table import COMMANDS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_site", DOCS / "site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_every_command_and_option_is_listed(generated: ModuleType) -> None:
    text = generated.on_page_markdown(page("reference/commands.md"))
    parser = build_parser(COMMANDS)
    assert re.findall(r"^## (\S+)$", text, re.MULTILINE) == list(parser.commands)
    sections = dict(zip(parser.commands, re.split(r"^## ", text, flags=re.MULTILINE)[1:], strict=True))
    for name, command in parser.commands.items():
        for option in getattr(command, "options", []):
            assert option == "--help" or f"`{option}" in sections[name], (name, option)


def test_every_public_name_is_listed(generated: ModuleType) -> None:
    text = generated.on_page_markdown(page("reference/api.md"))
    assert [line.rpartition(".")[2] for line in text.splitlines() if line.startswith("::: ")] == omnia_beam.__all__


def test_other_pages_are_left_as_they_are(generated: ModuleType) -> None:
    for path in DOCS.rglob("*.md"):
        if path.parent.name != "reference":
            text = path.read_text(encoding="utf-8")
            assert generated.on_page_markdown(text) == text


def test_every_metric_has_its_row() -> None:
    rows = dict(re.findall(r"^\| `omnia_beam_(\w+)` \| (.+) \|$", page("metrics.md"), re.MULTILINE))
    assert rows.keys() == {f"{name}_total" for name in COUNTERS} | GAUGES.keys()


def test_the_examples_of_the_metrics_page_are_valid() -> None:
    from omnia_beam.config.job import MetricsConfig

    for text in re.findall(r"^```yaml\n(.*?)^```", page("metrics.md"), re.MULTILINE | re.DOTALL):
        MetricsConfig(**yaml.safe_load(text)["metrics"])
    for text in re.findall(r"^```json\n(.*?)^```", page("metrics.md"), re.MULTILINE | re.DOTALL):
        assert {"time", "level", "message"} <= json.loads(text).keys()


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r": ([\w/-]+\.md)$", text, re.MULTILINE)
    assert sorted(listed) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


@pytest.mark.long
def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """As the files say. Links that a reader follows may lead anywhere."""
    loading = re.compile(
        r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?(?:https?:)?//|<link(?![^>]*rel=["']?canonical)[^>]*href=["']?(?:https?:)?//"""
    )
    for path in site.rglob("*.html"):
        assert not loading.search(path.read_text(encoding="utf-8")), path
    for path in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", path.read_text(encoding="utf-8")), path


@pytest.mark.long
@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium here")
@pytest.mark.parametrize("name", ["index.html", "reference/api.html", "reference/commands.html", "configuration.html"])
def test_a_browser_asks_nobody_else(site: Path, tmp_path: Path, name: str) -> None:
    with served(site) as address:
        log = tmp_path / "net.json"
        switches = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        switches += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}"]
        switches += ["--virtual-time-budget=5000", f"--log-net-log={log}", "--net-log-capture-mode=Default"]
        dom = subprocess.run(
            ["chromium", *switches, "--dump-dom", f"{address}/{name}"],
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        ).stdout
    assert "md-search__input" in dom
    asked = set(re.findall(r'"url":"(https?://[^"]+)"', log.read_text(errors="replace")))
    pages = {url for url in asked if url.startswith(address)}
    assert any(url.endswith(name) for url in pages)
    assert any(url.endswith(".js") for url in pages)
    # What Chromium itself asks its maker is none of the page's doing.
    assert {
        url
        for url in asked - pages
        if not re.match(r"https?://[\w.-]*\.(google|googleapis|gvt1|gstatic)\.com[/:]", url)
    } == set()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
