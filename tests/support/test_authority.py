"""The stand-in itself: it must refuse what Entra ID refuses, or a test that passes by it proves nothing."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import hashes, serialization

from tests.support import fixtures
from tests.support.authority import Fault
from tests.support.browser import SignInPage
from tests.support.clock import MovableClock
from tests.support.grants import CLIENT_ASSERTION, DEVICE_CODE, JWT_BEARER
from tests.support.pki import ClientCertificate, make_client_certificate
from tests.support.sign_ins import CONFIDENTIAL, PUBLIC, SECRET, Stage
from tests.support.token_mint import base64url

private_ca, application_certificate = fixtures.private_ca, fixtures.application_certificate
stage, clock = fixtures.stage, fixtures.clock

VERIFIER = "v" * 43


@pytest.fixture
def call(stage: Stage) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Status and JSON of an endpoint, for the tenant of the stage."""

    def call(endpoint: str, form: dict[str, str] | None = None, **query: str) -> tuple[int, dict[str, Any]]:
        url = f"{stage.authority.url}/{stage.directory.tenant_id}/oauth2/v2.0/{endpoint}"
        method = "POST" if form is not None else "GET"
        response = requests.request(method, url, data=form, params=query, verify=str(stage.ca.bundle), timeout=10)
        if response.headers["Content-Type"] == "text/html":
            page = SignInPage()
            page.feed(response.text)
            return response.status_code, page.fields
        return response.status_code, response.json()

    return call


Call = Callable[..., tuple[int, dict[str, Any]]]


def client_credentials(**form: str) -> dict[str, str]:
    return {"grant_type": "client_credentials", "client_id": CONFIDENTIAL, "client_secret": SECRET, **form}


def number(response: tuple[int, dict[str, Any]]) -> int:
    """The AADSTS number of a refusal."""
    status, body = response
    assert status >= 400
    assert body["error_description"].startswith(f"AADSTS{body['error_codes'][0]}: ")
    return int(body["error_codes"][0])


def test_a_token_is_checked_by_the_published_key(stage: Stage, call: Call, tmp_path: Path) -> None:
    status, body = call("token", client_credentials(scope=f"{stage.resource_id}/.default"))
    assert status == 200
    keys = jwt.PyJWKSet.from_dict(json.loads(stage.authority.mint.write_jwks(tmp_path / "jwks.json").read_text()))
    key = keys[jwt.get_unverified_header(body["access_token"])["kid"]]
    claims = jwt.decode(
        body["access_token"], key, ["RS256"], audience=stage.resource_id, issuer=stage.authority.mint.issuer
    )
    assert claims["exp"] - claims["nbf"] == body["expires_in"] == 3600
    assert (claims["tid"], claims["appid"]) == (stage.directory.tenant_id, CONFIDENTIAL)
    assert claims["roles"] == ["Timeseries.Read"]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"client_secret": "wrong"}, 7000215),
        ({"client_secret": ""}, 7000215),
        ({"client_id": PUBLIC, "client_secret": ""}, 7000215),
        ({"client_id": "nobody"}, 700016),
        ({"scope": "another/.default"}, 500011),
        ({"scope": "32f2a909-8a98-4eb8-b22d-1208d9350cb0/user_impersonation"}, 1002012),
        ({"grant_type": "password"}, 70003),
    ],
)
def test_bad_client_credentials_are_refused(stage: Stage, call: Call, form: dict[str, str], expected: int) -> None:
    good = client_credentials(scope=f"{stage.resource_id}/.default")
    assert number(call("token", good | form)) == expected
    assert stage.authority.grants.issued.total() == 0


