"""No secret gets in, and none gets out: not in a message, an error's members, its context, a repr."""

from __future__ import annotations

import pickle
import traceback

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.config import document
from omnia_beam.config.document import parse_document
from omnia_beam.config.load import validate
from omnia_beam.config.secrecy import is_secret_key, is_secret_value, show_key, show_value
from omnia_beam.core.errors import UsageError
from omnia_beam.pipelines.config import job_model, load_config

from .conftest import GOOD, NOW_NS, Files

SECRET = "Xy7-s3cr3t~value"
ANONYMOUS = "credential: {kind: anonymous}"


def everything(error: BaseException) -> str:
    """All that an error shows or carries along, chained errors included."""
    seen: list[str] = []
    current: BaseException | None = error
    while current is not None:
        members = {**vars(current), "object": getattr(current, "object", None)}
        seen += [str(current), repr(current), repr(members), repr(current.args)]
        seen += traceback.format_exception(current)
        current = current.__context__ or current.__cause__
    seen.append(pickle.dumps(error).decode("latin-1"))
    return "\n".join(seen)


LITERAL = [
    f"client_secret: {SECRET}",
    f"client-secret: {SECRET}",
    f"password: {SECRET}",
    f"certificate_password: {SECRET}",
    f"token: {SECRET}",
    f"access_token: {SECRET}",
    f"user_assertion: {SECRET}",
    f"subscription_key: {SECRET}",
    f"api_key: {SECRET}",
    f"connection_string: AccountKey={SECRET}",
    f"client_secret: {{value: {SECRET}}}",
    f"client_secret: [{SECRET}]",
]


@pytest.mark.parametrize("literal", LITERAL)
@pytest.mark.parametrize("place", ["credential", "source", "top", "sink"])
def test_a_literal_secret_is_refused_unseen(files: Files, literal: str, place: str) -> None:
    text = {
        "credential": GOOD.replace("{kind: anonymous}", f"{{kind: client_secret, {literal}}}"),
        "source": GOOD.replace(ANONYMOUS, f"{ANONYMOUS}\n  {literal}"),
        "top": f"{GOOD}{literal}\n",
        "sink": GOOD.replace("path: out/", f"path: out/, {literal}"),
    }[place]
    with pytest.raises(UsageError) as caught:
        files.load(text)
    name = literal.split(":")[0]
    [line] = [line for line in files.lines(caught.value) if "a secret must not be in a configuration" in line]
    assert f"{name}: " in line
    assert "_env: NAME_OF_THE_VARIABLE" in line
    assert SECRET not in everything(caught.value)


MISPLACED = [
    f"kind: {SECRET}",
    f"kind: client_secret, client_secret_env: {SECRET}",
    f"kind: client_secret, tenant_id: [{SECRET}]",
    f"kind: client_secret, disable_instance_discovery: {SECRET}",
    f"kind: client_secret, connect_timeout_s: {SECRET}",
    f"kind: client_secret, authority: http://{SECRET}",
    f"kind: client_certificate, certificate_password_env: {SECRET}",
    f"kind: interactive_browser, redirect_uri: '{SECRET}'",
    f"kind: device_code, token_cache: '{SECRET}/x'",
    f"kind: client_secret, '{SECRET}': x",
    f"kind: client_secret, client_secret:{SECRET}: x",
    f"client_secret:{SECRET}",
    f"'{SECRET}': 1, '{SECRET}': 2",
    f"kind: anonymous, client_secret_env: {SECRET}",
]


@pytest.mark.parametrize("inner", MISPLACED)
def test_a_misplaced_secret_below_credential_is_never_repeated(files: Files, inner: str) -> None:
    with pytest.raises(UsageError) as caught:
        files.load(GOOD.replace("{kind: anonymous}", f"{{{inner}}}").replace("http://127.0.0.1:8080", "https://h"))
    assert "source.credential" in str(caught.value)
    assert SECRET not in everything(caught.value)


@pytest.mark.parametrize("value", [SECRET, f"[{SECRET}]", f"&x {SECRET}", f"'{SECRET}'"])
def test_a_credential_that_is_no_mapping(files: Files, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        files.load(GOOD.replace("{kind: anonymous}", value))
    assert "source.credential: must be a mapping of keys" in str(caught.value)
    assert SECRET not in everything(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"a: *{SECRET}",
        f"a: !{SECRET} b",
        f"a: '{SECRET}",
        f'a: "\\q{SECRET}"',
        f"a: @{SECRET}",
        f"a: {{client_secret: {SECRET}",
        f"a: {SECRET}: b",
        f"? [{SECRET}]\n: x",
        f"a: &{SECRET} x\nb: &{SECRET} y\nc: [",
        f"{SECRET}",
        f"- {SECRET}",
        f"password: {SECRET}\npassword: {SECRET}",
        f"password: {SECRET}\n\tx",
    ],
)
@pytest.mark.parametrize("loader", [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)])
def test_bad_yaml_is_not_quoted(files: Files, text: str, loader: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "LOADER", loader)
    with pytest.raises(UsageError) as caught:
        files.load(text)
    assert SECRET not in everything(caught.value)


