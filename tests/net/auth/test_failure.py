"""What is read out of the exceptions of a credential: transient or not, in one line, with a cure where one is known."""

from __future__ import annotations

import json

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import CredentialUnavailableError

from omnia_beam.net.auth.failure import CURES, read_failure


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def with_status(status: int) -> HttpResponseError:
    error = HttpResponseError(message="no")
    error.status_code = status
    return error


WRAPPED = "Authentication failed: "


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ClientAuthenticationError(message=f"{WRAPPED}HTTP Error: 503"), True),
        (ClientAuthenticationError(message=f"{WRAPPED}HTTP Error: 429"), True),
        (ClientAuthenticationError(message=f"{WRAPPED}HTTP Error: 404"), False),
        (ClientAuthenticationError(message=f"{WRAPPED}AADSTS90033: A transient error has occurred."), True),
        (ClientAuthenticationError(message=f"{WRAPPED}AADSTS900331: not that one"), False),
        (ClientAuthenticationError(message=f"{WRAPPED}temporarily_unavailable"), True),
        (ClientAuthenticationError(message=f"{WRAPPED}AADSTS7000215: Invalid client secret provided."), False),
        (ServiceRequestError("connection refused"), True),
        (caused(ClientAuthenticationError(message="x"), ServiceResponseError("connection lost")), True),
        (caused(ClientAuthenticationError(message="x"), ServiceRequestError("CERTIFICATE_VERIFY_FAILED")), False),
        (caused(ClientAuthenticationError(message="x"), json.JSONDecodeError("no", "<html>", 0)), True),
        (caused(ClientAuthenticationError(message="x"), with_status(503)), True),
        (caused(ClientAuthenticationError(message="x"), with_status(403)), False),
        (caused(CredentialUnavailableError(message="no IMDS"), ServiceRequestError("timed out")), False),
        (KeyError("expires_in"), False),
    ],
)
def test_what_may_pass_is_tried_again(error: Exception, transient: bool) -> None:
    assert read_failure(error).transient is transient


def test_the_reason_is_one_line_without_the_wrapping() -> None:
    failure = read_failure(ClientAuthenticationError(message="Authentication failed: AADSTS1: no\r\n\tTrace ID: 7"))
    assert failure.reason == "AADSTS1: no Trace ID: 7"


def test_an_exception_without_words_is_named() -> None:
    assert read_failure(RuntimeError()).reason == "RuntimeError"


def test_a_ring_of_causes_ends() -> None:
    first, second = ValueError("one"), ValueError("two")
    first.__cause__, second.__cause__ = second, first
    assert read_failure(first).reason == "one"


def test_no_cure_hides_another() -> None:
    """Each number has one cure: the first pattern that matches is the only one."""
    numbers = ["7000222", "7000215", "700027", "700016", "90002", "500011", "65001", "50013", "50076", "700082"]
    for number in numbers:
        matching = [pattern for pattern, _ in CURES if pattern.search(f"AADSTS{number}: text")]
        assert len(matching) == 1, number
