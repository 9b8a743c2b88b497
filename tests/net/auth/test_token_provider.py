"""The provider's own rules, driven by a clock that the test moves and a credential that the test scripts."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.errors import CredentialError, UsageError
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.net.auth.token_provider import TokenProvider
from tests.support import scripted_credential
from tests.support.scripted_credential import START, Clock, Scripted, provider_of

clock, credential, provider = scripted_credential.clock, scripted_credential.credential, scripted_credential.provider

REFUSED = ClientAuthenticationError(message="Authentication failed: AADSTS7000215: Invalid client secret provided.")
UNREACHABLE = ServiceRequestError("connection refused")


def test_anonymous_has_no_token() -> None:
    provider = TokenProvider(None, None)
    assert provider.token() is None
    assert provider.renew(None) is None
    assert TokenProvider.of(CredentialSpec("anonymous"), None).token() is None


def test_a_credential_without_a_scope_is_refused(credential: Scripted) -> None:
    with pytest.raises(UsageError, match="scope"):
        TokenProvider(credential, None)


def test_one_token_serves_until_shortly_before_its_end(provider: TokenProvider, clock: Clock) -> None:
    assert provider.token() == "token 1"
    clock.now = START + 3600 - 301
    assert provider.token() == "token 1"
    clock.now = START + 3600 - 300
    assert provider.token() == "token 2"


def test_a_short_life_is_refreshed_at_half_of_it(clock: Clock) -> None:
    provider = provider_of(Scripted(clock, lifetime_s=60), clock)
    assert provider.token() == "token 1"
    clock.now += 29
    assert provider.token() == "token 1"
    clock.now += 1
    assert provider.token() == "token 2"


def test_a_failing_refresh_leaves_the_valid_token_in_use(
    provider: TokenProvider, credential: Scripted, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    provider.token()
    clock.now = START + 3400
    credential.failures = [REFUSED]
    assert provider.token() == "token 1"
    assert "could not be refreshed, but is valid for 200 s more" in caplog.text
    assert "AADSTS7000215" in caplog.text
    assert clock.slept == []


def test_failing_refreshes_keep_a_distance(provider: TokenProvider, credential: Scripted, clock: Clock) -> None:
    provider.token()
    credential.failures = [UNREACHABLE] * 100
    for second in range(3300, 3600):
        clock.now = START + second
        assert provider.token() == "token 1"
    assert len(credential.claims) == 1 + 10


def test_without_a_valid_token_the_failure_is_raised(
    provider: TokenProvider, credential: Scripted, clock: Clock
) -> None:
    credential.failures = [REFUSED]
    with pytest.raises(CredentialError) as caught:
        provider.token()
    assert "no token for resource/.default from Scripted: AADSTS7000215" in str(caught.value)
    assert "client_secret_env" in str(caught.value)
    assert clock.slept == []
    assert provider.token() == "token 1"


def test_the_failure_keeps_nothing_of_the_librarys_exception(provider: TokenProvider, credential: Scripted) -> None:
    credential.failures = [REFUSED]
    with pytest.raises(CredentialError) as caught:
        provider.token()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_transient_failure_is_tried_again_later_and_later(
    provider: TokenProvider, credential: Scripted, clock: Clock
) -> None:
    credential.failures = [UNREACHABLE] * 4
    assert provider.token() == "token 1"
    assert clock.slept == [6.5, 12.5, 24.5, 30.5]


def test_a_lasting_transient_failure_ends_too(provider: TokenProvider, credential: Scripted, clock: Clock) -> None:
    credential.failures = [UNREACHABLE] * 9
    with pytest.raises(CredentialError, match="connection refused"):
        provider.token()
    assert len(credential.failures) == 4
    assert sum(clock.slept) < 80


def test_any_exception_of_a_credential_is_a_credential_error(provider: TokenProvider, credential: Scripted) -> None:
    credential.failures = [KeyError("expires_on")]
    with pytest.raises(CredentialError, match="expires_on"):
        provider.token()


def test_renew_asks_past_the_caches(provider: TokenProvider, credential: Scripted) -> None:
    provider.token()
    assert provider.renew("token 1") == "token 2"
    assert provider.token() == "token 2"
    assert credential.claims[0] is None
    json.loads(credential.claims[1] or "")


def test_renew_of_a_token_that_is_no_longer_held_asks_nobody(provider: TokenProvider, credential: Scripted) -> None:
    provider.token()
    provider.renew("token 1")
    assert provider.renew("token 1") == "token 2"
    assert credential.issued == 2


def test_a_service_that_refuses_every_token_does_not_storm_the_authority(
    provider: TokenProvider, credential: Scripted, clock: Clock
) -> None:
    token = provider.token()
    for _ in range(120):
        token = provider.renew(token)
        clock.now += 0.5
    assert credential.issued == 1 + 2


def test_renew_retries_and_then_raises(provider: TokenProvider, credential: Scripted, clock: Clock) -> None:
    provider.token()
    credential.failures = [UNREACHABLE] * 5
    with pytest.raises(CredentialError, match="connection refused"):
        provider.renew("token 1")
    assert len(clock.slept) == 4
    assert provider.renew("token 1") == "token 2"  # the failure is no reason to hand out the refused token


def test_a_credential_that_refuses_claims_is_asked_without(provider: TokenProvider, credential: Scripted) -> None:
    provider.token()
    credential.failures = [ClientAuthenticationError(message="This credential doesn't support claims challenges")]
    assert provider.renew("token 1") == "token 2"
    assert credential.claims[1] is not None
    assert credential.claims[2] is None


def test_a_home_made_credential_knows_no_claims(clock: Clock) -> None:
    class HomeMade:
        issued = 0

        def get_token(self, *scopes: str) -> AccessToken:
            self.issued += 1
            return AccessToken(f"token {self.issued}", int(clock.now + 3600))

    provider = provider_of(HomeMade(), clock)
    assert provider.token() == "token 1"
    assert provider.renew("token 1") == "token 2"


def test_the_same_token_again_is_said_to_be_so(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    class Stubborn:
        def get_token(self, *scopes: str, claims: str | None = None) -> AccessToken:
            return AccessToken("the one", int(clock.now + 3600))

    provider = provider_of(Stubborn(), clock)
    provider.token()
    assert provider.renew("the one") == "the one"
    assert "Stubborn has no other one" in caplog.text


def test_with_a_way_to_rebuild_renew_needs_no_claims(clock: Clock) -> None:
    first, second = Scripted(clock), Scripted(clock)
    second.issued = 10
    provider = provider_of(first, clock, rebuild=lambda: second)
    assert provider.token() == "token 1"
    assert provider.renew("token 1") == "token 11"
    assert second.claims == [None]
    clock.now += 3600
    assert provider.token() == "token 12"


def test_a_replaced_secret_is_found_when_the_old_one_is_refused(clock: Clock) -> None:
    first, second = Scripted(clock), Scripted(clock)
    second.issued = 10
    provider = provider_of(first, clock, rebuild=lambda: second)
    provider.token()
    clock.now += 3600
    first.failures = [REFUSED]
    assert provider.token() == "token 11"


def test_a_secret_that_never_worked_is_tried_once(clock: Clock) -> None:
    first = Scripted(clock)
    first.failures = [REFUSED]
    provider = provider_of(first, clock, rebuild=lambda: pytest.fail("rebuilt"))
    with pytest.raises(CredentialError, match="AADSTS7000215"):
        provider.token()


def test_a_secret_that_is_gone_is_a_credential_error(clock: Clock) -> None:
    def rebuild() -> None:
        raise UsageError("credential.client_secret_file: /run/secret is not a file")

    provider = provider_of(Scripted(clock), clock, rebuild=rebuild)
    provider.token()
    with pytest.raises(CredentialError, match="/run/secret") as caught:
        provider.renew("token 1")
    assert caught.value.__context__ is None


def test_it_shows_no_token_and_is_not_pickled(provider: TokenProvider) -> None:
    provider.token()
    assert "token 1" not in repr(provider) + str(provider)
    assert "Scripted" in repr(provider)
    for send in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="send the CredentialSpec"):
            send(provider)


@given(
    lifetime_s=st.integers(1, 8000),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["token", "renew"]), st.integers(0, 4000), st.sampled_from(["up", "down", "refusing"])
        ),
        max_size=30,
    ),
)
def test_whatever_happens_a_valid_token_or_an_error_comes_out(
    lifetime_s: int, steps: list[tuple[str, int, str]]
) -> None:
    """The oracle: the newest issued token and its end, kept beside."""
    clock = Clock()
    credential = Scripted(clock, lifetime_s)
    provider = provider_of(credential, clock)
    ends: dict[str, float] = {}
    token: str | None = None
    for action, pause_s, state in steps:
        clock.now += pause_s
        trouble: dict[str, list[Exception]] = {"up": [], "down": [UNREACHABLE] * 50, "refusing": [REFUSED] * 50}
        credential.failures = trouble[state]
        before = credential.issued
        newest_is_valid = ends.get(f"token {before}", 0) > clock.now
        try:
            got = provider.token() if action == "token" else provider.renew(token)
        except CredentialError:
            assert state != "up"
            assert action == "renew" or not newest_is_valid
            continue
        ends |= {f"token {n}": clock.now + lifetime_s for n in range(before + 1, credential.issued + 1)}
        assert got == f"token {credential.issued}"
        assert ends[got] > clock.now
        assert credential.issued <= before + 1
        token = got
