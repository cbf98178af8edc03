"""The simulated token endpoints: OAuth 2.0 client credentials (RFC 6749 sections 2.3.1 and 4.4).

There is no state: a token is a JWT signed with a key made from the seed. The API checks its signature,
issuer and expiry. The lifetime of tokens does not depend on ``speed``.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from secrets import compare_digest
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from exporter.simulator.lives import World
from exporter.simulator.responses import Refused, body_of, refusal

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class TokenClient:
    """A client that can request tokens, and the scopes that it gets."""

    secret: str
    scopes: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """Makes and checks tokens of one issuer.

    Args:
        world: see `World`.
        issuer: its name, which is the prefix of its paths.
        clients: by client id.
        lifetime: seconds.
        required: form fields that must have exactly this value (scope or audience).
        errors: HTTP status and ``error`` for a wrong client, grant type and required field.
    """

    world: World
    issuer: str
    clients: Mapping[str, TokenClient]
    lifetime: int
    required: Mapping[str, str]
    errors: Mapping[str, tuple[int, str]]

    def routes(self, path: str) -> list[BaseRoute]:
        """The token endpoint."""
        return [Route(path, self.issue, methods=["POST"])]

    async def issue(self, request: Request) -> Response:
        """The response to a token request."""
        form = await _form(request)
        basic = _basic(request.headers.get("Authorization", ""))
        client_id, secret = basic or (form.get("client_id", ""), form.get("client_secret", ""))
        client = self.clients.get(client_id)
        if form.get("grant_type") != "client_credentials":
            raise self._error("grant_type", "Only client_credentials is offered here.")
        if client is None or not compare_digest(client.secret.encode(), secret.encode()):
            raise self._error("client", "Client authentication failed.", basic=basic is not None)
        for field, value in self.required.items():
            if form.get(field) != value:
                raise self._error(field, f"{field} is missing or not offered to this client.")
        now = int(self.world.clock())
        claims = {"iss": self.issuer, "sub": client_id, "scope": client.scopes, "iat": now}
        body = {
            "access_token": self.sign({**claims, "exp": now + self.lifetime}),
            "expires_in": self.lifetime,
            "token_type": "Bearer",
            "scope": client.scopes,
        }
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    def claims(self, token: str) -> Mapping[str, Any] | None:
        """The claims of a token; ``None`` if it is from elsewhere, was changed or has expired."""
        content, _, signature = token.rpartition(".")
        if not compare_digest(signature.encode(), self._signature(content).encode()):
            return None
        claims: dict[str, Any] = json.loads(_decode(content.partition(".")[2]))
        return claims if claims["exp"] > self.world.clock() else None

    def _error(self, what: str, description: str, *, basic: bool = False) -> Refused:
        status, error = self.errors[what]
        headers = {"WWW-Authenticate": "Basic"} if basic else None
        return refusal(401 if basic else status, {"error": error, "error_description": description}, headers)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A token with these claims; `claims` needs `exp` among them."""
        header = {"alg": "HS256", "typ": "JWT"}
        content = ".".join(_encode(json.dumps(part).encode()) for part in (header, claims))
        return f"{content}.{self._signature(content)}"

    def _signature(self, content: str) -> str:
        key = f"{self.issuer}/{self.world.seed}".encode()
        return _encode(hmac.new(key, content.encode(), hashlib.sha256).digest())


def oauth2(token_url: str, client_id: str, client_secret: str, **more: str) -> dict[str, str]:
    """The part ``auth:`` of a system in a configuration."""
    auth = {"type": "oauth2", "token_url": token_url, "client_id": client_id, "client_secret": client_secret}
    return {**auth, **more}


async def _form(request: Request) -> dict[str, str]:
    if request.headers.get("Content-Type", "").partition(";")[0].strip() != FORM:
        raise refusal(400, {"error": "invalid_request", "error_description": f"The body must be {FORM}."})
    too_large = {"error": "invalid_request", "error_description": "The body is too large."}
    body = await body_of(request, refusal(413, too_large))
    try:
        fields = parse_qs(body.decode("latin-1"), max_num_fields=50)
    except ValueError:
        raise refusal(400, {"error": "invalid_request", "error_description": "Too many fields."}) from None
    return {name: values[0] for name, values in fields.items() if len(values) == 1}


def _basic(authorization: str) -> tuple[str, str] | None:
    """Client id and secret, which are form-encoded before they are put into the header."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return unquote_plus(client_id), unquote_plus(secret)


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def bearer(request: Request) -> str | None:
    """The token of a request; ``None`` without the header."""
    value = request.headers.get("Authorization")
    if value is None:
        return None
    scheme, _, token = value.partition(" ")
    return token if scheme.lower() == "bearer" else ""
