"""What the tests of pages share."""

from __future__ import annotations

from tests.pipelines.conftest import terminal  # noqa: F401  # a fixture
