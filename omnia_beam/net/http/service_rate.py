"""Find the rate that a service accepts from its responses; it never exceeds the configured rate.

A refusal (429) can mean two things, and the controller finds out which:

- A *limit*: the service accepts a number of requests a second and refuses none below that rate. The rate falls a little
  below what is accepted, and grows again while nothing is refused.
- A *share*: the service refuses some requests at any rate, as a gateway does that has one overloaded server behind it. A
  lower rate does not help: the refused request waits alone, and the others keep the whole budget.

Responses are counted in *trials*, each at one rate. A few refusals end a trial. Where as large a part is refused as in
the trial before, at a higher rate, the cause is a share; otherwise the rate falls to what was accepted, and the next trial
begins. A trial in which refusals stop shows a limit.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

_LEAST: Final = 0.5
"""Requests a second that are sent however many are refused, so that the recovery of a service is noticed."""

_ENOUGH: Final = 6
_ANSWERS: Final = 30
_TRIAL_S: Final = 5.0
"""A trial ends after `_ENOUGH` refusals, and `_ANSWERS` responses or `_TRIAL_S` seconds from the first refusal on."""

_LEAST_ACCEPTED: Final = 4
"""A trial with fewer accepted requests does not show a share."""

_SLOWER: Final = 0.97
"""Two trials distinguish a share from a limit only if the second rate is at most this fraction of the first."""

_IN_A_ROW: Final = 10
"""This many refusals in a row mean that the service accepts next to nothing at this moment."""

_BELOW: Final = 0.9
"""Fraction of the accepted rate at which the next requests are sent."""

_CLEAN: Final = 5.0
"""Refusals count as stopped after this many times the number of requests in which one is expected (by chance: 1 in 150)."""

_CALM_S: Final = 10.0
"""Refusals also count as stopped after this many seconds without one."""

_GROWTH: Final = 0.05
_GROWTH_DOUBLES_S: Final = 2.0
_GROWTH_MOST: Final = 1.0
"""After refusals have stopped the rate grows by the fraction `_GROWTH` a second. The fraction doubles every
`_GROWTH_DOUBLES_S` seconds, up to `_GROWTH_MOST`, at which the rate doubles every second."""

_GROWN: Final = 1.3
"""All requests wait after a refusal that ends a growth by more than this factor: the rate is far beyond the limit."""

_UNPACED: Final = 10_000.0
"""Requests a second above which there is no pacing where no rate is configured."""

_MEMORY: Final = 400.0
"""Responses over which a share is averaged; a share below `_GONE` has ended."""
_GONE: Final = 0.002

_WATCHED: Final = 100
"""Responses after which a share is checked: it may be wrong, or larger than before."""

_DOUBT_S: Final = 4.0
"""Seconds for which no share is assumed after the second share in a row that proved wrong within twice this time; doubled
with each further one, up to 16 times."""


@dataclass
class _Trial:
    """The results of the requests that were sent at one rate; `share_before` is the share refused at a higher one.

    Responses count from the first refusal on: what a service accepts before, on credit, shows nothing about its rate.
    """

    since: float
    share_before: float = 0.0
    sent_before: float = 0.0
    limit_is_known: bool = False
    accepted: int = 0
    refused: int = 0
    clean: int = 0
    refused_at: float = -math.inf
    first_refused_at: float = math.inf

    def accept(self) -> None:
        self.clean += 1
        self.accepted += self.refused > 0

    def refuse(self, now: float) -> None:
        self.refused += 1
        self.clean = 0
        self.refused_at = now
        self.first_refused_at = min(now, self.first_refused_at)

    @property
    def answers(self) -> int:
        return self.accepted + self.refused

    def is_enough(self, now: float) -> bool:
        """Return whether there are enough responses to judge the refusals."""
        return self.refused >= _ENOUGH and (self.answers >= _ANSWERS or now - self.first_refused_at >= _TRIAL_S)

    @property
    def share(self) -> float:
        # The first refusal started the count and is not part of it.
        return (self.refused - 1) / (self.answers - 1) if self.refused > 1 else 0.0

    def has_stopped(self, now: float) -> bool:
        """Return whether the refusals of the trial before have stopped."""
        is_clean = not self.limit_is_known and self.clean * self.share_before >= _CLEAN
        return is_clean or now - max(self.since, self.refused_at) >= _CALM_S

    def sent(self, now: float) -> float:
        """Return the requests a second, over the responses that count."""
        return (self.answers - 1) / max(now - self.first_refused_at, 1e-3)

    def slowdown(self, now: float) -> float:
        """Return the rate of this trial as a fraction of the rate before, at most 1."""
        return min(1.0, self.sent(now) / self.sent_before)

    def shows_share(self, now: float) -> bool:
        """Return whether as large a share is refused as at the higher rate before.

        With a limit, a larger part of the requests would be accepted at the lower rate.
        """
        if not self.share_before or self.accepted < _LEAST_ACCEPTED:
            return False
        before, share = self.share_before, self.share
        if self.slowdown(now) > _SLOWER:
            return False
        return share >= before / 2 and 1 - share <= (1 - before) / math.sqrt(self.slowdown(now))


class ServiceRate:
    """The rate in requests a second. Not thread-safe: its limiter holds a lock. Times are monotonic seconds.

    Args:
        ceiling: the configured rate; None for none.
    """

    def __init__(self, ceiling: float | None) -> None:
        self._ceiling = math.inf if ceiling is None else ceiling
        self._rate = self._ceiling
        self._trial = _Trial(-math.inf)
        self._accepted_at: deque[float] = deque()
        self._in_a_row = 0
        self._growth: tuple[float, float] | None = None  # (start in seconds, rate at the start)
        self._grown_at = 0.0
        self._share = 0.0
        self._share_in_trial = self._sent_in_trial = 0.0
        self._shared: list[bool] = []
        self._share_since = -math.inf
        self._watched_since = -math.inf
        self._no_share_until = -math.inf
        self._doubts = 0

    @property
    def is_lowered(self) -> bool:
        """Whether the service's refusals keep the rate below the configured one."""
        return self._rate < self._ceiling

    @property
    def share(self) -> float:
        """The share of requests that is refused whatever the rate; 0.0 where there is none."""
        return self._share

    def interval_s(self, now: float) -> float:
        """Return the seconds between the starts of two requests; 0.0 for no pacing."""
        self._grow(now)
        return 1.0 / self._rate if math.isfinite(self._rate) else 0.0

    def accepted(self, started: float, now: float) -> None:
        """Record that a request that began at `started` was not refused."""
        self._grow(now)
        self._accepted_at.append(now)
        while self._accepted_at[0] <= now - 1.0:
            self._accepted_at.popleft()
        self._in_a_row = 0
        if self._share:
            self._note_share(is_refused=False)
        elif started >= self._trial.since:
            self._trial.accept()

    def refused(self, started: float, now: float) -> bool:
        """Record that a request that began at `started` was refused.

        Returns:
            Whether all requests should wait as long as the service requires; False where only the refused request should.
        """
        self._grow(now)
        self._in_a_row += 1
        if self._share:
            self._note_share(is_refused=True)
            if not self._share_is_wrong(now):
                return False
            self._doubt(now)
            return False
        trial, has_burst = self._trial, self._in_a_row >= _IN_A_ROW
        if started < trial.since:
            # It was sent before the rate last changed, so it shows nothing about the present rate.
            return has_burst
        trial.refuse(now)
        if self._growth is not None:
            has_grown = self._rate > _GROWN * self._growth[1]
            self._end_growth(now)
            return has_grown
        if not has_burst and not trial.is_enough(now):
            return False
        if trial.shows_share(now) and now >= self._no_share_until:
            self._begin_share(now)
            return False
        self._lower(now, self._rate_of(trial, now))
        return has_burst

    def _lower(self, now: float, accepted: float) -> None:
        trial = self._trial
        if trial.refused > 1:
            self._trial = _Trial(now, trial.share, trial.sent(now))
        else:
            self._trial = _Trial(now, trial.share_before, trial.sent_before)
        self._in_a_row = 0
        self._rate = max(min(_LEAST, self._ceiling), _BELOW * min(self._rate, accepted))

    def _rate_of(self, trial: _Trial, now: float) -> float:
        """Return the requests a second that were accepted in a trial, but no less than a quarter of the rate before."""
        has_burst = self._in_a_row >= _IN_A_ROW
        accepted = self._accepted_rate(now, 1.0) if has_burst else trial.sent(now) * (1 - trial.share)
        return accepted if math.isinf(self._rate) else max(accepted, self._rate / 4)

    def _accepted_rate(self, now: float, over_s: float) -> float:
        return sum(1 for at in self._accepted_at if at > now - over_s) / over_s

    def _begin_share(self, now: float) -> None:
        trial = self._trial
        self._share = self._share_in_trial = (trial.share + trial.share_before) / 2
        self._sent_in_trial = trial.sent(now)
        self._shared.clear()
        self._share_since = self._watched_since = now
        self._rate = self._ceiling
        self._trial = _Trial(now)

    def _note_share(self, *, is_refused: bool) -> None:
        self._shared.append(is_refused)
        self._share += (is_refused - self._share) / _MEMORY
        if self._share < _GONE:
            self._share = 0.0

    def _share_is_wrong(self, now: float) -> bool:
        """Return whether recently much more than the share was refused."""
        if len(self._shared) < _WATCHED:
            return False
        accepted = self._shared.count(False) / len(self._shared)
        # A limit would accept as many requests a second as in the trial.
        sent = len(self._shared) / max(now - self._watched_since, 1e-3)
        slowdown = min(1.0, self._sent_in_trial / sent)
        self._shared.clear()
        self._watched_since = now
        of_share, of_limit = 1 - self._share_in_trial, (1 - self._share_in_trial) * slowdown
        chance = 2 * math.sqrt(of_share * (1 - of_share) / _WATCHED)
        between = of_limit + (of_share - of_limit) / 3
        # Where share and limit predict nearly the same, chance must not decide.
        if accepted < (between if slowdown < 0.5 else between - chance):
            return True
        self._share_in_trial += (1 - accepted - self._share_in_trial) / 8
        return False

    def _doubt(self, now: float) -> None:
        """Drop a share that was wrong or has grown, and start a new trial."""
        was_short = now - self._share_since < 2 * _DOUBT_S
        self._doubts = min(6, self._doubts + 1) if was_short else 0
        self._no_share_until = now + (_DOUBT_S * 2 ** (self._doubts - 2) if self._doubts > 1 else 0.0)
        self._share = 0.0
        self._trial = _Trial(now)

    def _grow(self, now: float) -> None:
        if self._growth is None:
            if not self.is_lowered:
                return
            if not self._trial.has_stopped(now):
                return
            self._growth, self._grown_at = (now, self._rate), now
            self._trial = _Trial(now, self._trial.share_before, self._trial.sent_before)
        # The growth is computed in steps because it increases itself.
        while self._grown_at < now and self.is_lowered:
            step_s = min(0.5, now - self._grown_at)
            doublings = (self._grown_at - self._growth[0]) / _GROWTH_DOUBLES_S
            growth = min(_GROWTH_MOST, _GROWTH * 2.0 ** min(doublings, 10))
            rate = self._rate * (1.0 + growth) ** step_s
            self._rate = self._ceiling if rate >= min(self._ceiling, _UNPACED) else rate
            self._grown_at += step_s
        if not self.is_lowered and now - self._grown_at >= _CALM_S:
            self._growth = None
            self._trial = _Trial(now)

    def _end_growth(self, now: float) -> None:
        """End the growth at the limit: return to the rate before it, or, where it had risen far, to the accepted rate."""
        assert self._growth is not None
        before = self._growth[1]
        accepted = max(1.05 * before, 0.7 * self._rate) if self._rate < 2 * before else self._accepted_rate(now, 1.0)
        self._growth = None
        self._lower(now, accepted / _BELOW)
        self._trial.limit_is_known = True