def assertion(certificate: ClientCertificate, audience: str, algorithm: str = "PS256", **claims: Any) -> str:
    """A client assertion as msal makes it, or with something wrong in it."""
    key = serialization.load_pem_private_key(
        certificate.path.read_bytes(), certificate.password.encode() if certificate.password else None
    )
    standard = {"aud": audience, "iss": CONFIDENTIAL, "sub": CONFIDENTIAL, "exp": 4e9, "jti": str(uuid.uuid4())}
    thumbprint = base64url(certificate.certificate.fingerprint(hashes.SHA256()))
    return jwt.encode(standard | claims, key, algorithm, headers={"x5t#S256": thumbprint})  # type: ignore[arg-type]  # RSA


def test_a_client_assertion_is_checked_in_every_part(stage: Stage, call: Call, tmp_path: Path) -> None:
    audience = f"{stage.authority.url}/{stage.directory.tenant_id}/oauth2/v2.0/token"
    stranger = make_client_certificate(tmp_path)
    good = assertion(stage.certificate, audience)
    forged = good.rpartition(".")[0] + "." + assertion(stranger, audience).rpartition(".")[2]

    def send(text: str) -> tuple[int, dict[str, Any]]:
        form = {"client_assertion": text, "client_assertion_type": CLIENT_ASSERTION, "client_secret": ""}
        return call("token", client_credentials(scope=f"{stage.resource_id}/.default") | form)

    assert send(good)[0] == 200
    assert send(assertion(stage.certificate, audience, "RS256"))[0] == 200
    assert number(send(assertion(stranger, audience))) == 700027
    assert number(send(forged)) == 700027
    assert number(send("nonsense")) == 700027
    assert number(send(assertion(stage.certificate, "https://login.invalid/token"))) == 700027
    assert number(send(assertion(stage.certificate, audience, exp=1))) == 700024
    assert number(send(assertion(stage.certificate, audience, iss="another"))) == 700021


def authorize(call: Call, **changed: str) -> tuple[int, dict[str, Any]]:
    query = {
        "client_id": PUBLIC,
        "response_type": "code",
        "redirect_uri": "http://localhost:8400",
        "scope": "32f2a909-8a98-4eb8-b22d-1208d9350cb0/user_impersonation openid profile offline_access",
        "state": "abc",
        "code_challenge": base64url(hashlib.sha256(VERIFIER.encode()).digest()),
        "code_challenge_method": "S256",
    }
    return call("authorize", **query | changed)


def redeem(call: Call, code: str, **changed: str) -> tuple[int, dict[str, Any]]:
    form = {
        "grant_type": "authorization_code",
        "client_id": PUBLIC,
        "code": code,
        "code_verifier": VERIFIER,
        "redirect_uri": "http://localhost:8400",
        "scope": "32f2a909-8a98-4eb8-b22d-1208d9350cb0/user_impersonation openid profile offline_access",
    }
    return call("token", form | changed)


def test_a_code_is_redeemed_once_and_by_its_owner_alone(stage: Stage, clock: MovableClock, call: Call) -> None:
    status, fields = authorize(call)
    assert (status, fields["state"]) == (200, "abc")
    assert redeem(call, fields["code"])[0] == 200
    assert number(redeem(call, fields["code"])) == 54005
    assert number(redeem(call, authorize(call)[1]["code"], code_verifier="w" * 43)) == 501481
    assert number(redeem(call, authorize(call)[1]["code"], redirect_uri="http://localhost:8401")) == 501481
    assert number(redeem(call, authorize(call)[1]["code"], client_id=CONFIDENTIAL)) == 54005
    late = authorize(call)[1]["code"]
    clock.move(601)
    assert number(redeem(call, late)) == 70008


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"redirect_uri": "http://evil.invalid:80"}, 50011),
        ({"client_id": "nobody"}, 50011),
        ({"code_challenge_method": "plain"}, 900144),
        ({"scope": "another/user_impersonation"}, 500011),
        ({"scope": "openid"}, 70011),
    ],
)
def test_a_bad_sign_in_page_is_refused(call: Call, changed: dict[str, str], expected: int) -> None:
    assert number(authorize(call, **changed)) == expected


