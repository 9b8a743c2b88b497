"""The keys below `credential:`: in a configuration as in code, kind by kind."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from omnia_beam.core.errors import UsageError
from omnia_beam.net.auth.credentials import KINDS, CredentialSpec
from omnia_beam.net.auth.keys import keys_of_kind

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


def in_code(name: str) -> Any:
    """The same value as code gives it: not as a text, where the key takes none."""
    return {"true": True, "7.5": 7.5}.get(some(name), some(name))


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_means_the_same_in_a_configuration_and_in_code(kind: str) -> None:
    for name in CredentialSpec.model_fields.keys() - {"kind"}:
        if name in keys_of_kind(kind):
            config = CredentialSpec.model_validate({"kind": kind, name: some(name)})
            assert config == CredentialSpec(kind, **{name: in_code(name)})
            assert getattr(config, name) != CredentialSpec.model_fields[name].default
        else:
            with pytest.raises(pydantic.ValidationError):
                CredentialSpec.model_validate({"kind": kind, name: some(name)})
            with pytest.raises(UsageError):
                CredentialSpec(kind, **{name: in_code(name)})


def test_the_same_is_made_in_code(files: Files) -> None:
    text = GOOD.replace("{kind: anonymous}", "{kind: Client-Secret, tenant_id: 0123, client_id: null}").replace(
        "http://127.0.0.1:8080/plant/timeseries/v1.7", "https://h/v\n  resource_id: r"
    )
    credential = files.load(text).source.credential  # type: ignore[union-attr]  # omnia
    assert credential == CredentialSpec("client_secret", tenant_id="0123")


@pytest.mark.parametrize(
    ("inner", "says"),
    [
        ("kind: anonymous, tenant_id: t", "tenant_id: has no meaning for kind anonymous, which takes no further keys"),
        ("kind: device_code, client_secret_env: X", "client_secret_env: has no meaning for kind device_code, which takes "),
        ("kind: secrets", 'kind: the value (not shown) is not one of anonymous, client_secret'),
        ("tenant_id: t", "kind: required key is missing"),
        ("kind: default, authority: 'http://h'", "authority: must be an https host"),
        ("kind: default, authority: 'https://h/tenant'", "authority: must be an https host"),
        ("kind: interactive_browser, redirect_uri: 'http://localhost'", "redirect_uri: must be a loopback address with a port"),
        ("kind: interactive_browser, redirect_uri: 'http://evil:80'", "redirect_uri: must be a loopback address with a port"),
        ("kind: interactive_browser, redirect_uri: 'http://localhost:x'", "redirect_uri: must be a loopback address with a port"),
        ("kind: device_code, token_cache: a/b", "token_cache: must be a file name"),
        ("kind: client_secret, client_secret_env: 'not a name'", "client_secret_env: must be the name of an environment variable"),
        ("kind: client_secret, client_secret_env: aB3aB3aB3aB3aB3aB3aB3", "client_secret_env: must be the name of an"),
        ("kind: client_secret, connect_timeout_s: 0", "connect_timeout_s: the value (not shown) is out of"),
        ("kind: client_secret, client_scret_env: X", 'client_scret_env: unknown key; did you mean "client_secret_env"?'),
    ],
)  # fmt: skip
def test_credentials_that_cannot_be(files: Files, inner: str, says: str) -> None:
    text = GOOD.replace("{kind: anonymous}", f"{{{inner}}}").replace(
        "base_url: http://127.0.0.1:8080/plant/timeseries/v1.7", "environment: dev"
    )
    [line] = files.problems(text)
    assert line.split(": ", 1)[1].startswith(f"source.credential.{says}"), line
