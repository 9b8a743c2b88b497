"""The token endpoint's rules: every grant that azure-identity uses, with the checks that Entra ID makes, and its errors.

Error numbers and statuses: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jwt

from tests.support.directory import Application, Directory
from tests.support.token_mint import TokenMint, base64url

Form = dict[str, str]

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Refusal(Exception):
    """An OAuth error answer; `number` is the AADSTS one."""

    def __init__(self, error: str, number: int, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.error, self.number, self.text, self.status = error, number, text, status

    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        trace = "Trace ID: 3f8b6a52-5b1c-4f0e-9f5c-6d1f5d9d0b00 Correlation ID: 8c2f7f0c-0c77-4e3b-8d06-2d0a7a6f3b10"
        text = f"AADSTS{self.number}: {self.text} {trace} Timestamp: 2024-01-01 00:00:00Z"
        return {"error": self.error, "error_description": text, "error_codes": [self.number]}


@dataclass
class DeviceScript:
    """How the person behind a device code behaves: so many `authorization_pending`, then so many `slow_down`, then yes.

    `interval_s` and `expires_in_s` are what the authority tells the client; `decline` ends it with a no.
    """

    pending: int = 1
    slow_downs: int = 0
    interval_s: int = 1
    expires_in_s: int = 900
    decline: bool = False


@dataclass
class _Code:
    form: Form
    issued_at: float
    answers: list[str] = field(default_factory=list)


class Grants:
    """Answers token requests for one directory; keeps the codes and refresh tokens that are out.

    `issued` counts access tokens per flow; `handed_out` lists every token and code, for a test that looks for leaks.
    `require_fresh_sign_in` refuses refresh tokens, as after a password change.
    """

    def __init__(self, directory: Directory, mint: TokenMint, token_url: str, clock: Callable[[], float]) -> None:
        self.directory = directory
        self.mint = mint
        self.device = DeviceScript()
        self.issued: Counter[str] = Counter()
        self.handed_out: list[str] = []
        self.claims_seen: list[str] = []
        self.require_fresh_sign_in = False
        self._token_url = token_url
        self._clock = clock
        self._codes: dict[str, _Code] = {}
        self._device_codes: dict[str, _Code] = {}
        self._refresh_tokens: dict[str, str] = {}  # token -> client id

    def token(self, form: Form) -> dict[str, Any]:
        """The answer to one request of the token endpoint. Raises Refusal."""
        grants = {
            "client_credentials": self._client_credentials,
            "authorization_code": self._authorization_code,
            DEVICE_CODE: self._device_code,
            JWT_BEARER: self._on_behalf_of,
            "refresh_token": self._refresh_token,
        }
        grant = grants.get(form.get("grant_type", ""))
        if grant is None:
            raise Refusal("unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        application = self.directory.applications.get(form.get("client_id", ""))
        if application is None:
            raise Refusal("unauthorized_client", 700016, "Application was not found in the directory.")
        if "claims" in form:
            json.loads(form["claims"])
            self.claims_seen.append(form["claims"])
        return grant(form, application)

    def authorize(self, query: Form) -> Form:
        """The fields that go back to the redirect after a person has signed in. Raises Refusal."""
        application = self.directory.applications.get(query.get("client_id", ""))
        redirect = query.get("redirect_uri", "")
        if application is None or redirect.rsplit(":", 1)[0] not in application.redirect_uris:
            raise Refusal("invalid_request", 50011, "The redirect URI does not match those of the application.")
        if query.get("response_type") != "code" or query.get("code_challenge_method") != "S256":
            raise Refusal("invalid_request", 900144, "The request must ask for a code, with a code challenge.")
        self._check_delegated_scope(query)
        code = self._remember(secrets.token_urlsafe(48))
        self._codes[code] = _Code(query, self._clock())
        return {"code": code, "state": query["state"]}

    def start_device_code(self, form: Form) -> dict[str, Any]:
        """The answer of the device authorization endpoint. Raises Refusal."""
        if form.get("client_id") not in self.directory.applications:
            raise Refusal("unauthorized_client", 700016, "Application was not found in the directory.")
        self._check_delegated_scope(form)
        script, code = self.device, self._remember(secrets.token_urlsafe(48))
        last = ["authorization_declined"] if script.decline else []
        answers = ["authorization_pending"] * script.pending + ["slow_down"] * script.slow_downs + last
        self._device_codes[code] = _Code(form, self._clock(), answers)
        return {
            "device_code": code,
            "user_code": "ABCD1234",
            "verification_uri": "https://microsoft.invalid/devicelogin",
            "expires_in": script.expires_in_s,
            "interval": script.interval_s,
            "message": "To sign in, open the page and enter the code.",
        }

    def _client_credentials(self, form: Form, application: Application) -> dict[str, Any]:
        how = self._check_application(form, application)
        resource, _, name = form.get("scope", "").rpartition("/")
        if name != ".default":
            raise Refusal("invalid_scope", 1002012, "The scope of client credentials must end in /.default.")
        self._check_resource(resource)
        claims = {"appid": application.client_id, "azp": application.client_id, "roles": list(application.roles)}
        return self._answer(f"client_{how}", resource, form, claims | {"idtyp": "app", "sub": application.client_id})

    def _authorization_code(self, form: Form, application: Application) -> dict[str, Any]:
        code = self._codes.pop(form.get("code", ""), None)
        if code is None or code.form["client_id"] != application.client_id:
            raise Refusal("invalid_grant", 54005, "The authorization code was already redeemed or is unknown.")
        if self._clock() > code.issued_at + 600:
            raise Refusal("invalid_grant", 70008, "The authorization code has expired.")
        challenge = base64url(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if challenge != code.form["code_challenge"] or form.get("redirect_uri") != code.form["redirect_uri"]:
            raise Refusal("invalid_grant", 501481, "The code_verifier does not match the code_challenge.")
        return self._answer_user("interactive_browser", form, application, nonce=code.form.get("nonce"))

    def _device_code(self, form: Form, application: Application) -> dict[str, Any]:
        code = self._device_codes.get(form.get("device_code", ""))
        if code is None or code.form["client_id"] != application.client_id:
            raise Refusal("bad_verification_code", 70019, "The verification code is unknown.")
        if self._clock() > code.issued_at + self.device.expires_in_s:
            raise Refusal("expired_token", 70020, "The provided value for the input parameter 'device_code' expired.")
        if code.answers:
            error = code.answers.pop(0)
            if error == "authorization_declined":
                del self._device_codes[form["device_code"]]
            raise Refusal(error, 70016, "The person has not answered yet, or has said no.")
        del self._device_codes[form["device_code"]]
        return self._answer_user("device_code", form | {"scope": code.form["scope"]}, application)

    def _on_behalf_of(self, form: Form, application: Application) -> dict[str, Any]:
        self._check_application(form, application)
        if form.get("requested_token_use") != "on_behalf_of":
            raise Refusal("invalid_request", 900144, "requested_token_use must be on_behalf_of.")
        try:
            self.mint.check(form.get("assertion", ""), audience=application.client_id)
        except jwt.ExpiredSignatureError:
            raise Refusal("invalid_grant", 500133, "Assertion is not within its valid time range.") from None
        except jwt.InvalidTokenError:
            raise Refusal("invalid_grant", 50013, "Assertion failed signature validation.") from None
        return self._answer_user("on_behalf_of", form, application)

    def _refresh_token(self, form: Form, application: Application) -> dict[str, Any]:
        owner = self._refresh_tokens.get(form.get("refresh_token", ""))
        if owner != application.client_id or self.require_fresh_sign_in:
            raise Refusal("invalid_grant", 50173, "The refresh token was revoked: a fresh sign-in is needed.")
        if application.secret or application.certificates:
            self._check_application(form, application)
        return self._answer_user("refresh_token", form, application)

    def _check_application(self, form: Form, application: Application) -> str:
        """How the application proved itself: `secret` or `certificate`."""
        if form.get("client_assertion_type") == CLIENT_ASSERTION:
            self._check_client_assertion(form.get("client_assertion", ""), application)
            return "certificate"
        if not application.secret or form.get("client_secret") != application.secret:
            text = "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value."
            raise Refusal("invalid_client", 7000215, text, status=401)
        return "secret"

    def _check_client_assertion(self, assertion: str, application: Application) -> None:
        try:
            header = jwt.get_unverified_header(assertion)
            certificate = application.certificate_by_thumbprint(header)
            if certificate is None or header["alg"] not in ("RS256", "PS256"):
                raise Refusal(
                    "invalid_client", 700027, "The certificate with the thumbprint is not registered.", status=401
                )
            options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
            key: Any = certificate.public_key()  # RSA, or the algorithm check of PyJWT refuses it
            claims = jwt.decode(assertion, key, [header["alg"]], audience=self._token_url, options=options)
        except jwt.InvalidTokenError:
            raise Refusal(
                "invalid_client", 700027, "Client assertion failed signature validation.", status=401
            ) from None
        if claims["exp"] < self._clock():
            raise Refusal("invalid_client", 700024, "Client assertion is not within its valid time range.", status=401)
        if claims["iss"] != application.client_id or claims["sub"] != application.client_id:
            raise Refusal("invalid_client", 700021, "Client assertion's issuer is not the application.", status=401)

    def _check_resource(self, resource: str) -> None:
        if resource != self.directory.resource_id:
            raise Refusal("invalid_resource", 500011, f"The resource principal named {resource} was not found.")

    def _check_delegated_scope(self, form: Form) -> tuple[str, list[str]]:
        """Resource and names of a person's scopes."""
        scopes = [scope.rpartition("/") for scope in form.get("scope", "").split()]
        resources = {resource for resource, _, _ in scopes if resource}
        names = [name for resource, _, name in scopes if resource]
        if len(resources) != 1 or not set(names) <= {"user_impersonation", ".default"}:
            raise Refusal("invalid_scope", 70011, "The provided value for scope is not valid.")
        self._check_resource(next(iter(resources)))
        return resources.pop(), names

    def _answer_user(self, flow: str, form: Form, application: Application, nonce: str | None = None) -> dict[str, Any]:
        resource, _ = self._check_delegated_scope(form)
        user, tenant_id = self.directory.user, self.directory.tenant_id
        claims = {"appid": application.client_id, "azp": application.client_id, "scp": "user_impersonation"}
        body = self._answer(flow, resource, form, claims | {"oid": user.object_id, "upn": user.name, "sub": "pairwise"})
        refresh_token = self._remember(secrets.token_urlsafe(64))
        self._refresh_tokens[refresh_token] = application.client_id
        person: dict[str, Any] = {
            "oid": user.object_id,
            "preferred_username": user.name,
            "sub": "pairwise",
            "name": "Operator",
        }
        id_token = self.mint.sign(application.client_id, **person, nonce=nonce)
        account = json.dumps({"uid": user.object_id, "utid": tenant_id}).encode()
        return body | {"refresh_token": refresh_token, "id_token": id_token, "client_info": base64url(account)}

    def _answer(self, flow: str, resource: str, form: Form, claims: dict[str, Any]) -> dict[str, Any]:
        self.issued[flow] += 1
        return {
            "token_type": "Bearer",
            "scope": form["scope"],
            "expires_in": self.mint.lifetime_s,
            "ext_expires_in": self.mint.lifetime_s,
            "access_token": self._remember(self.mint.sign(resource, **claims)),
        }

    def _remember(self, value: str) -> str:
        self.handed_out.append(value)
        return value
