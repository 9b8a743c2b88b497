"""One batch's way into the service, however it is refused: every point is stored, or known as guilty, or waits for
another run.

The service takes a request whole or not at all, and its refusal names no culprit. What happens then:

- 413: the same points again in smaller requests.
- 404 and 410 speak of a series as a whole: halved by series until one stands alone, which is then refused with all its
  points at once.
- other refusals for content (400, 409, 422): halved by series, then by points, until one point stands alone and is
  refused alone. A half that is taken proves the other one guilty, so that it needs no request of its own. Each guilty
  point costs about log2(size) + 2 requests; the size of first tries adapts to how often they are refused
  (`WriteMemory`), which keeps that near the least that yes-or-no answers can do.
- a cause that all points of a series share: 16 points in a row are refused alone for one cause, then 8 more spread
  over the rest of the series: then all the rest is refused with them, untried. Later batches of that series begin with 3
  such samples, and go on as usual when one is taken.
- more than `isolation_requests` for one batch: the rest is sent once in up to 64 groups; a group that is refused is
  refused whole.
- 401, 403, a missing credential, an answer that no Omnia service gives, 202 (queued: no word that anything is stored),
  and every other refusal: no points are at fault. The run ends.
- a transient failure that outlasts all retries: the points are neither stored nor dead; their chunks fail as a whole.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, NamedTuple, Protocol

from omnia_beam.core.errors import NotTheServiceError, PayloadTooLargeError, TerminalServiceError, TransientServiceError
from omnia_beam.io.omnia.group import NOTHING, Group, Run, halves, of_targets, ordered, size, split, spread, targets

OF_SERIES: Final = frozenset({404, 410})
"""HTTP statuses that concern a series as a whole."""


class Refusal(NamedTuple):
    """The service's refusal of a group of points.

    Args:
        reason: its status and message, without trace and time.
        http_status: of the response.
        trace_id: the service's trace id.
        at_ns: when it was refused; ns since the Unix epoch.
    """

    reason: str
    http_status: int | None
    trace_id: str | None
    at_ns: int

    @property
    def concerns_series(self) -> bool:
        """Whether it concerns a series as a whole, so that its points need not be tried one by one."""
        return self.http_status in OF_SERIES


class WriteMemory:
    """Memory that all writers of a process to one service share. Thread-safe.

    `limit` is the most points that a request may have. It is halved below the size that met a 413, and never raised again,
    since a cap on size is a fixed setting of the service. `trial` is how many points are worth sending together while some of
    them are refused. It is halved after a refusal and doubled after a success, so that about every other request succeeds,
    which is where finding a refused point costs the fewest requests. Without refusals it does not limit anything.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limit: int | None = None
        self._trial: int | None = None
        self._refused: dict[str, Refusal] = {}

    def request_points(self, wanted: int) -> int:
        """Return the number of points to put into the next request, at most `wanted`."""
        with self._lock:
            return min(each for each in (wanted, self._limit, self._trial) if each is not None)

    def largest_request(self, wanted: int) -> int:
        """Return the same as `request_points`, without regard to present refusals."""
        with self._lock:
            return wanted if self._limit is None else min(wanted, self._limit)

    def too_large(self, points: int) -> None:
        """Note that a request of so many points met a 413."""
        with self._lock:
            half = max(1, points // 2)
            # Concurrent requests meet the same cap, so each halves its own size and not the halves of others.
            self._limit = half if self._limit is None else min(self._limit, half)

    def stored(self, points: int) -> None:
        """Note that a request of so many points was accepted."""
        with self._lock:
            if self._trial is not None and points >= self._trial:
                self._trial = points * 2

    def refused(self, points: int) -> None:
        """Note that a request of so many points was refused because of some of them."""
        with self._lock:
            half = max(1, points // 2)
            self._trial = half if self._trial is None else min(self._trial, half)

    def refused_series(self, target_id: str) -> Refusal | None:
        """Return why all of a series is refused; None where that is not known."""
        with self._lock:
            return self._refused.get(target_id)

    def note_series(self, target_id: str, refusal: Refusal) -> None:
        """Note that all of a series was refused for one reason."""
        with self._lock:
            self._refused[target_id] = refusal

    def forget_series(self, target_id: str) -> None:
        """Note that a series is no longer refused."""
        with self._lock:
            self._refused.pop(target_id, None)


_memories: Final[dict[str, WriteMemory]] = {}
_memories_lock: Final = threading.Lock()


def shared_memory(base_url: str) -> WriteMemory:
    """Return this process's memory of a service."""
    with _memories_lock:
        return _memories.setdefault(base_url, WriteMemory())


_FOR_CONTENT: Final = frozenset({400, 404, 409, 410, 422})
"""Statuses that can be the fault of what was sent."""

_WORD: Final = re.compile(r"[\w-]+")
_STREAK: Final = 16
_SAMPLES: Final = 8
_KNOWN_SAMPLES: Final = 3
_LAST_GROUPS: Final = 64


class Account(Protocol):
    """Where a delivery books what became of the points."""

    def stored(self, group: Group) -> None:
        """The service has committed them."""

    def refused(self, group: Group, refusal: Refusal, note: str) -> None:
        """They cannot be stored. `note` is for those that were not refused alone."""

    def failed(self, group: Group, error: TransientServiceError) -> None:
        """Whether they are stored is unknown: their chunks have to be written again."""

    def wants(self, run: Run) -> bool:
        """Whether its chunk has not failed already."""

    def given_up(self, group: Group) -> None:
        """Not sent, since their chunks have failed."""


class _Outcome(Enum):
    """What became of a request that was not refused for its content."""

    STORED = auto()
    FAILED = auto()
    TOO_LARGE = auto()


class Delivery:
    """Sends one batch; made for it alone, used by one thread.

    Args:
        send: commits a group, or raises what `ServiceSession.send` raises.
        account: see `Account`.
        memory: the process's.
        request_points: points in one request at most.
        isolation_requests: see `WriteOptions`.
        clock_ns: wall clock, ns since the Unix epoch.
    """

    def __init__(
        self,
        send: Callable[[Group], None],
        account: Account,
        memory: WriteMemory,
        *,
        request_points: int,
        isolation_requests: int,
        clock_ns: Callable[[], int],
    ) -> None:
        self._send = send
        self._account = account
        self._memory = memory
        self._request_points = request_points
        self._isolation_requests = isolation_requests
        self._clock_ns = clock_ns
        self._refusals = 0
        self._requests = 0
        self._streak = 0
        self._streak_of: tuple[str, int | None, str] | None = None
        self._last_size = 0

    def run(self, batch: Group) -> None:
        """Bring every point of a batch to an end.

        Raises:
            CredentialError, TerminalServiceError: the service would refuse whatever is sent; some points are undecided.
        """
        rest = self._sampled_known(batch)
        while rest := self._wanted(rest):
            if self._spent:
                rest = self._send_last(rest)
                continue
            head, tail = split(rest, self._memory.request_points(self._request_points))
            outcome = self._try(head)
            if isinstance(outcome, Refusal):
                if not outcome.concerns_series:
                    self._memory.refused(size(head))
                rest = self._one_cause(self._isolate(head, outcome) + tail)
            elif outcome is _Outcome.TOO_LARGE:
                rest = head + tail
            else:
                if outcome is _Outcome.STORED:
                    self._memory.stored(size(head))
                rest = tail

    @property
    def _spent(self) -> bool:
        return self._refusals > 0 and self._requests > self._isolation_requests

    def _wanted(self, group: Group) -> Group:
        """What of it is still worth sending; the rest is booked as given up, and must not be met again."""
        wanted = tuple(run for run in group if self._account.wants(run))
        if len(wanted) < len(group):
            self._account.given_up(tuple(run for run in group if run not in wanted))
        return wanted

    def _try(self, group: Group) -> Refusal | _Outcome:
        """One request. Points that are stored or have failed are booked; the others are for the caller."""
        self._requests += 1
        try:
            self._send(group)
        except PayloadTooLargeError as error:
            if size(group) > 1:
                self._memory.too_large(size(group))
                return _Outcome.TOO_LARGE
            return self._refusal(error)
        except NotTheServiceError:
            raise
        except TerminalServiceError as error:
            if error.status not in _FOR_CONTENT:
                raise
            return self._refusal(error)
        except TransientServiceError as error:
            self._account.failed(group, error)
            return _Outcome.FAILED
        if self._streak_of and any(run.target_id == self._streak_of[0] for run in group):
            self._streak = 0
        self._account.stored(group)
        return _Outcome.STORED

    def _refusal(self, error: TerminalServiceError) -> Refusal:
        self._refusals += 1
        return Refusal(reason_of(error), error.status, error.trace_id, self._clock_ns())

    def _isolate(self, group: Group, refusal: Refusal) -> Group:
        """Find one guilty point, or series, of a refused group. Returns what is then still undecided."""
        undecided = NOTHING
        alone = True  # whether `group`, as it is now, has been refused by itself
        named, others = _named(group, refusal)
        if named and others:
            group, undecided, alone = named, others, False
        while True:
            parts = _parts(group, refusal)
            if self._spent and (parts is not None or not alone):
                return group + undecided
            if parts is not None:
                left, right = parts
                outcome = self._try(left)
                if isinstance(outcome, Refusal):
                    group, undecided, refusal, alone = left, right + undecided, outcome, True
                elif outcome is _Outcome.STORED:
                    group, alone = right, False
                else:
                    return (right if outcome is _Outcome.FAILED else group) + undecided
            elif not alone:
                # By elimination it is guilty; its own refusal says why, and that it is still refused.
                outcome = self._try(group)
                if not isinstance(outcome, Refusal):
                    return undecided if outcome is not _Outcome.TOO_LARGE else group + undecided
                refusal, alone = outcome, True
            else:
                self._refuse(group, refusal)
                return undecided

    def _refuse(self, group: Group, refusal: Refusal, note: str = "") -> None:
        self._account.refused(group, refusal, note)
        target_id = group[0].target_id
        if refusal.concerns_series:
            self._memory.note_series(target_id, refusal)
        cause = (target_id, refusal.http_status, refusal.reason)
        self._streak = self._streak + 1 if cause == self._streak_of else 1
        self._streak_of = cause

    def _one_cause(self, rest: Group) -> Group:
        """After many refusals in a row, or one of a series as such: whether the rest of that series is refused too."""
        if self._streak_of is None:
            return rest
        target_id, status, _ = self._streak_of
        of_series = status in OF_SERIES
        if self._streak < _STREAK and not of_series:
            return rest
        mine, others = of_targets(rest, [target_id])
        return self._sampled(mine, 1 if of_series else _SAMPLES) + others

    def _sampled_known(self, batch: Group) -> Group:
        """The batch without what is refused of series that were refused before."""
        rest = batch
        for target_id in targets(batch):
            known = self._memory.refused_series(target_id)
            if known is not None:
                mine, others = of_targets(rest, [target_id])
                rest = self._sampled(mine, 1 if known.concerns_series else _KNOWN_SAMPLES) + others
        return rest

    def _sampled(self, mine: Group, count: int) -> Group:
        """Try single points of one series: where all are refused, all of it is. Returns what is still undecided."""
        if not mine:
            return NOTHING
        target_id = mine[0].target_id
        samples, rest = spread(mine, count)
        refusals: list[Refusal] = []
        for at, sample in enumerate(samples):
            outcome = self._try(sample)
            if not isinstance(outcome, Refusal):
                self._memory.forget_series(target_id)
                return ordered(run for group in (*samples[at + 1 :], rest) for run in group)
            refusals.append(outcome)
            self._refuse(sample, outcome)
        if len({(each.http_status, each.reason) for each in refusals}) > 1:
            return rest
        self._memory.note_series(target_id, refusals[-1])
        if rest:
            self._account.refused(
                rest, refusals[-1], f"not tried alone: {len(samples)} samples of its series were refused"
            )
        return NOTHING

    def _send_last(self, rest: Group) -> Group:
        """The requests for this batch are used up: large groups, each sent once."""
        self._last_size = self._last_size or -(-size(rest) // _LAST_GROUPS)
        head, tail = split(rest, min(self._last_size, self._memory.largest_request(self._request_points)))
        outcome = self._try(head)
        if isinstance(outcome, Refusal):
            note = (
                ""
                if size(head) == 1
                else f"not tried alone: {self._isolation_requests} requests for its batch were spent"
            )
            self._account.refused(head, outcome, note)
        return head + tail if outcome is _Outcome.TOO_LARGE else tail


def reason_of(error: TerminalServiceError) -> str:
    """Status and words of a refusal, without what differs from one to the next of its kind."""
    text = error.message.removeprefix(f"{error.method} {error.path}: ")
    if error.trace_id:
        text = text.replace(f" (trace {error.trace_id})", "")
    return text.removesuffix(f" (attempt {error.attempts})")


def _parts(group: Group, refusal: Refusal) -> tuple[Group, Group] | None:
    """How to go on halving a refused group; None where it stands alone."""
    if refusal.concerns_series and len(targets(group)) == 1:
        return None
    return halves(group)


def _named(group: Group, refusal: Refusal) -> tuple[Group, Group]:
    """The series that the refusal names after all, and the others."""
    words = set(_WORD.findall(refusal.reason.lower()))
    return of_targets(group, [target_id for target_id in targets(group) if target_id.lower() in words])
