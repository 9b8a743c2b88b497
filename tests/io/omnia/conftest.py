"""What the tests of the kind `omnia` share: jobs that read from it."""

from __future__ import annotations

from tests.pipelines.conftest import job_file, load  # noqa: F401  # fixtures
