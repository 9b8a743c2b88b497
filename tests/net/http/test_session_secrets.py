"""Tokens, keys and redirects: who gets to see them, and who does not; and how a session ends."""

from __future__ import annotations

import base64
import copy
import hashlib
import html
import json
import pickle
import re
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

import pytest

from omnia_beam.core import errors, redaction
from omnia_beam.net.api.client import OmniaClient
from omnia_beam.net.http.retry import RetryPolicy
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from tests.support.leaks import all_logs

PROTO = "application/protobuf"


def test_one_fresh_token_after_a_401(service: Any, session_on: Any, changing_tokens: Any) -> None:
    service.script = [service.response(401), service.response()]
    session = session_on(service.url, tokens=changing_tokens)
    assert session.send("POST", "x", json_body={}, idempotent=False).attempts == 1
    assert [r.headers["authorization"] for r in service.requests] == ["Bearer secret-token-1", "Bearer secret-token-2"]
    assert changing_tokens.renewed == ["secret-token-1"]
    assert session.stats.snapshot().attempts == 2


def test_a_second_401_is_final_and_tells_no_token(service: Any, session_on: Any, changing_tokens: Any) -> None:
    service.script = [service.response(401, b'{"message": "no secret-token-1 here"}')]
    with pytest.raises(errors.UnauthorizedError, match="check the credential") as caught:
        session_on(service.url, tokens=changing_tokens).send("GET", "x", idempotent=True)
    assert len(service.requests) == 2
    assert "secret-token" not in str(caught.value)


def test_every_attempt_asks_for_its_token(service: Any, session_on: Any, changing_tokens: Any) -> None:
    def expire_then_503(connection: Any, _request: Any) -> None:
        changing_tokens.number += 1
        connection.sendall(service.response(503, b"", None, Connection="close"))

    service.script = [expire_then_503, service.response()]
    session_on(service.url, tokens=changing_tokens).send("GET", "x", idempotent=True)
    assert [r.headers["authorization"] for r in service.requests] == ["Bearer secret-token-1", "Bearer secret-token-2"]


def test_a_token_that_ends_while_everybody_waits_is_not_sent(
    service: Any, session_on: Any, changing_tokens: Any, turned_clock: Any
) -> None:
    def sleep(seconds: float) -> None:
        turned_clock.sleep(seconds)
        changing_tokens.number += 1

    service.script = [service.response(503, b"", None, Retry_After="60"), service.response()]
    session = session_on(service.url, tokens=changing_tokens, sleep=sleep, retry=RetryPolicy(attempts=1))
    with pytest.raises(errors.TransientServiceError):
        session.send("GET", "x", idempotent=True)
    session.send("GET", "x", idempotent=True)
    assert service.requests[1].headers["authorization"] == "Bearer secret-token-2"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_the_service_is_followed(
    service: Any, session_on: Any, changing_tokens: Any, status: int
) -> None:
    service.script = [service.response(status, b"moved", "text/html", Location="/elsewhere?a=1"), service.response()]
    session_on(service.url, tokens=changing_tokens).send("GET", "x", params=[("b", "2")], idempotent=True)
    assert service.requests[1].target == "/elsewhere?a=1"
    assert service.requests[1].headers["authorization"] == "Bearer secret-token-1"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "to", ["http://127.0.0.1:{other}/x?code=hush", "//localhost:{port}/x", "https://127.0.0.1:{port}/"]
)
def test_a_redirect_to_another_host_is_not_followed(
    service: Any, other_service: Any, session_on: Any, changing_tokens: Any, status: int, to: str
) -> None:
    location = to.format(other=other_service.port, port=service.port)
    service.script = [service.response(status, b"", None, Location=location)]
    session = session_on(service.url, tokens=changing_tokens, environ={"K": "sub-key"}, subscription_key_env="K")
    with pytest.raises(errors.TerminalServiceError, match=r"redirect to another host .* not followed") as caught:
        session.send("GET", "x", idempotent=True)
    assert other_service.requests == []
    assert len(service.requests) == 1
    assert "hush" not in str(caught.value)


def test_a_307_within_the_service_keeps_method_and_body(service: Any, session_on: Any) -> None:
    service.script = [service.response(307, b"", None, Location="y"), service.response()]
    session_on(service.url).send("POST", "x", json_body={"a": 1}, idempotent=False)
    assert (service.requests[1].method, service.requests[1].body) == ("POST", b'{"a":1}')


