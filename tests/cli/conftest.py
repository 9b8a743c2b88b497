"""What the tests of the command line share: jobs that read from an emulator."""

from __future__ import annotations

from tests.pipelines.conftest import job_file  # noqa: F401  # a fixture
