"""What the tests of stores share: an S3 service for the session, and the credentials that it does not check."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.store.servers import Front, make_bucket, s3_service
from tests.support.fixtures import object_store  # noqa: F401  # a fixture

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-tests"}


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    with s3_service() as url:
        make_bucket(url, "lake")
        yield url


@pytest.fixture
def front(s3_url: str) -> Iterator[Front]:
    """A front before the service, through which everything passes until a test says otherwise."""
    front = Front(s3_url)
    yield front
    front.close()


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
