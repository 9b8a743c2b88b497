"""What the tests of the ledger share."""

from __future__ import annotations

from tests.support.fixtures import object_store  # noqa: F401  # a fixture
