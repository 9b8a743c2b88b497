"""The description of a credential: what it takes, what it refuses, what it reads, and that it holds no secret."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pydantic
import pytest
from azure.identity import ClientSecretCredential, ManagedIdentityCredential
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.errors import UsageError
from omnia_beam.net.auth.credentials import ALIASES, KINDS, CredentialSpec
from omnia_beam.net.auth.keys import keys_of_kind
from tests.support.pki import make_client_certificate

TENANT = "72f988bf-0000-0000-0000-2d7cd011db47"
CLIENT = "04b07795-0000-0000-0000-02f9e1bf7b46"
SECRET = "h0rse~Battery.Staple-Q8"
ENVIRON = {
    "AZURE_TENANT_ID": TENANT,
    "AZURE_CLIENT_ID": CLIENT,
    "AZURE_CLIENT_SECRET": SECRET,
    "USER_ASSERTION": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln",
}
NEEDED = {
    "client_secret": ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"],
    "client_certificate": ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_CERT_PATH"],
    "interactive_browser": ["AZURE_TENANT_ID", "AZURE_CLIENT_ID"],
    "device_code": ["AZURE_TENANT_ID", "AZURE_CLIENT_ID"],
    "on_behalf_of": ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "USER_ASSERTION"],
}
KEY_OF = {
    "AZURE_TENANT_ID": "credential.tenant_id_env",
    "AZURE_CLIENT_ID": "credential.client_id_env",
    "AZURE_CLIENT_SECRET": "credential.client_secret_env",
    "AZURE_CLIENT_CERT_PATH": "credential.certificate_path_env",
    "USER_ASSERTION": "credential.user_assertion_env",
}


def refusal(**keys: Any) -> str:
    """What is said when a spec of these keys is made."""
    with pytest.raises(UsageError) as caught:
        CredentialSpec(**keys)
    return str(caught.value)


def build_refusal(environ: dict[str, str], **keys: Any) -> str:
    """What is said when the credential of these keys is built."""
    with pytest.raises(UsageError) as caught:
        CredentialSpec(**keys).build(environ)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_described_by_its_name_alone(kind: str) -> None:
    assert CredentialSpec(kind).kind == kind


@pytest.mark.parametrize(("given_name", "kind"), [*ALIASES.items(), ("Client-Secret", "client_secret")])
def test_other_names_mean_the_same(given_name: str, kind: str) -> None:
    assert CredentialSpec(given_name) == CredentialSpec(kind)


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    text = refusal(kind="client_secrets")
    assert text.startswith("credential.kind: ")
    assert 'did you mean "client_secret"?' in text


def test_it_travels_and_is_a_key() -> None:
    spec = CredentialSpec("device_code", tenant_id=TENANT, additionally_allowed_tenants=["*"])
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert hash(spec) == hash(pickle.loads(pickle.dumps(spec)))
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        spec.kind = "anonymous"  # type: ignore[misc]  # wrong on purpose


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"kind": "managed_identity", "client_secret_file": "/run/secret"}, "client_secret_file"),
        ({"kind": "managed_identity", "authority": "login.example.com"}, "authority"),
        ({"kind": "anonymous", "ca_bundle": "ca.pem"}, "ca_bundle"),
        ({"kind": "client_secret", "redirect_uri": "http://localhost:8400"}, "redirect_uri"),
        ({"kind": "client_secret", "token_cache": "mine"}, "token_cache"),
        ({"kind": "default", "certificate_path": "app.pem"}, "certificate_path"),
    ],
)
def test_a_key_that_means_nothing_to_the_kind_is_refused(keys: dict[str, Any], key: str) -> None:
    text = refusal(**keys)
    assert f"credential.{key}: has no meaning for kind {keys['kind']}" in text


def test_every_field_is_claimed_by_some_kind() -> None:
    claimed = {key for kind in KINDS for key in keys_of_kind(kind)}
    assert CredentialSpec.model_fields.keys() == {"kind", *claimed}


@pytest.mark.parametrize("secret", [SECRET, "aB3" * 12, "two words", "", "8Q~" * 30, "x" * 65])
def test_a_secret_in_place_of_a_variable_name_is_refused_and_not_shown(secret: str) -> None:
    text = refusal(kind="client_secret", client_secret_env=secret)
    assert "credential.client_secret_env: must be the name" in text
    assert not secret or secret not in text


@given(st.text(min_size=8))
def test_no_refusal_shows_what_stood_in_place_of_a_variable_name(value: str) -> None:
    if not re.fullmatch("[A-Za-z0-9_]+", value):
        assert value not in refusal(kind="client_secret", client_secret_env=value)


@pytest.mark.parametrize(
    "authority",
    ["http://login.example.com", "https://login.example.com/tenant", "https://me:pw@login.example.com", "https://", ""],
)
def test_an_authority_that_is_no_https_host_is_refused(authority: str) -> None:
    text = refusal(kind="client_secret", authority=authority)
    assert "credential.authority: " in text
    assert "pw@" not in text


@pytest.mark.parametrize("authority", ["https://login.microsoftonline.us", "login.example.com", "https://[::1]:8443/"])
def test_an_https_host_is_an_authority(authority: str) -> None:
    assert CredentialSpec("client_secret", authority=authority).authority == authority


@pytest.mark.parametrize(
    "uri", ["https://localhost:8400", "http://localhost", "http://example.com:80", "http://localhost:x"]
)
def test_a_redirect_that_is_no_loopback_port_is_refused(uri: str) -> None:
    assert "credential.redirect_uri" in refusal(kind="interactive_browser", redirect_uri=uri)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "10", True])
def test_a_timeout_that_is_no_duration_is_refused(value: object) -> None:
    assert "credential.read_timeout_s: " in refusal(kind="client_secret", read_timeout_s=value)


@pytest.mark.parametrize(
    "keys",
    [
        {"tenant_id": 7},
        {"client_secret_env": None},
        {"client_secret_file": ["a"]},
        {"disable_instance_discovery": "yes"},
        {"additionally_allowed_tenants": [1]},
    ],
)
def test_a_value_of_another_type_is_refused(keys: dict[str, object]) -> None:
    assert f"credential.{next(iter(keys))}" in refusal(kind="client_secret", **keys)


def test_one_further_tenant_needs_no_list() -> None:
    spec = CredentialSpec("client_secret", additionally_allowed_tenants="*")
    assert spec.additionally_allowed_tenants == ("*",)


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "x" * 65])
def test_a_cache_name_that_is_no_file_name_is_refused(name: str) -> None:
    assert "credential.token_cache" in refusal(kind="device_code", token_cache=name)


@pytest.mark.parametrize(
    ("keys", "scope"),
    [
        ({"kind": "client_secret"}, "id/.default"),
        ({"kind": "managed_identity"}, "id/.default"),
        ({"kind": "default"}, "id/.default"),
        ({"kind": "on_behalf_of"}, "id/.default"),
        ({"kind": "device_code"}, "id/user_impersonation"),
        ({"kind": "interactive_browser"}, "id/user_impersonation"),
        ({"kind": "device_code", "scope_name": ".default"}, "id/.default"),
        ({"kind": "anonymous"}, None),
    ],
)
def test_the_scope_is_of_the_kind(keys: dict[str, Any], scope: str | None) -> None:
    assert CredentialSpec(**keys).scope("id") == scope
    assert CredentialSpec(**keys).scope("id/") == scope


def test_a_token_for_no_api_is_refused() -> None:
    assert CredentialSpec("anonymous").scope(None) is None
    with pytest.raises(UsageError, match="resource_id"):
        CredentialSpec("client_secret").scope(None)


def test_anonymous_is_no_credential() -> None:
    assert CredentialSpec("anonymous").build({}) is None


@pytest.mark.parametrize(("kind", "variable"), [(kind, name) for kind, names in NEEDED.items() for name in names])
@pytest.mark.parametrize("empty", [False, True])
def test_a_missing_variable_is_named_with_its_key_and_kind(
    kind: str, variable: str, empty: bool, tmp_path: Path
) -> None:
    certificate = make_client_certificate_once(tmp_path)
    environ = ENVIRON | {"AZURE_CLIENT_CERT_PATH": str(certificate)}
    assert CredentialSpec(kind).build(environ) is not None
    del environ[variable]
    text = build_refusal(environ | ({variable: ""} if empty else {}), kind=kind)
    assert variable in text
    assert KEY_OF[variable] in text
    assert repr(kind) in text
    assert not [value for value in ENVIRON.values() if value in text]


_certificates: list[bytes] = []


def make_client_certificate_once(folder: Path) -> Path:
    """An unencrypted certificate; the key is made once."""
    if not _certificates:
        _certificates.append(make_client_certificate(folder).path.read_bytes())
    path = folder / "application.pem"
    path.write_bytes(_certificates[0])
    return path


def test_a_variable_of_another_name_is_read_and_named() -> None:
    keys: dict[str, Any] = {
        "kind": "client_secret",
        "client_secret_env": "PUMP_SECRET",
        "tenant_id": TENANT,
        "client_id": CLIENT,
    }
    credential = CredentialSpec(**keys).build({"PUMP_SECRET": SECRET})
    assert isinstance(credential, ClientSecretCredential)
    assert "PUMP_SECRET" in build_refusal({}, **keys)


def test_only_the_given_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    assert CredentialSpec("client_secret").build() is not None
    assert "AZURE_TENANT_ID" in build_refusal({}, kind="client_secret")


def test_a_secret_file_goes_before_the_variable_and_loses_its_line_end(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("from-the-file\n")
    credential = CredentialSpec("client_secret", client_secret_file=str(path)).build(ENVIRON)
    assert isinstance(credential, ClientSecretCredential)
    assert credential._client_credential == "from-the-file"


@pytest.mark.parametrize(
    ("content", "word"), [(None, "not a file that can be read"), (b"", "empty"), (b"\xff\xfe", "not text")]
)
def test_a_secret_file_without_a_secret_is_named(tmp_path: Path, content: bytes | None, word: str) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    text = build_refusal(ENVIRON, kind="client_secret", client_secret_file=str(path))
    assert "credential.client_secret_file" in text
    assert str(path) in text
    assert word in text


def test_a_ca_bundle_that_is_not_there_is_named(tmp_path: Path) -> None:
    text = build_refusal(ENVIRON, kind="client_secret", ca_bundle=str(tmp_path / "no.pem"))
    assert "credential.ca_bundle" in text
    assert str(tmp_path / "no.pem") in text


def test_the_certificate_is_found_by_the_name_that_azure_gives_it_too(tmp_path: Path) -> None:
    environ = ENVIRON | {"AZURE_CLIENT_CERTIFICATE_PATH": str(make_client_certificate_once(tmp_path))}
    assert CredentialSpec("client_certificate").build(environ) is not None
    text = build_refusal(environ, kind="client_certificate", certificate_path_env="OTHER_PATH")
    assert "OTHER_PATH" in text
    assert "AZURE_CLIENT_CERT" not in text


@pytest.mark.parametrize("form", ["pem", "pfx"])
@pytest.mark.parametrize("kind", ["client_certificate", "on_behalf_of"])
def test_an_encrypted_certificate_needs_its_password(tmp_path: Path, form: str, kind: str) -> None:
    certificate = make_client_certificate(tmp_path, "r1ght passwörd", form)
    spec = CredentialSpec(kind, certificate_path=str(certificate.path), certificate_password_env="CERT_PASSWORD")
    assert spec.build(ENVIRON | {"CERT_PASSWORD": "r1ght passwörd"}) is not None
    for environ in (ENVIRON, ENVIRON | {"CERT_PASSWORD": "wr0ng passwörd"}):
        with pytest.raises(UsageError) as caught:
            spec.build(environ)
        assert str(certificate.path) in str(caught.value)
        assert "certificate_password_env" in str(caught.value)
        assert "passwörd" not in str(caught.value)
        assert caught.value.__context__ is None


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    path = tmp_path / "app.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")
    assert str(path) in build_refusal(ENVIRON, kind="client_certificate", certificate_path=str(path))


@pytest.mark.parametrize("bad", [{"AZURE_TENANT_ID": "not a tenant!"}])
def test_what_azure_identity_refuses_is_a_usage_error(bad: dict[str, str]) -> None:
    text = build_refusal(ENVIRON | bad, kind="client_secret")
    assert "kind 'client_secret' cannot be built" in text
    assert "tenant" in text


@pytest.mark.parametrize(
    ("keys", "client_id"),
    [
        ({}, None),
        ({"client_id": CLIENT}, CLIENT),
        ({"client_id_env": "PUMP_IDENTITY"}, "from-the-variable"),
    ],
)
def test_a_managed_identity_is_the_systems_unless_one_is_named(
    monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any], client_id: str | None
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    environ = {"PUMP_IDENTITY": "from-the-variable", "AZURE_CLIENT_ID": "somebody-else"}
    credential = CredentialSpec("managed_identity", **keys).build(environ)
    assert isinstance(credential, ManagedIdentityCredential)
    assert credential._credential._settings["client_id"] == client_id  # type: ignore[union-attr]  # azure's private parts


def test_no_secret_is_in_the_spec_or_its_pickle(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    spec = CredentialSpec("client_secret", client_secret_file=str(path))
    spec.build(ENVIRON)
    assert SECRET.encode() not in pickle.dumps(spec)
    assert SECRET not in repr(spec)
