"""Guards around every test: loopback only, no long sleep, no thread left over, an environment without secrets.

A guard that is tripped fails the test that tripped it, also where the product swallows the guard's exception. Processes
that a test starts are not guarded, except that they inherit the scrubbed environment.
"""

from __future__ import annotations

import io
import ipaddress
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from rich.console import Console

from omnia_beam.core import redaction

if TYPE_CHECKING:
    from omnia_beam.beam.context import RunContext

MAX_SLEEP_S = 2.0
THREAD_GRACE_S = 5.0
# Variables that would make a test depend on its machine or on how it was started, or reach a real tenant, a proxy or another
# certificate store.
SCRUBBED = re.compile(
    r"AZURE_.*|IDENTITY_.*|IMDS_.*|MSI_.*|ARM_.*|OMNIA_.*|USER_ASSERTION|.*_PROXY"
    r"|MEASURE_COVERAGE|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|SSL_CERT_(FILE|DIR)|NETRC|SSLKEYLOGFILE",
    re.IGNORECASE,
)
# Half the bugs around times only show where the machine's zone is not UTC.
ZONE = "TST-05:45"

# No deadline, since a deadline is a wall-clock assertion; derandomised, since `make test` is a gate and not a search.
# To search: make test ARGS="--hypothesis-profile=explore -k ...".
settings.register_profile(
    "gate", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", parent=settings.get_profile("gate"), derandomize=False, max_examples=2_000)
settings.load_profile("gate")


class GuardError(AssertionError):
    """A test, or the code under it, did what no test may do."""


_tripped: list[str] = []
_real = pytest.MonkeyPatch()


def _trip(message: str) -> GuardError:
    _tripped.append(message)
    return GuardError(message)


def is_loopback(host: str) -> bool:
    """Whether a host name or address cannot leave this machine."""
    if host.lower() in {"localhost", "localhost.localdomain"}:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _guard_connect(connect: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family != socket.AF_UNIX and not is_loopback(str(address[0])):
            raise _trip(
                f"connection to {address!r} refused: tests talk to 127.0.0.1 only. For an unreachable service use a "
                "closed port of 127.0.0.1, for an unknown host a name under .invalid"
            )
        return connect(self, address)

    return guarded


def _guard_lookup(lookup: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(host: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name and not is_loopback(name) and not _is_address(name):
            if name.rstrip(".").endswith(".invalid"):  # what RFC 2606 promises, without asking a resolver
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            raise _trip(f"look-up of host {name!r} refused: tests resolve localhost and names under .invalid only")
        return lookup(host, *args, **options)

    return guarded


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _guard_sleep(sleep: Callable[[float], None]) -> Callable[[float], None]:
    def guarded(seconds: float) -> None:
        if seconds > MAX_SLEEP_S:
            raise _trip(f"time.sleep({seconds}) refused: pass in a sleep that the test controls")
        sleep(seconds)

    return guarded


def pytest_configure(config: pytest.Config) -> None:
    """Set the guards up before any test module, and so the product, can take hold of the real functions."""
    config.addinivalue_line("markers", "threads_may_stay(reason): threads may outlive this test; say why")
    _real.setattr(socket.socket, "connect", _guard_connect(socket.socket.connect))
    _real.setattr(socket.socket, "connect_ex", _guard_connect(socket.socket.connect_ex))
    _real.setattr(socket, "getaddrinfo", _guard_lookup(socket.getaddrinfo))
    _real.setattr(time, "sleep", _guard_sleep(time.sleep))
    for name in [name for name in os.environ if SCRUBBED.fullmatch(name)]:
        _real.delenv(name)
    _real.setenv("NETRC", os.devnull)  # `requests` would take credentials from the user's ~/.netrc
    _real.setenv("TZ", ZONE)
    time.tzset()


def pytest_unconfigure() -> None:
    """Give the real functions and the environment back."""
    _real.undo()
    time.tzset()


@pytest.fixture(autouse=True)
def _own_secrets() -> Iterator[None]:
    """Forget the secrets of a test at its end: they would be blotted out of the messages of the next."""
    with redaction.forgotten_afterwards():
        yield


@pytest.fixture(autouse=True)
def _fresh_sessions(_guards: None) -> Iterator[None]:
    """No session outlives its test's emulator; they are closed before the guards count threads."""
    yield
    shared = sys.modules.get("omnia_beam.net.http.shared")
    if shared is not None:
        shared.reset_shared_sessions()


@pytest.fixture
def context() -> RunContext:
    """No terminal, no progress; what is printed is kept in memory."""
    from omnia_beam.beam.context import RunContext
    from omnia_beam.beam.runner import pipeline_options

    return RunContext(pipeline_options(None, []), Console(file=io.StringIO()), Console(file=io.StringIO()))


@pytest.fixture(autouse=True)
def _guards(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test that tripped a guard or left a thread behind."""
    before = set(threading.enumerate())
    yield
    left = [] if request.node.get_closest_marker("threads_may_stay") else _left_over(before)
    tripped = list(dict.fromkeys(_tripped))
    _tripped.clear()
    if tripped:
        pytest.fail("guard tripped: " + "; ".join(tripped), pytrace=False)
    if left:
        pytest.fail(f"threads left over: {', '.join(map(_describe, left))}: close what started them", pytrace=False)


def _left_over(before: set[threading.Thread]) -> list[threading.Thread]:
    """Threads that the test started and that do not end within the grace."""
    until = time.monotonic() + THREAD_GRACE_S
    while left := [each for each in threading.enumerate() if each not in before and not _is_excused(each)]:
        if time.monotonic() > until:
            break
        left[0].join(0.05)
    return left


def _origin(thread: threading.Thread) -> str:
    """The module whose code the thread runs."""
    if type(thread).__module__ != "threading":
        return type(thread).__module__
    return getattr(getattr(thread, "_target", None), "__module__", None) or ""


def _is_excused(thread: threading.Thread) -> bool:
    # Beam's and gRPC's are theirs to end. An event loop's helpers start when first needed, under a server that a whole
    # module may share; they end with the loop, whose own thread is guarded.
    return _origin(thread).partition(".")[0] in {"apache_beam", "grpc"} or thread.name.startswith("asyncio_")


def _describe(thread: threading.Thread) -> str:
    return f"{thread.name} ({_origin(thread) or 'unknown'}{', daemon' if thread.daemon else ''})"
