"""The keys below `credential:` are the fields of the net layer's spec, kind by kind."""

from __future__ import annotations

import dataclasses
from typing import Any

import pydantic
import pytest

from omnia_beam.config.credential import ALIASES, KINDS, CredentialConfig, keys_of_kind
from omnia_beam.core.errors import UsageError
from omnia_beam.net.auth import credentials
from omnia_beam.net.auth.credentials import CredentialSpec

from .conftest import GOOD, Files

SOME: dict[str, str] = {
    "authority": "https://login.example.com",
    "redirect_uri": "http://localhost:8400",
    "send_certificate_chain": "true",
    "disable_instance_discovery": "true",
    "token_cache_unencrypted": "true",
    "connect_timeout_s": "7.5",
    "read_timeout_s": "7.5",
    "prompt_timeout_s": "7.5",
}
"""A value for each key that is not just any text."""


def some(name: str) -> str:
    return SOME.get(name, f"SOME_{name.upper()}")


def fields() -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(CredentialSpec)}


def test_the_keys_are_the_fields_with_the_same_defaults() -> None:
    here = {name: info.default for name, info in CredentialConfig.model_fields.items() if name != "kind"}
    assert here == {name: default for name, default in fields().items() if name != "kind"}
    assert credentials.KINDS == KINDS
    assert credentials.ALIASES == ALIASES


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_means_something_to_the_same_kinds(kind: str) -> None:
    for name in fields():
        if name == "kind":
            continue
        try:
            config = CredentialConfig.model_validate({"kind": kind, name: some(name)})
        except pydantic.ValidationError:
            with pytest.raises(UsageError):
                CredentialSpec(kind, **{name: True if some(name) == "true" else some(name)})
            assert name not in keys_of_kind(kind)
            continue
        assert name in keys_of_kind(kind)
        assert getattr(CredentialSpec(**config.spec_fields()), name) == getattr(config, name)


def test_only_what_was_written_is_passed_on(files: Files) -> None:
    text = GOOD.replace("{kind: anonymous}", "{kind: Client-Secret, tenant_id: 0123, client_id: null}").replace(
        "http://127.0.0.1:8080/plant/timeseries/v1.7", "https://h/v\n  resource_id: r"
    )
    credential = files.load(text).source.credential  # type: ignore[union-attr]  # omnia
    assert credential.spec_fields() == {"kind": "client_secret", "tenant_id": "0123"}


@pytest.mark.parametrize(
    ("inner", "says"),
    [
        ("kind: anonymous, tenant_id: t", "tenant_id: means nothing to kind anonymous, which takes no further keys"),
        ("kind: device_code, client_secret_env: X", "client_secret_env: means nothing to kind device_code, which takes tenant_id,"),
        ("kind: secrets", 'kind: what stands there (not shown) is not one of anonymous, client_secret'),
        ("tenant_id: t", "kind: required key is missing"),
        ("kind: default, authority: 'http://h'", "authority: must be an https host"),
        ("kind: default, authority: 'https://h/tenant'", "authority: must be an https host"),
        ("kind: interactive_browser, redirect_uri: 'http://localhost'", "redirect_uri: must be a loopback address with a port"),
        ("kind: interactive_browser, redirect_uri: 'http://evil:80'", "redirect_uri: must be a loopback address with a port"),
        ("kind: interactive_browser, redirect_uri: 'http://localhost:x'", "redirect_uri: must be a loopback address with a port"),
        ("kind: device_code, token_cache: a/b", "token_cache: must be a file name"),
        ("kind: client_secret, client_secret_env: 'not a name'", "client_secret_env: must be the name of an environment variable"),
        ("kind: client_secret, client_secret_env: aB3aB3aB3aB3aB3aB3aB3", "client_secret_env: must be the name of an"),
        ("kind: client_secret, connect_timeout_s: 0", "connect_timeout_s: what stands there (not shown) is out of"),
        ("kind: client_secret, client_scret_env: X", 'client_scret_env: unknown key; did you mean "client_secret_env"?'),
    ],
)  # fmt: skip
def test_credentials_that_cannot_be(files: Files, inner: str, says: str) -> None:
    text = GOOD.replace("{kind: anonymous}", f"{{{inner}}}").replace(
        "base_url: http://127.0.0.1:8080/plant/timeseries/v1.7", "environment: dev"
    )
    [line] = files.problems(text)
    assert line.split(": ", 1)[1].startswith(f"source.credential.{says}"), line