def test_a_refresh_token_serves_its_owner_alone(stage: Stage, call: Call) -> None:
    _, first = redeem(call, authorize(call)[1]["code"])
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"], "scope": first["scope"]}
    assert call("token", form | {"client_id": PUBLIC})[0] == 200
    assert number(call("token", form | {"client_id": CONFIDENTIAL, "client_secret": SECRET})) == 50173
    assert number(call("token", form | {"client_id": PUBLIC, "refresh_token": "x"})) == 50173
    stage.authority.grants.require_fresh_sign_in = True
    assert number(call("token", form | {"client_id": PUBLIC})) == 50173


def test_a_users_assertion_must_be_for_the_application_that_sends_it(
    stage: Stage, clock: MovableClock, call: Call
) -> None:
    def send(text: str, **changed: str) -> tuple[int, dict[str, Any]]:
        form = {"grant_type": JWT_BEARER, "requested_token_use": "on_behalf_of", "assertion": text}
        return call("token", client_credentials(scope=f"{stage.resource_id}/.default") | form | changed)

    good = stage.user_assertion()
    assert send(good)[0] == 200
    assert number(send(good, client_secret="wrong")) == 7000215
    assert number(send(good, requested_token_use="x")) == 900144
    assert number(send(stage.authority.mint.sign(PUBLIC))) == 50013
    assert number(send(good[:-6] + "AAAAAA")) == 50013
    clock.move(3601)
    assert number(send(good)) == 500133


def test_a_device_code_belongs_to_its_client(stage: Stage, call: Call) -> None:
    scope = f"{stage.resource_id}/user_impersonation"
    status, flow = call("devicecode", {"client_id": PUBLIC, "scope": scope})
    assert status == 200
    form = {"grant_type": DEVICE_CODE, "device_code": flow["device_code"]}
    assert call("token", form | {"client_id": PUBLIC})[1]["error"] == "authorization_pending"
    assert number(call("token", form | {"client_id": CONFIDENTIAL})) == 70019
    assert call("token", form | {"client_id": PUBLIC})[0] == 200
    assert number(call("token", form | {"client_id": PUBLIC})) == 70019


def test_faults_are_for_so_many_requests_of_one_endpoint(stage: Stage, call: Call) -> None:
    good = client_credentials(scope=f"{stage.resource_id}/.default")
    stage.authority.fail_next(2, Fault(status=503, headers={"Retry-After": "3"}))
    assert [call("token", good)[0] for _ in range(3)] == [503, 503, 200]
    assert stage.authority.requests["token"] == 3


def test_an_unknown_tenant_and_an_unknown_path_are_refused(stage: Stage, call: Call) -> None:
    assert number(call("nothing")) == 900561
    url = f"{stage.authority.url}/another-tenant/v2.0/.well-known/openid-configuration"
    response = requests.get(url, verify=str(stage.ca.bundle), timeout=10)
    assert number((response.status_code, response.json())) == 90002


@pytest.mark.parametrize(
    ("header", "query", "status"),
    [
        ({"X-IDENTITY-HEADER": "1dent1ty-Header-Value-77aa"}, {}, 200),
        ({"X-IDENTITY-HEADER": "wrong"}, {}, 401),
        ({}, {}, 401),
        ({"X-IDENTITY-HEADER": "1dent1ty-Header-Value-77aa"}, {"client_id": "nobody"}, 400),
        ({"X-IDENTITY-HEADER": "1dent1ty-Header-Value-77aa"}, {"resource": "another"}, 500),
    ],
)
def test_the_identity_endpoint_checks_its_header(
    stage: Stage, header: dict[str, str], query: dict[str, str], status: int
) -> None:
    params = {"api-version": "2019-08-01", "resource": stage.resource_id} | query
    response = requests.get(stage.identity.environ["IDENTITY_ENDPOINT"], params=params, headers=header, timeout=10)
    assert response.status_code == status
