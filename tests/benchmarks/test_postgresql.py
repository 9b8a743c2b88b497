"""The benchmark of PostgreSQL, at its smallest, on a server of its own."""

from __future__ import annotations

import pytest

from tests.benchmarks.running import figures, printed
from tests.io.postgresql.server import programs

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(programs() is None, reason="there is no PostgreSQL server on this machine"),
]


def test_it_prints_its_figures() -> None:
    pytest.importorskip("adbc_driver_postgresql", reason="the extra postgresql is not installed")
    text = printed("benchmarks.postgresql", "--points", "20000", "--series", "2")
    for label in ("COPY into the keyed table", "omnia-beam migrate, the same", "COPY … TO", "omnia-beam backfill"):
        assert len(figures(text, label)) >= 2
    for label in ("COPY into a staging table", "omnia-beam migrate, every value", "omnia-beam migrate with refresh"):
        assert len(figures(text, label)) >= 2
