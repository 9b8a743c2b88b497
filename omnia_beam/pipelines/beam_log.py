"""Filter Beam's log where it would repeat at length what omnia-beam reports in a line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from omnia_beam.core.errors import OmniaBeamError

_RUNNER: Final = "apache_beam.runners.common"


@contextmanager
def own_errors_told_once() -> Iterator[None]:
    """Keep Beam from logging omnia-beam's own errors with pages of stack while the block runs.

    Such errors end the run and are reported by the command. Others are logged as usual.
    """
    logger = logging.getLogger(_RUNNER)
    logger.addFilter(_is_not_ours)
    try:
        yield
    finally:
        logger.removeFilter(_is_not_ours)


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], OmniaBeamError))
