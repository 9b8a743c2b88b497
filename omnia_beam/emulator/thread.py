"""An emulator on a thread of this process: starts in milliseconds, and takes series as arrays."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from omnia_beam.emulator.command import built, settings_from
from omnia_beam.emulator.common.serving.service import SharedService
from omnia_beam.emulator.common.store import Store
from omnia_beam.emulator.omnia.service import Service
from omnia_beam.emulator.pi.archive import Archive
from omnia_beam.emulator.pi.service import PiService
from omnia_beam.emulator.remote import Remote, control_token_for

_TIMEOUT_S = 30.0


class EmulatorThread(Remote):
    """An emulator that serves with the given command-line arguments on its own thread and event loop; a context manager.

    The arguments may begin with the name of a service, as on the command line. `series` adds series as arrays (see
    `load_store`, for PI `load_archive`). `store`, for PI `archive`, is the emulator's own: read it only while no request
    writes. It has the same methods as `EmulatorProcess`, except `leave`; `pid` is this process. Raises ValueError or
    OSError for arguments that cannot be used.
    """

    def __init__(self, arguments: Sequence[str] = (), *, series: Mapping[str, Any] | None = None) -> None:
        self._arguments = [str(argument) for argument in arguments]
        self._control_token = control_token_for(self._arguments)
        self._series = dict(series or {})
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._abrupt = False
        self._failure: BaseException | None = None
        self._service: SharedService | None = None
        self.url = ""
        self.pid = os.getpid()

    @property
    def store(self) -> Store:
        """Every series that an emulated Omnia service serves."""
        if not isinstance(self._service, Service):
            raise RuntimeError("the emulator has not been started, or is of another service")
        return self._service.store

    @property
    def archive(self) -> Archive:
        """The data server of an emulated PI Web API."""
        if not isinstance(self._service, PiService):
            raise RuntimeError("the emulator has not been started, or is of another service")
        return self._service.archive

    def start(self) -> EmulatorThread:
        """Start the thread and return when it serves."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="omnia-emulator", daemon=True)
        self._thread.start()
        if not ready.wait(_TIMEOUT_S):
            raise RuntimeError(f"the emulator did not get ready within {_TIMEOUT_S:.0f} s")
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """Stop the emulator after requests in flight have been answered."""
        if self._thread is None or self._loop is None or self._stopping is None:
            return
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_TIMEOUT_S)
        self._thread = None

    def kill(self) -> None:
        """Stop the emulator at once: connections are cut, queued writes are lost."""
        self._abrupt = True
        self.stop()

    def __enter__(self) -> EmulatorThread:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(ready))
        except (Exception, SystemExit) as error:
            self._failure = error
        finally:
            ready.set()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        service, server = built(settings_from(self._arguments), self._series, self._control_token)
        try:
            await server.start()
            self._service, self.url = service, server.url
            ready.set()
            await self._stopping.wait()
            await server.stop(abrupt=self._abrupt)
        finally:
            await service.close()
