"""A lake on S3 (moto) and one on Azure (Azurite), each looked at by a client that shares no code with the product."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import socket
import subprocess
import tempfile
import time
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Final, Protocol
from urllib.parse import quote

import boto3
import requests
from botocore.config import Config

from tests.store.servers import make_bucket, s3_service

AZURITE: Final = os.environ.get("AZURITE", "")
ACCOUNT: Final = "lakeaccount"
ACCOUNT_KEY: Final = base64.b64encode(b"a key of the tests alone").decode()
KEYS: Final = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-tests",
    "LAKE_KEY": ACCOUNT_KEY,
}
"""Variables that the product needs to reach either of them."""

_CONTAINER: Final = "lake"
_VERSION: Final = "2021-12-02"


class Lake(Protocol):
    """A folder of a bucket or container, which is empty at first."""

    url: str
    """Of the service."""

    place: str
    """The folder, as a job names it."""

    def storage(self, url: str) -> dict[str, Any]:
        """Return the entry of `storage:`, with the service at this URL, such as that of a proxy before it."""

    def listed(self) -> dict[str, tuple[str, int]]:
        """Return version and size of each object, by its key in the folder."""

    def get(self, key: str) -> bytes: ...

    def put(self, key: str, data: bytes) -> None: ...


@dataclass(frozen=True)
class S3Lake:
    """A folder on S3, looked at by boto3."""

    url: str
    folder: str

    @property
    def place(self) -> str:
        return f"s3://{_CONTAINER}/{self.folder}"

    def storage(self, url: str) -> dict[str, Any]:
        return {"for": "s3://", "endpoint": url, "region": "eu-north-1"}

    def listed(self) -> dict[str, tuple[str, int]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=_CONTAINER, Prefix=f"{self.folder}/")
        start = len(self.folder) + 1
        return {
            each["Key"][start:]: (each["ETag"], each["Size"]) for page in pages for each in page.get("Contents", ())
        }

    def get(self, key: str) -> bytes:
        found: bytes = self._client.get_object(Bucket=_CONTAINER, Key=f"{self.folder}/{key}")["Body"].read()
        return found

    def put(self, key: str, data: bytes) -> None:
        self._client.put_object(Bucket=_CONTAINER, Key=f"{self.folder}/{key}", Body=data)

    @property
    def _client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="eu-north-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            config=Config(proxies={}),
        )


@dataclass(frozen=True)
class AzureLake:
    """A folder in a container of Azure, looked at by plain requests, signed as Microsoft documents it."""

    url: str
    folder: str

    @property
    def place(self) -> str:
        return f"az://{_CONTAINER}/{self.folder}"

    def storage(self, url: str) -> dict[str, Any]:
        return {"for": "az://", "account": ACCOUNT, "endpoint": f"{url}/{ACCOUNT}", "account_key_env": "LAKE_KEY"}

    def listed(self) -> dict[str, tuple[str, int]]:
        found: dict[str, tuple[str, int]] = {}
        marker = ""
        while True:
            query = {"comp": "list", "prefix": f"{self.folder}/", "restype": "container"}
            page = ElementTree.fromstring(self.send("GET", "", query | ({"marker": marker} if marker else {})).content)
            for each in page.iter("Blob"):
                name, facts = each.findtext("Name") or "", each.find("Properties")
                assert facts is not None
                found[name[len(self.folder) + 1 :]] = (
                    facts.findtext("Etag") or "",
                    int(facts.findtext("Content-Length") or 0),
                )
            marker = page.findtext("NextMarker") or ""
            if not marker:
                return found

    def get(self, key: str) -> bytes:
        return self.send("GET", f"/{self.folder}/{key}").content

    def put(self, key: str, data: bytes) -> None:
        self.send("PUT", f"/{self.folder}/{key}", data=data, headers={"x-ms-blob-type": "BlockBlob"})

    def make_container(self) -> None:
        """Create the container that the folder is in."""
        self.send("PUT", "", {"restype": "container"})

    def send(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        *,
        data: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> requests.Response:
        sent = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _VERSION, **(headers or {})}
        of_headers = "".join(f"{name}:{value}\n" for name, value in sorted(sent.items()))
        of_query = "".join(f"\n{name}:{value}" for name, value in sorted((query or {}).items()))
        where = quote(f"/{_CONTAINER}{path}")
        length = str(len(data)) if data else ""
        text = f"{method}\n\n\n{length}\n\n\n\n\n\n\n\n\n{of_headers}/{ACCOUNT}/{ACCOUNT}{where}{of_query}"
        mark = hmac.new(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256).digest()
        sent["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(mark).decode()}"
        with requests.Session() as session:
            session.trust_env = False
            url = f"{self.url}/{ACCOUNT}{where}"
            response = session.request(method, url, params=query, data=data or None, headers=sent, timeout=20)
        response.raise_for_status()
        return response


@contextmanager
def s3_lakes() -> Iterator[Any]:
    """Run moto, and yield what makes a new lake on it."""
    with s3_service() as url:
        make_bucket(url, _CONTAINER)
        yield lambda: S3Lake(url, uuid.uuid4().hex)


@contextmanager
def azure_lakes() -> Iterator[Any]:
    """Run Azurite, and yield what makes a new lake on it."""
    with azurite() as url:
        AzureLake(url, "").make_container()
        yield lambda: AzureLake(url, uuid.uuid4().hex)


@contextmanager
def azurite() -> Iterator[str]:
    """Run the program that the variable AZURITE names, and yield its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [AZURITE, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", folder, "--silent"]
        command += ["--skipApiVersionCheck", "--disableTelemetry"]
        environment = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{ACCOUNT_KEY}"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as server:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.2)
            try:
                yield f"http://127.0.0.1:{port}"
            finally:
                server.kill()
