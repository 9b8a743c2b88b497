"""An object store in this process, with a fault at a chosen operation, and the drivers that use it one operation at a time.

The product's own `ObjectStore` runs unchanged on it; obstore's functions are stood in for. Errors are those that obstore raises
once its retries are spent.
"""

from __future__ import annotations

import random
import secrets
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, Literal

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, GenericError, PermissionDeniedError, PreconditionError

from omnia_beam.store import client
from tests.soak.objects.watch import LEASE, Watch, nonce_of

Kind = Literal[
    "fails",
    "fails thrice",
    "outage",
    "is refused",
    "response lost",
    "responses lost",
    "breaks off",
    "done twice",
    "lands late",
    "delay",
    "crash before",
    "crash after",
    "pause before",
    "pause after",
]
"""What happens to the n-th operation of a driver.

`breaks off`: the response begins and does not come to its end. `done twice`: the response is lost and obstore repeats the request,
whose second response is what the product sees. `lands late`: the product sees an error, and the store carries the operation out
some operations later. `pause`: the driver stands still, and the other one goes on.
"""

READS: Final = ("get", "head", "list", "list_with_delimiter")
NAMES: Final = (*READS, "put", "copy", "delete")


class Killed(BaseException):
    """The process is gone: nothing of the product may catch this."""


@dataclass(frozen=True)
class Fault:
    """What happens, and at which operation of a driver.

    Args:
        kind: see `Kind`.
        at: number of the operation, from 0.
        later: operations after which a late one lands.
    """

    kind: Kind
    at: int
    later: int = 3


@dataclass
class Driver:
    """A process.

    Args:
        name: for messages; another name is another machine.
        fault: what happens to it; None for nothing.
        on_pause: called where a fault lets it stand still.
    """

    name: str
    fault: Fault | None = None
    on_pause: Callable[[], None] = lambda: None
    operations: int = 0
    trace: list[str] = field(default_factory=list)
    lease: Any = None
    beats: bool = True
    beaten_s: float = 0.0
    is_dead: bool = False
    was_hit: bool = False


@dataclass(frozen=True)
class Held:
    """An object."""

    data: bytes
    e_tag: str
    changed_s: float


