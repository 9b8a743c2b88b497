"""Bearer tokens and subscription keys, with keys and tokens made here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from omnia_beam.emulator.thread import EmulatorThread

Start = Callable[..., EmulatorThread]
AUDIENCE = "141369bd-3dca-4b55-825b-56ad4a69b1fc"
ISSUER = "https://issuer.example/tenant/v2.0"
_PRIVATE = {
    name: rsa.generate_private_key(public_exponent=65537, key_size=2048) for name in ("ours", "rolled", "theirs")
}


def key_set(file: Path, *names: str) -> str:
    keys = [
        json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(_PRIVATE[name].public_key())) | {"kid": name} for name in names
    ]
    file.write_text(json.dumps({"keys": keys}))
    return str(file)


def token(key: str = "ours", signed_by: str | None = None, algorithm: str = "RS256", **claims: Any) -> str:
    now = int(time.time())
    content = {"aud": AUDIENCE, "iss": ISSUER, "exp": now + 600, "nbf": now - 60, **claims}
    content = {name: value for name, value in content.items() if value is not None}
    secret = _PRIVATE[signed_by or key] if algorithm == "RS256" else "x" * 64
    return jwt.encode(content, secret, algorithm=algorithm, headers={"kid": key})


@pytest.fixture
def guarded(emulator: Start, tmp_path: Path) -> EmulatorThread:
    keys = key_set(tmp_path / "jwks.json", "ours")
    return emulator(
        "--auth", "bearer", "--jwks", keys, "--audience", "another", "--audience", AUDIENCE, "--issuer", ISSUER
    )


def ask(emulator: EmulatorThread, http: requests.Session, authorization: str | None) -> requests.Response:
    return http.get(emulator.url, headers={} if authorization is None else {"Authorization": authorization})


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_valid_token_passes(guarded: EmulatorThread, http: requests.Session, scheme: str) -> None:
    assert ask(guarded, http, f"{scheme} {token()}").status_code == 200


def _bad_tokens() -> dict[str, str | None]:
    now = int(time.time())
    good = token()
    head, body, seal = good.split(".")
    claims = {"aud": AUDIENCE, "iss": ISSUER, "exp": now + 60}
    unsigned = jwt.encode(claims, None, algorithm="none", headers={"kid": "ours"})
    return {
        "none": None,
        "another scheme": f"Basic {good}",
        "empty": "Bearer ",
        "no token": "Bearer abc",
        "expired": f"Bearer {token(exp=now - 1)}",
        "not yet": f"Bearer {token(nbf=now + 600)}",
        "without expiry": f"Bearer {token(exp=None)}",
        "other audience": f"Bearer {token(aud='32f2a909')}",
        "no audience": f"Bearer {token(aud=None)}",
        "other issuer": f"Bearer {token(iss='https://evil.example')}",
        "other key": f"Bearer {token(signed_by='theirs')}",
        "unknown key": f"Bearer {token('theirs')}",
        "symmetric": f"Bearer {token(algorithm='HS256')}",
        "unsigned": f"Bearer {unsigned}",
        "tampered": f"Bearer {head}.{body[:-4]}AAAA.{seal}",
    }


@pytest.mark.parametrize("case", sorted(_bad_tokens()))
def test_any_other_is_refused(guarded: EmulatorThread, http: requests.Session, case: str) -> None:
    authorization = _bad_tokens()[case]
    response = ask(guarded, http, authorization)
    assert response.status_code == 401, case
    assert response.headers["WWW-Authenticate"].startswith("Bearer realm=")
    assert response.json()["statusCode"] == 401
    secret = (authorization or "Bearer -").split(" ")[-1]
    assert len(secret) < 4 or secret not in response.text + str(response.headers)


@pytest.mark.parametrize("claims", [{"roles": ["reader", "denied"]}, {"scp": "user_impersonation denied"}])
def test_a_token_without_permission(guarded: EmulatorThread, http: requests.Session, claims: Any) -> None:
    response = ask(guarded, http, f"Bearer {token(**claims)}")
    assert (response.status_code, response.json()["statusCode"]) == (403, 403)
    allowed = {name: (["reader"] if name == "roles" else "user_impersonation") for name in claims}
    assert ask(guarded, http, f"Bearer {token(**allowed)}").status_code == 200


def test_keys_that_are_rolled_are_found(guarded: EmulatorThread, http: requests.Session, tmp_path: Path) -> None:
    assert ask(guarded, http, f"Bearer {token('rolled')}").status_code == 401
    key_set(tmp_path / "jwks.json", "rolled")
    assert ask(guarded, http, f"Bearer {token('rolled')}").status_code == 200
    assert ask(guarded, http, f"Bearer {token('ours')}").status_code == 401


def test_stats_need_no_token(guarded: EmulatorThread, http: requests.Session) -> None:
    ask(guarded, http, None)
    assert guarded.stats()["requests_by_status"] == {"401": 1}


@pytest.mark.parametrize(
    ("arguments", "authorization", "status"),
    [
        ([], None, 401),
        ([], "Bearer ", 401),
        ([], "Basic abc", 401),
        ([], "Bearer opaque", 200),
        ([], f"Bearer {token('theirs')}", 200),
        ([], f"Bearer {token(exp=1)}", 401),
        ([], "Bearer not.a.token", 401),
        ([], f"Bearer {token(roles=['denied'])}", 403),
        (["--audience", AUDIENCE], f"Bearer {token('theirs')}", 200),
        (["--audience", "another"], f"Bearer {token('theirs')}", 401),
    ],
)
def test_without_a_key_set_a_token_is_wanted_and_its_signature_is_not_checked(
    emulator: Start, http: requests.Session, arguments: list[str], authorization: str | None, status: int
) -> None:
    assert ask(emulator("--auth", "bearer", *arguments), http, authorization).status_code == status


def test_without_an_audience_the_signature_is_checked_all_the_same(
    emulator: Start, http: requests.Session, tmp_path: Path
) -> None:
    running = emulator("--auth", "bearer", "--jwks", key_set(tmp_path / "jwks.json", "ours"))
    assert ask(running, http, f"Bearer {token(aud='whatever')}").status_code == 200
    assert ask(running, http, f"Bearer {token('ours', signed_by='theirs')}").status_code == 401


def test_a_subscription_key(emulator: Start, http: requests.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMULATOR_TEST_KEY", "k3y")
    running = emulator("--subscription-key-env", "EMULATOR_TEST_KEY")
    answers = [
        http.get(running.url, headers={"Ocp-Apim-Subscription-Key": key} if key else {}) for key in ("", "other", "k3y")
    ]
    assert [response.status_code for response in answers] == [401, 401, 200]
    assert "missing" in answers[0].json()["message"]
    assert "invalid" in answers[1].json()["message"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--auth", "bearer", "--audience", "x", "--jwks", "{}"], "no JSON Web Key Set"),
        (["--auth", "bearer", "--audience", "x", "--jwks", "nowhere.json"], "nowhere.json"),
        (["--subscription-key-env", "EMULATOR_NO_SUCH_KEY"], "EMULATOR_NO_SUCH_KEY is not set"),
    ],
)
def test_settings_that_are_incomplete(tmp_path: Path, arguments: list[str], said: str) -> None:
    if "{}" in arguments:
        (tmp_path / "keys.json").write_text("{}")
        arguments = [*arguments[:-1], str(tmp_path / "keys.json")]
    with pytest.raises((ValueError, OSError), match=said):
        EmulatorThread(arguments).start()