@pytest.mark.parametrize(
    ("method", "status", "location", "told"),
    [
        ("POST", 302, "/y", "would lose its body"),
        ("GET", 302, "", "without a target"),
        ("GET", 302, "http://[bad", "another host"),
        ("GET", 307, "/again", "more than 5 redirects"),
    ],
)
def test_other_redirects_are_errors(
    service: Any, session_on: Any, method: str, status: int, location: str, told: str
) -> None:
    service.script = [service.response(status, b"", None, Location=location)]
    with pytest.raises(errors.TerminalServiceError, match=told):
        session_on(service.url).send(method, "x", json_body={}, idempotent=True)


def test_nothing_of_a_session_can_be_pickled_or_shows_a_secret(service: Any, session_on: Any) -> None:
    session = session_on(service.url, environ={"K": "sub-key-secret"}, subscription_key_env="K")
    with pytest.raises(TypeError, match="pickle its ServiceSettings"):
        pickle.dumps(session)
    with pytest.raises(TypeError):
        copy.copy(session)
    assert "sub-key-secret" not in repr(session) + repr(session.settings) + repr(vars(session.settings))
    assert pickle.loads(pickle.dumps(session.settings)) == session.settings


def test_an_error_carries_no_request_in_its_chain(
    service: Any, session_on: Any, changing_tokens: Any, reset_connection: Any
) -> None:
    service.script = [reset_connection]
    with pytest.raises(errors.TransientServiceError) as caught:
        session_on(service.url, tokens=changing_tokens, retry=RetryPolicy(attempts=2)).send("GET", "x", idempotent=True)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_missing_subscription_key_is_named(session_on: Any) -> None:
    with pytest.raises(errors.UsageError, match="GATEWAY_KEY"):
        session_on("http://127.0.0.1:9/x", subscription_key_env="GATEWAY_KEY")


def test_closing_ends_a_request_under_way(service: Any, session_on: Any) -> None:
    arrived = threading.Event()

    def hang(_connection: Any, _request: Any) -> None:
        arrived.set()
        service.stop.wait(20)

    service.script = [hang]
    session = session_on(service.url)
    ended: list[BaseException] = []

    def send() -> None:
        try:
            session.send("GET", "x", idempotent=True)
        except errors.OmniaBeamError as error:
            ended.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    assert arrived.wait(20)
    session.close()
    thread.join()
    assert isinstance(ended[0], errors.TerminalServiceError)
    assert "the session was closed" in str(ended[0])
    with pytest.raises(errors.TerminalServiceError, match="not sent: the session was closed"):
        session.send("GET", "x", idempotent=True)


def test_closing_ends_a_wait_between_attempts(service: Any) -> None:
    service.script = [service.response(429, b"", None, Retry_After="500")]
    session = ServiceSession(ServiceSettings(service.url), environ={})
    closer = threading.Thread(target=lambda: (_until(lambda: service.requests), session.close()))
    closer.start()
    with pytest.raises(errors.TerminalServiceError, match="the session was closed"):
        session.send("GET", "x", idempotent=True)
    closer.join()


def _until(condition: Callable[[], Any]) -> None:
    ready = threading.Event()
    while not condition():
        ready.wait(0.01)


def test_a_nan_has_no_json_form(session_on: Any) -> None:
    with pytest.raises(errors.UsageError, match="JSON cannot hold"):
        session_on("http://127.0.0.1:9").send("POST", "x", json_body=[float("nan")], idempotent=True)


OPAQUE = "0.AbC-def_123~opaque+token/with==all.of-it.Zq9"
JWT = ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=")
    for part in (b'{"alg":"RS256","typ":"JWT"}', b'{"sub":"somebody","exp":9999999999}', b"a signature, of some length")
)

WAYS = {
    "as it is": lambda token: token,
    "with its scheme": lambda token: f"Authorization: Bearer {token}",
    "percent": lambda token: f"?auth={quote(token, safe='')}",
    "percent, lower case": lambda token: re.sub("%..", lambda each: each[0].lower(), quote(token, safe="")),
    "percent twice": lambda token: quote(quote(token, safe=""), safe=""),
    "every byte in percent": lambda token: "".join(f"%{byte:02x}" for byte in token.encode()),
    "base64": lambda token: base64.b64encode(token.encode()).decode(),
    "base64 of the header": lambda token: base64.b64encode(f"Bearer {token}".encode()).decode(),
    "base64 of a pair": lambda token: base64.urlsafe_b64encode(f"me:{token}".encode()).decode().rstrip("="),
    "lower case": str.lower,
    "upper case": str.upper,
    "quoted": lambda token: repr(json.dumps({"token": token})),
    "HTML": lambda token: "".join(each if each.isalnum() else f"&#{ord(each)};" for each in token),
    "JSON escapes": lambda token: "".join(each if each.isalnum() else f"\\u{ord(each):04x}" for each in token),
    "wrapped": lambda token: "\n  ".join(token[at : at + 16] for at in range(0, len(token), 16)),
    "without its end": lambda token: token[:-4],
    "without its beginning": lambda token: token[5:],
    "the middle": lambda token: f"…{token[9:30]}…",
    "cut by us": lambda token: "x" * (400 - len(token) + 3) + " " + token,
    "cut by us far in": lambda token: "\t" * 4080 + token,
}