class Clock:
    """The clock of all drivers: it moves with each operation, and when one sleeps."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0
        self.while_sleeping: Callable[[], None] = lambda: None

    def wall(self) -> int:
        return int(self.now_s * 1_000_000) * 1_000

    def steady(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.while_sleeping()


class Service:
    """Objects by key, and what happens on the way to them.

    Args:
        tags: how versions are named: by `content`, as S3 does, or by a running `number`, as Azure does.
        clock: of the drivers.

    Attributes:
        objects: by key.
        driver: whose turn it is; None for the judge's, who is never disturbed.
        between: called after each operation.
        watch: judges each operation of a driver.
        names: where random names come from.
    """

    def __init__(self, tags: Literal["content", "number"], clock: Clock) -> None:
        self.tags = tags
        self.clock = clock
        self.objects: dict[str, Held] = {}
        self.driver: Driver | None = None
        self.between: Callable[[], None] = lambda: None
        self.watch = Watch()
        self.names = random.Random(0)
        self._late: list[tuple[int, Callable[[], Any]]] = []
        self._made = 0
        self._beating = False

    def install(self, patches: pytest.MonkeyPatch) -> None:
        """Take the place of every store from now on."""
        patches.setattr(client, "open_client", lambda container, pid: container.name)
        for name in NAMES:
            patches.setattr(obstore, name, getattr(self, f"_{name}"))
        # Random names of files and leases are the schedule's own, so that it is the same when it is played again.
        patches.setattr(uuid, "uuid4", lambda: uuid.UUID(int=self.names.getrandbits(128), version=4))
        patches.setattr(secrets, "token_hex", lambda size: self.names.randbytes(size).hex())

    def land(self) -> None:
        """Carry out what is late."""
        late, self._late = self._late, []
        for _, action in late:
            _quietly(action)

    def holds(self, driver: Driver) -> bool:
        """Return whether the lease is a driver's, as far as the store shows."""
        held = self.objects.get(f"sim/{LEASE}")
        return held is not None and driver.lease is not None and nonce_of(held.data) == driver.lease.token.nonce

    def forget(self) -> None:
        """Let nothing be on its way any more, and nothing be noted."""
        self._late = []
        self.watch.forget()

    def _call(self, name: str, key: str, action: Callable[[], Any]) -> Any:
        driver = self.driver
        if driver is None:  # the judge
            return action()
        if driver.is_dead:
            raise Killed
        if not self._beating:
            self._beat(driver)
            self.watch.ask(driver.name, name, key)
        number, driver.operations = driver.operations, driver.operations + 1
        driver.trace.append(f"{number} {name} {key}")
        self.clock.now_s += 0.01
        self._land_due()
        fault = driver.fault
        try:
            if fault is None or not _hits(fault, number):
                return action()
            driver.was_hit = True
            return self._with_fault(driver, fault, name, action)
        finally:
            if not driver.is_dead and not self._beating:
                self.between()

    def _with_fault(self, driver: Driver, fault: Fault, name: str, action: Callable[[], Any]) -> Any:
        match fault.kind:
            case "fails" | "fails thrice" | "outage":
                raise GenericError("error sending request: connection reset by peer")
            case "is refused":
                raise PermissionDeniedError("403 Forbidden")
            case "response lost" | "responses lost":
                _quietly(action)
                raise GenericError("error sending request: connection closed before message completed")
            case "breaks off":
                _quietly(action)
                raise GenericError("HTTP error: request or response body error")
            case "done twice":
                _quietly(action)
                return action()
            case "lands late":
                if name not in READS:
                    self._late.append((fault.later, action))
                raise GenericError("error sending request: operation timed out")
            case "delay":
                self.clock.sleep(1_000)
                return action()
            case "crash before":
                driver.is_dead = True
                raise Killed
            case "crash after":
                action()
                driver.is_dead = True
                raise Killed
            case "pause before":
                driver.on_pause()
                return action()
            case "pause after":
                response = action()
                driver.on_pause()
                return response

    def _beat(self, driver: Driver) -> None:
        """Do what the thread of the lease would have done by now."""
        lease = driver.lease
        if lease is None or not driver.beats or lease.lost or self.clock.now_s - driver.beaten_s < 10:
            return
        driver.beaten_s = self.clock.now_s
        self._beating = True
        try:
            _quietly(lease.beat)
        finally:
            self._beating = False

    def _land_due(self) -> None:
        due = [action for left, action in self._late if left <= 0]
        self._late = [(left - 1, action) for left, action in self._late if left > 0]
        for action in due:
            _quietly(action)

    # What follows are obstore's functions.

    def _put(self, store: str, path: str, data: Any, *, mode: Any = "overwrite", **_: Any) -> dict[str, Any]:
        content = data.read() if hasattr(data, "read") else bytes(data)
        return self._call("put", path, lambda: self._do_put(f"{store}/{path}", content, mode))  # type: ignore[no-any-return]  # as put

    def _do_put(self, key: str, content: bytes, mode: Any) -> dict[str, Any]:
        held = self.objects.get(key)
        if mode == "create" and held is not None:
            raise AlreadyExistsError(f"Object at location {key} already exists")
        if isinstance(mode, dict) and (held is None or held.e_tag != mode["e_tag"]):
            raise PreconditionError(f"Request precondition failure for path {key}")
        if self.driver is not None:
            age_s = 0.0 if held is None else self.clock.now_s - held.changed_s
            self.watch.put(key, None if held is None else held.data, age_s, content)
        self._made += 1
        name = blake2b(content, digest_size=8).hexdigest() if self.tags == "content" else str(self._made)
        self.objects[key] = Held(content, f'"{name}"', self.clock.now_s)
        return {"e_tag": self.objects[key].e_tag, "version": None}

    def _get(self, store: str, path: str, *, options: Any = None) -> _Got:
        found: _Got = self._call("get", path, lambda: self._do_get(f"{store}/{path}", path, options or {}))
        driver = self.driver
        if path == LEASE and driver is not None and not self._beating:
            self.watch.look(driver.name, None if driver.lease is None else driver.lease.token.nonce, found.data)
        return found

    def _do_get(self, key: str, path: str, options: dict[str, Any]) -> _Got:
        held = self._held(key)
        if options.get("if_match") not in (None, held.e_tag):
            raise PreconditionError(f"Request precondition failure for path {key}")
        start, end = options.get("range") or (0, len(held.data))
        if options.get("range") and start >= len(held.data):
            raise GenericError(f"416 Range Not Satisfiable: {key}")
        return _Got(_facts(path, held), held.data[start:end])

    def _head(self, store: str, path: str) -> dict[str, Any]:
        return self._call("head", path, lambda: _facts(path, self._held(f"{store}/{path}")))  # type: ignore[no-any-return]  # as head

    def _list(self, store: str, prefix: str | None = None, **_: Any) -> Iterator[list[dict[str, Any]]]:
        def found() -> list[dict[str, Any]]:
            return [_facts(key, held) for key, held in self._below(store, prefix or "")]

        yield self._call("list", prefix or "", found)

    def _list_with_delimiter(self, store: str, prefix: str | None = None) -> dict[str, Any]:
        def found() -> dict[str, Any]:
            below = self._below(store, prefix or "")
            return {"objects": [_facts(key, held) for key, held in below if "/" not in key[len(prefix or "") :]]}

        return self._call("list", prefix or "", found)  # type: ignore[no-any-return]  # as found

    def _delete(self, store: str, paths: str | list[str]) -> None:
        each = [paths] if isinstance(paths, str) else paths
        for path in each:  # a bulk delete is not done in one step
            self._call("delete", path, lambda path=path: self._do_delete(f"{store}/{path}", isinstance(paths, str)))

    def _do_delete(self, key: str, alone: bool) -> None:
        if self.driver is not None and key in self.objects:
            self.watch.delete(key)
        if self.objects.pop(key, None) is None and alone and self.tags == "number":
            raise FileNotFoundError(key)  # as Azure does

    def _copy(self, store: str, old: str, new: str) -> None:
        self._call("copy", old, lambda: self._do_put(f"{store}/{new}", self._held(f"{store}/{old}").data, "overwrite"))

    def _held(self, key: str) -> Held:
        try:
            return self.objects[key]
        except KeyError:
            raise FileNotFoundError(f"Object at location {key} not found") from None

    def _below(self, store: str, prefix: str) -> Iterable[tuple[str, Held]]:
        start = f"{store}/{prefix}"
        return sorted((key[len(store) + 1 :], held) for key, held in self.objects.items() if key.startswith(start))


@dataclass(frozen=True)
class _Got:
    meta: dict[str, Any]
    data: bytes

    def bytes(self) -> bytes:
        return self.data


def _facts(path: str, held: Held) -> dict[str, Any]:
    """Return what a listing shows; services give whole seconds."""
    changed = datetime.fromtimestamp(int(held.changed_s), UTC)
    return {"path": path, "size": len(held.data), "e_tag": held.e_tag, "version": None, "last_modified": changed}


def _hits(fault: Fault, number: int) -> bool:
    if fault.kind in ("outage", "responses lost"):
        return number >= fault.at
    if fault.kind == "fails thrice":
        return fault.at <= number < fault.at + 3
    return number == fault.at


def _quietly(action: Callable[[], Any]) -> None:
    """Carry something out whose response nobody sees."""
    with suppress(Exception):
        action()
