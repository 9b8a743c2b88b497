"""Handle the signals that end a command: Ctrl-C, a service manager's SIGTERM, and the SIGHUP of a terminal that is closed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

STOP_SIGNALS: Final = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)  # Windows has no SIGHUP
)


@contextmanager
def handling_stop_signals(handle: Callable[[int, FrameType | None], Any]) -> Iterator[bool]:
    """Call `handle` for each stop signal while the block runs. Yields whether it does: only the main thread can.

    A SIGHUP that the process was started to ignore stays ignored, as `nohup` asks for.
    """
    if threading.current_thread() is not threading.main_thread():
        yield False
        return
    kept = {getattr(signal, "SIGHUP", None)} if _ignores_hang_up() else set()
    before = {number: signal.signal(number, handle) for number in STOP_SIGNALS if number not in kept}
    try:
        yield True
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignores_hang_up() -> bool:
    return hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
