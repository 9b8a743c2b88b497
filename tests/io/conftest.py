"""What the tests of Beam's edges share: an emulator that nobody writes to, and an object store in memory."""

from __future__ import annotations

from tests.support.fixtures import emulator, object_store, steady_emulator  # noqa: F401  # fixtures
