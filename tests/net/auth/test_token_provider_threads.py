"""Many threads and one provider: one request at a time, nobody waits without need, everybody learns the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

from omnia_beam.core.errors import CredentialError
from omnia_beam.net.auth.token_provider import TokenProvider
from tests.support import scripted_credential
from tests.support.scripted_credential import START, Clock, Scripted

REFUSED = ClientAuthenticationError(message="Authentication failed: AADSTS7000215: Invalid client secret provided.")
UNREACHABLE = ServiceRequestError("connection refused")


clock, credential, provider = scripted_credential.clock, scripted_credential.credential, scripted_credential.provider


def pause() -> None:
    """Long enough for the other threads to come and ask too; a slow machine makes the test weaker, not red."""
    threading.Event().wait(0.2)


def together(count: int, call: Callable[[], str | None]) -> list[str | Exception | None]:
    """What each of `count` threads gets that call at the same moment."""
    barrier = threading.Barrier(count)

    def one(_: int) -> str | Exception | None:
        barrier.wait()
        try:
            return call()
        except CredentialError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_a_storm_of_threads_makes_one_request(provider: TokenProvider, credential: Scripted) -> None:
    credential.before = pause
    assert set(together(32, provider.token)) == {"token 1"}
    assert credential.issued == 1


def test_a_storm_of_refused_threads_makes_one_renewal(provider: TokenProvider, credential: Scripted) -> None:
    provider.token()
    credential.before = pause
    assert set(together(32, lambda: provider.renew("token 1"))) == {"token 2"}
    assert credential.issued == 2


def test_a_storm_shares_the_failure_each_with_an_exception_of_its_own(
    provider: TokenProvider, credential: Scripted
) -> None:
    credential.before = pause
    credential.failures = [REFUSED]
    outcomes = together(16, provider.token)
    errors = [outcome for outcome in outcomes if isinstance(outcome, CredentialError)]
    assert len({id(error) for error in errors}) == len(errors)
    assert {str(error).startswith("no token for resource/.default") for error in errors} == {True}
    assert len(credential.claims) + len(errors) >= 16  # whoever came too late to share it asked, and got a token


def test_nobody_waits_for_a_refresh_while_the_token_is_valid(
    provider: TokenProvider, credential: Scripted, clock: Clock
) -> None:
    provider.token()
    clock.now = START + 3400
    asked, response = threading.Event(), threading.Event()

    def hold() -> None:
        asked.set()
        assert response.wait(20)

    credential.before = hold
    with ThreadPoolExecutor(1) as pool:
        refreshing = pool.submit(provider.token)
        assert asked.wait(20)
        assert [provider.token() for _ in range(5)] == ["token 1"] * 5
        response.set()
        assert refreshing.result(20) == "token 2"
    assert provider.token() == "token 2"


def test_a_token_that_ends_during_its_refresh_is_fetched_patiently(
    provider: TokenProvider, credential: Scripted, clock: Clock
) -> None:
    provider.token()
    clock.now = START + 3400
    asked, response = threading.Event(), threading.Event()

    def hold() -> None:
        asked.set()
        assert response.wait(20)

    credential.before = hold
    credential.failures = [UNREACHABLE, UNREACHABLE]
    with ThreadPoolExecutor(2) as pool:
        refreshing = pool.submit(provider.token)
        assert asked.wait(20)
        clock.now = START + 3700
        waiting = pool.submit(provider.token)
        response.set()
        refreshing.result(20)
        assert waiting.result(20) == "token 2"


def test_an_interrupted_request_frees_the_others(provider: TokenProvider, credential: Scripted) -> None:
    asked, response = threading.Event(), threading.Event()

    def interrupt() -> None:
        asked.set()
        assert response.wait(20)
        raise KeyboardInterrupt

    credential.before = interrupt
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(provider.token)
        assert asked.wait(20)
        second = pool.submit(provider.token)
        credential.before = lambda: None
        response.set()
        assert isinstance(first.exception(20), KeyboardInterrupt)
        assert second.exception(20) is None or "was cut" in str(second.exception())
    assert provider.token() == "token 1"
