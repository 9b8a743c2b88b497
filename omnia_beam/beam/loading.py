"""Import Beam on a thread beside what a run does before it needs it: to sign in, to select series, to plan.

Importing takes seconds, most of it this process's own work, while the first requests wait for a service.
"""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from typing import Final

_lock: Final = threading.Lock()
_threads: Final[list[threading.Thread]] = []


def begin_loading_beam() -> None:
    """Begin to import Beam where this process has not, and return at once."""
    with _lock:
        if "apache_beam" in sys.modules or _threads:
            return
        # No daemon: a process must not end in the middle of an import.
        thread = threading.Thread(target=_load, name="omnia-import", daemon=False)
        _threads.append(thread)
        thread.start()


def finish_loading_beam() -> None:
    """Wait until an import that was begun is over.

    Call it before Beam is imported by another thread: two threads that import modules which import each other may see one of
    them half made.
    """
    with _lock:
        threads = list(_threads)
    for thread in threads:
        thread.join()
    with _lock:
        _threads[:] = [each for each in _threads if each.is_alive()]


def _load() -> None:
    with suppress(Exception):  # the import that needs it will raise the same
        from omnia_beam.beam import coders, record  # noqa: F401 - what a run imports next
