"""Beam's log, where it would say at length what we say in a line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from omnia_beam.core.errors import OmniaBeamError

_RUNNER: Final = "apache_beam.runners.common"


@contextmanager
def own_errors_told_once() -> Iterator[None]:
    """While the block runs, errors of ours that pass through Beam are not logged with pages of its stack.

    They end the run, and whoever runs it tells them. Others are logged as ever.
    """
    logger = logging.getLogger(_RUNNER)
    logger.addFilter(_is_not_ours)
    try:
        yield
    finally:
        logger.removeFilter(_is_not_ours)


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], OmniaBeamError))
