"""Explain why no token was obtained: whether to try again, the reason in azure-identity's words without secrets, and the cure.

azure-identity wraps all errors in `ClientAuthenticationError` and drops the HTTP status on the way. The reading therefore
uses the chain of causes, msal's "HTTP Error: 503", and the AADSTS numbers, which Microsoft documents as the stable part of the
text (https://learn.microsoft.com/entra/identity-platform/reference-error-codes).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError

from omnia_beam.core.redaction import redact


@dataclass(frozen=True)
class CredentialFailure:
    """The explanation of a failed request for a token.

    `reason` is one line without secrets. `cure` is what to do; it may be empty. `transient` means that the same request may
    succeed later.
    """

    reason: str
    cure: str
    transient: bool


_TOO_DEEP: Final = re.compile(
    r"(?:maximum recursion depth exceeded|Stack overflow[^:]*?) while decoding a JSON \w+ from a unicode string"
)
"""What Python says of an answer such as `[[[[…`, which no token service gives."""

_TRANSIENT: Final = re.compile(
    r"HTTP Error: (?:408|429|5\d\d)"  # msal's words for the status of a token endpoint
    r"|\btemporarily_unavailable\b|\bserver_error\b"  # OAuth error codes
    # Entra ID: external server, time-out, tenant throttled, transient error
    r"|AADSTS(?:90006|90012|90055|90033)\b"
)
_TRANSIENT_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})

CURES: Final = tuple(
    (re.compile(pattern), cure)
    for pattern, cure in (
        (
            r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError",
            "The sign-in host's TLS certificate is not trusted: a private CA or an inspecting proxy? Set credential.ca_bundle, or "
            "REQUESTS_CA_BUNDLE, to a PEM file with the CA's certificate.",
        ),
        (r"ProxyError|Tunnel connection failed", "The proxy refuses: check HTTPS_PROXY and NO_PROXY."),
        (
            r"AADSTS7000222\b",
            "The application's secret has expired: make a new one in its registration, and put it where "
            "credential.client_secret_env or credential.client_secret_file says.",
        ),
        (
            r"AADSTS7000215\b",
            "The application's secret is wrong: compare what credential.client_secret_env or credential.client_secret_file names "
            "with the registration (the secret's value, not its id).",
        ),
        (
            r"AADSTS7000(?:27|24|23|21)\b|AADSTS700030\b",
            "The certificate is not the one that the application registered, has expired, or this machine's clock is wrong.",
        ),
        (r"AADSTS700016\b", "The directory knows no such application: check the client id and the tenant id."),
        (
            r"AADSTS90002\b|AADSTS900023\b|Unable to get authority configuration",
            "Check the tenant id, and credential.authority.",
        ),
        (r"AADSTS(?:500011|650057)\b", "The directory knows no such API: check resource_id (or the environment)."),
        (
            r"AADSTS(?:65001|90094)\b",
            "No consent has been given yet: an administrator of the directory has to grant the permission.",
        ),
        (
            r"AADSTS(?:50013|500133)\b",
            "The user's token is refused or has expired: fetch a new one for our own application.",
        ),
        (
            r"AADSTS(?:50076|50079|53000|53003|530004)\b",
            "The directory asks this user for more (a second factor, a managed device): sign in with interactive_browser.",
        ),
        (r"AADSTS(?:70043|700082|50173)\b", "The saved sign-in has expired or was revoked: sign in again."),
        (r"Failed to open a browser", "No browser can be opened here: use credential kind device_code."),
        (
            r"Timed out (?:after )?waiting",
            "The sign-in was not completed in time: credential.prompt_timeout_s sets how long that may take.",
        ),
        (
            r"Cache encryption is impossible",
            "Set credential.token_cache_unencrypted: true to keep the sign-in in a plain file.",
        ),
        (
            r"DefaultAzureCredential failed to retrieve",
            "None of what credential kind default tries is set up here: set one of them up, or name one by credential.kind.",
        ),
        (
            r"IMDS|App Service managed identity|managed identity endpoint",
            "A managed identity exists only on a machine or service of Azure that has one assigned; a user-assigned one is chosen "
            "by credential.client_id.",
        ),
    )
)


def read_failure(error: BaseException) -> CredentialFailure:
    """Return the explanation of an exception that `get_token` of a credential raised, azure-identity's or any other."""
    chain = list(_chain(error))
    text = " ".join(redact(str(error)).split()).removeprefix("Authentication failed: ")
    text = _TOO_DEEP.sub("the response is JSON that is nested too deeply to be read", text)
    whole = " ".join([type(error).__name__, *map(str, chain)])
    untrusted = "CERTIFICATE_VERIFY_FAILED" in whole
    return CredentialFailure(
        reason=text or type(error).__name__,
        cure=next((cure for pattern, cure in CURES if pattern.search(whole)), ""),
        transient=not untrusted and _is_transient(chain, whole),
    )


def _is_transient(chain: list[BaseException], whole: str) -> bool:
    from azure.identity import CredentialUnavailableError  # slow to import, and rarely needed

    if isinstance(chain[0], CredentialUnavailableError):
        return False  # the identity does not exist here; azure-identity has already retried for as long as Microsoft prescribes
    if any(isinstance(error, HttpResponseError) and error.status_code in _TRANSIENT_STATUSES for error in chain):
        return True
    # There was no connection, or the response was not JSON, such as a gateway's page.
    if any(isinstance(error, ServiceRequestError | ServiceResponseError | json.JSONDecodeError) for error in chain):
        return True
    return _TRANSIENT.search(whole) is not None or _TOO_DEEP.search(whole) is not None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the exception and its causes, the outermost first, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