def test_a_file_that_is_no_text_is_not_carried_along(files: Files) -> None:
    path = files.directory / "job.yaml"
    path.write_bytes(b"password: " + SECRET.encode() + b"\xc5\n")
    with pytest.raises(UsageError) as caught:
        load_config(str(path), now_ns=NOW_NS)
    assert SECRET not in everything(caught.value)


VALUES = [
    f"Server=db;Password={SECRET}",
    f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={SECRET}",
    f"Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey={SECRET}",
    f"https://a.blob.core.windows.net/c?sv=1&sig={SECRET}",
    f"https://user:{SECRET}@host/path",
    f"s3://key:{SECRET}@bucket/x",
    f"Bearer {SECRET}",
    f"eyJhbGciOiJub25lIn0.eyJzdWIiOiI{SECRET}",
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(
    "key", ["out/", "state/", "http://127.0.0.1:8080/plant/timeseries/v1.7", "2024-01-01}", "name: job"]
)
def test_a_value_that_carries_a_secret_is_refused_unseen(files: Files, value: str, key: str) -> None:
    closing = "}" if key.endswith("}") else ""
    opening = "name: " if key.startswith("name") else ""
    with pytest.raises(UsageError) as caught:
        files.load(GOOD.replace(key, f'{opening}"{value}"{closing}', 1))
    [line] = files.lines(caught.value)
    assert "the value (not shown) looks like it holds a password, key, signature or token" in line
    assert SECRET not in everything(caught.value)


@pytest.mark.parametrize(
    "setting",
    [
        f"source.credential.client_secret={SECRET}",
        f"source.credential={SECRET}",
        f"source.credential=[{SECRET}",
        f"source.credential.kind={SECRET}",
        f"source.credential.client_secret:{SECRET}=x",
        f"client_secret:{SECRET}",
        f"password.{SECRET}.x=1",
        f"sink.path=https://user:{SECRET}@host/path",
    ],
)
def test_a_secret_on_the_command_line_is_not_repeated(files: Files, setting: str) -> None:
    with pytest.raises(UsageError) as caught:
        files.load(GOOD, setting)
    assert SECRET not in everything(caught.value)


_word = st.text("ABCDEFGHabcdefgh0123456789~._-", min_size=12, max_size=24).map(lambda text: f"Q{text}9z")
_path = st.sampled_from(
    ["kind", "tenant_id_env", "client_secret_env", "authority", "certificate_password_env", "x", "scope_name"]
)


@given(_word, _path, st.sampled_from(["{}", "[{}]", "{{a: {}}}", "'{}'", "{}: x"]))
def test_whatever_stands_below_credential_stays_there(word: str, name: str, form: str) -> None:
    text = GOOD.replace("{kind: anonymous}", f"\n    kind: nonsense\n    {name}: {form.format(word)}")
    message = ""
    try:
        validate(parse_document(text, "job.yaml"), job_model(), NOW_NS)
    except UsageError as error:
        message = everything(error)
    assert message
    assert word not in message


@pytest.mark.parametrize(
    "key", ["client_secret", "PASSWORD", "Token", "apiKey", "sas", "accountKey", "pwd", "private-key"]
)
def test_secret_keys(key: str) -> None:
    assert is_secret_key(key)


@pytest.mark.parametrize(
    "key",
    [
        "client_secret_env",
        "client_secret_file",
        "certificate_path",
        "token_cache",
        "ids",
        "facility",
        "series_id",
        "key",
    ],
)
def test_keys_that_are_no_secrets(key: str) -> None:
    assert not is_secret_key(key)


@pytest.mark.parametrize(
    "value",
    [
        "out/",
        "abfss://container@account.dfs.core.windows.net/p",
        "http://h:80/a@b",
        "design=1",
        "2024-01-01T00:00:00Z",
        "*PT*",
        "s3://b/a:b@c",
    ],
)
def test_values_that_are_no_secrets(value: str) -> None:
    assert not is_secret_value(value)


def test_what_is_shown() -> None:
    assert show_key(("source", "series", "ids", 3)) == "source.series.ids.3"
    assert show_key(("a", "client_secret:abc9")) == "a.client_secret…"
    assert show_value(("a",), 'x"y\n') == '"x\\"y\\n"'
    assert show_value(("a",), "x" * 100) == f'"{"x" * 80}…"'
    assert show_value(("source", "credential", "kind"), "x") == "the value (not shown)"
    assert [show_value((), value) for value in ({}, [], None)] == ["a mapping", "a list", "nothing"]