def shown_of(token: str, text: str) -> set[str]:
    """Pieces of eight letters of the token that the text has, however it spells them."""
    plain = unquote(unquote(unquote(html.unescape(re.sub(r"\\+u00(..)", r"%\1", text)))))
    texts = [text, plain, *(_from_base64(word) for word in re.findall(r"[A-Za-z0-9_+/-]{8,}", text))]
    letters = ["".join(filter(str.isalnum, each)).lower() for each in texts]
    wanted = "".join(filter(str.isalnum, token)).lower()
    return {
        wanted[at : at + 8] for at in range(len(wanted) - 7) if any(wanted[at : at + 8] in each for each in letters)
    }


def _from_base64(word: str) -> str:
    raw = word.replace("-", "+").replace("_", "/")
    return base64.b64decode(raw[: len(raw) // 4 * 4]).decode("latin-1")


@pytest.mark.parametrize("token", [OPAQUE, JWT], ids=["opaque", "jwt"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "place", ["message", "nested", "trace", "text", "html", "Content-Type", "Content-Encoding", "Location", "no JSON"]
)
def test_a_service_that_repeats_the_token_is_not_repeated(
    service: Any, session_on: Any, place: str, way: str, token: str
) -> None:
    spelt = WAYS[way](token)
    assert shown_of(token, spelt), "the test would pass whatever is shown"
    header = re.sub(r"[\r\n\t]+ *", "", spelt.encode("latin-1", "replace").decode("latin-1"))
    service.script = [
        {
            "message": lambda: service.response(400, json.dumps({"message": f"no {spelt} here"}).encode()),
            "nested": lambda: service.response(403, json.dumps({"error": {"detail": spelt}}).encode()),
            "trace": lambda: service.response(404, json.dumps({"message": "no", "traceId": spelt}).encode()),
            "text": lambda: service.response(400, spelt.encode(), "text/plain"),
            "html": lambda: service.response(502, f"<html><title>{spelt[-180:]}</title>".encode(), "text/html"),
            "Content-Type": lambda: service.response(200, b"x", header),
            "Content-Encoding": lambda: service.response(200, b"x", Content_Encoding=header),
            "Location": lambda: service.response(302, b"", Location=f"http://{header}:80/{header}"),
            "no JSON": lambda: service.response(200, spelt.encode()),
        }[place]()
    ]
    session = session_on(service.url, tokens=OneToken(token), retry=RetryPolicy(attempts=2))
    with all_logs() as logs, pytest.raises(errors.OmniaBeamError) as caught:
        session.send("GET", "x", idempotent=True).json()
    error = caught.value
    seen = [str(error), repr(error), repr(vars(error)), repr(error.args), *logs]
    seen.append(repr(vars(pickle.loads(pickle.dumps(error)))))
    assert {piece for text in seen for piece in shown_of(token, text)} == set()
    assert service.requests[0].headers["authorization"] == f"Bearer {token}"


class OneToken:
    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        return self._token

    def renew(self, rejected: str) -> str:
        return self._token


def test_the_key_of_a_destination_is_not_repeated(service: Any) -> None:
    key = "a3VyemVyIFNjaGxvc3Nlcg+/bGFuZ2Vy="
    given = f"Endpoint=sb://hub.example.net/;SharedAccessKeyName=sender;SharedAccessKey={key}"
    service.script = [service.response(400, json.dumps({"message": f"bad key {key} of sender"}).encode())]
    with OmniaClient(service.url) as omnia, pytest.raises(errors.BadRequestError, match="of sender") as caught:
        omnia.set_stream_destination(given)
    assert shown_of(key, str(caught.value)) == set()


def test_old_tokens_are_forgotten_and_ordinary_words_stay() -> None:
    tokens = [hashlib.sha256(bytes([number])).hexdigest() for number in range(50)]
    for token in tokens:
        redaction.remember_token(token)
    text = "a " + " b ".join(tokens)
    assert [token for token in tokens if token in redaction.redact(text)] == tokens[:34]  # sixteen are kept
    redaction.remember_secret("omnia-beam-secret-of-the-application-2024")
    message = "omnia-beam backfill: needs the environment variable AZURE_CLIENT_SECRET (credential.client_secret_env)"
    assert redaction.redact(message) == message
