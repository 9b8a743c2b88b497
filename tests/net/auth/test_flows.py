"""Every kind gets a token: unmodified azure-identity, real sockets, real TLS, a stand-in that checks what Entra ID checks."""

from __future__ import annotations

import pytest

from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.net.auth.token_provider import TokenProvider
from tests.support import fixtures
from tests.support.clock import MovableClock
from tests.support.sign_ins import SIGN_INS, Stage

private_ca, application_certificate = fixtures.private_ca, fixtures.application_certificate
stage, clock = fixtures.stage, fixtures.clock


@pytest.mark.parametrize("name", SIGN_INS)
def test_every_way_to_sign_in_brings_a_token(
    stage: Stage, clock: MovableClock, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    sign_in = stage.sign_in(name)
    fixtures.put_into_environment(sign_in, monkeypatch)
    provider = TokenProvider.of(CredentialSpec(**sign_in.keys), stage.resource_id, clock=clock.time, sleep=clock.sleep)
    token = provider.token()
    claims = stage.authority.mint.check(token or "", stage.resource_id)
    assert claims.get("roles") == ["Timeseries.Read"] or claims["scp"] == "user_impersonation"
    assert stage.issued(sign_in.flow) == 1
    assert provider.token() == token
    assert stage.issued(sign_in.flow) == 1
