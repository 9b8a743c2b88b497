"""docs/signing-in.md, taken at its word: each recipe's keys and variables are enough to build its credential."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from omnia_beam.core.errors import UsageError
from omnia_beam.net.auth.credentials import KINDS, AnyCredential, CredentialSpec
from tests.support import fixtures
from tests.support.pki import ClientCertificate

application_certificate = fixtures.application_certificate

PAGES = Path(__file__).parents[3] / "docs"
PAGE = (PAGES / "signing-in.md").read_text(encoding="utf-8")


def recipes() -> dict[str, tuple[dict[str, Any], list[str]]]:
    """By heading and kind: the keys below `credential:`, and the variables that the section exports."""
    found = {}
    for section in re.split(r"^### ", PAGE.partition("## Not being asked")[0], flags=re.MULTILINE)[1:]:
        exported = re.findall(r"\b([A-Z][A-Z_]+)=", "".join(re.findall(r"^export .*$", section, re.MULTILINE)))
        for block in re.findall(r"```yaml\n(.*?)```", section, re.DOTALL):
            keys = yaml.safe_load(block)["credential"]
            found[f"{section.splitlines()[0]} ({keys['kind']})"] = (keys, exported)
    return found


RECIPES = recipes()


def test_every_kind_has_its_recipe() -> None:
    assert {keys["kind"] for keys, _ in RECIPES.values()} | {"anonymous"} == set(KINDS)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_complete_and_has_nothing_to_spare(
    application_certificate: ClientCertificate, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    keys, exported = RECIPES[name]
    values = {
        "AZURE_CLIENT_CERT_PATH": str(application_certificate.path),
        "AZURE_CLIENT_CERTIFICATE_PASSWORD": application_certificate.password,
    }
    environ = {variable: values.get(variable, "something") for variable in exported}
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    assert CredentialSpec(**keys).build(environ) is not None
    for variable in exported:
        with pytest.raises(UsageError):
            CredentialSpec(**keys).build({other: environ[other] for other in exported if other != variable})


def test_accounts_of_a_domain_are_as_the_pages_write_them() -> None:
    pages = PAGE.partition("## Accounts of a domain")[2] + (PAGES / "pi.md").read_text(encoding="utf-8")
    written = [yaml.safe_load(text) for text in re.findall(r"\{kind: (?:basic|ntlm|kerberos|anonymous)[^}]*\}", pages)]
    made = [TypeAdapter(AnyCredential).validate_python(keys) for keys in written]
    assert {each.kind for each in made} == {"anonymous", "basic", "kerberos", "ntlm"}


def test_other_keys_of_the_page_are_fields() -> None:
    fields = set(CredentialSpec.model_fields)
    for key in re.findall(r"`([a-z_]+_(?:env|file|path|cache|unencrypted|s|chain|discovery)):?[ `]", PAGE):
        assert key in fields | {"subscription_key_env"}, key
