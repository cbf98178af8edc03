"""The two kinds of simulated credentials of Huawei Cloud: tokens of IAM and signed requests.

Sources: KeystoneCreateUserTokenByPassword, "API Request Signing Guide", the gateway's error codes.
Guesses: the response of IAM for a project that does not exist, and of the gateway for a token without a
project (both are known to be refused).
"""

import hashlib
import hmac
import json
import re
from calendar import timegm
from dataclasses import dataclass
from secrets import compare_digest
from time import strptime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from exporter.simulator.lives import World
from exporter.simulator.responses import Refused, body_of, hex_id, precise, refusal
from exporter.simulator.tokens import Tokens

REGION = "ap-southeast-3"
DOMAIN = "demo-account"
TOKEN_SECONDS = 86400
SKEW_SECONDS = 15 * 60

_ALGORITHM = "SDK-HMAC-SHA256"
_PROOF = re.compile(
    rf"{_ALGORITHM} Access=(?P<access>[^,\s]+), SignedHeaders=(?P<names>[^,\s]+), "
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_DATE = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class User:
    """An IAM user, with keys of its own."""

    name: str
    password: str
    access_key: str
    secret_key: str
    security_token: str | None = None
    may_read: bool = True


USER = User("demo-exporter", "demo-huawei-password", "DEMOACCESSKEY0000001", "demo-huawei-secret-key")
TEMPORARY = User(
    "demo-temporary",
    "demo-temporary-password",
    "DEMOACCESSKEY0000002",
    "demo-temporary-secret-key",
    security_token="demo-security-token",
)
WITHOUT_RIGHTS = User(
    "demo-without-rights",
    "demo-other-password",
    "DEMOACCESSKEY0000003",
    "demo-other-secret-key",
    may_read=False,
)
USERS = (USER, TEMPORARY, WITHOUT_RIGHTS)


@dataclass(frozen=True, slots=True)
class Iam:
    """The token endpoint, and the gateway's check of each request to a service."""

    world: World
    tokens: Tokens

    def routes(self) -> list[BaseRoute]:
        """The token endpoint."""
        return [Route("/v3/auth/tokens", self.issue, methods=["POST"])]

    async def issue(self, request: Request) -> Response:
        """The response 201 with the token in a header."""
        sent = await _json(request)
        user = _identify(sent)
        project = _get(sent, "auth", "scope", "project", "name")
        if project not in (None, REGION):
            raise _iam_refusal(401, "Unauthorized", "The project does not exist.")
        now = int(self.world.clock())
        ends = now + TOKEN_SECONDS
        claims = {"iss": "iam", "sub": user.name, "project": project, "iat": now, "exp": ends}
        token: dict[str, Any] = {
            "expires_at": precise(ends, "Z"),
            "issued_at": precise(now, "Z"),
            "methods": ["password"],
            "catalog": [],
            "roles": [{"id": "0", "name": "codearts_build_user"}],
            "user": {"id": hex_id("iam", user.name), "name": user.name, "domain": {"name": DOMAIN}},
        }
        if project is not None:
            token["project"] = {"id": hex_id("iam", project), "name": project, "domain": {"name": DOMAIN}}
        headers = {"X-Subject-Token": self.tokens.sign(claims), "Cache-Control": "no-store"}
        return JSONResponse({"token": token}, 201, headers)

    async def admit(self, request: Request) -> None:
        """Checks that a request has a token or a signature of a user with rights.

        Raises:
            Refused: it has not.
        """
        if request.headers.get("Authorization", "").startswith(_ALGORITHM):
            may_read = (await self._signer(request)).may_read
        else:
            may_read = self._may_read(request.headers.get("X-Auth-Token"))
        if not may_read:
            raise gateway_refusal(403, "APIGW.0302", "No permissions to access the API")

    def _may_read(self, token: str | None) -> bool:
        claims = self.tokens.claims(token) if token else None
        if claims is None:
            raise _unknown("decrypt token fail" if token else "token is missing")
        user = next(user for user in USERS if user.name == claims["sub"])
        return user.may_read and claims["project"] == REGION

    async def _signer(self, request: Request) -> User:
        """The user who signed a request; headers, time and signature are correct."""
        proof = _PROOF.fullmatch(request.headers["Authorization"])
        date = request.headers.get("X-Sdk-Date", "")
        names = proof["names"].split(";") if proof else []
        if proof is None or not _DATE.fullmatch(date) or not {"host", "x-sdk-date"} <= set(names):
            raise _unknown("verify aksk signature fail")
        user = next((user for user in USERS if user.access_key == proof["access"]), None)
        if user is None:
            raise _unknown(f"Get secretKey failed,ak:{proof['access']},err:ak not exist")
        if abs(_seconds(date) - self.world.clock()) > SKEW_SECONDS:
            raise _unknown("calc ak sk signature fail:signature expired")
        canonical = _canonical(request, names, await _body(request))
        hashed = hashlib.sha256(canonical).hexdigest()
        content = f"{_ALGORITHM}\n{date}\n{hashed}".encode()
        right = hmac.digest(user.secret_key.encode(), content, "sha256").hex()
        same_token = request.headers.get("X-Security-Token") == user.security_token
        if not same_token or not compare_digest(right, proof["signature"]):
            raise _unknown("verify aksk signature fail")
        return user


def iam(world: World) -> Iam:
    """The IAM of one simulator."""
    return Iam(world, Tokens(world, "iam", {}, TOKEN_SECONDS, {}, {}))


def gateway_refusal(status: int, code: str, text: str) -> Refused:
    """A refusal of the gateway, before the request reaches a service."""
    body = {"error_msg": text, "error_code": code, "request_id": hex_id("request", code, text)}
    return refusal(status, body)


def _unknown(what: str) -> Refused:
    return gateway_refusal(401, "APIGW.0301", f"Incorrect IAM authentication information: {what}")


def _iam_refusal(status: int, title: str, message: str) -> Refused:
    return refusal(status, {"error": {"code": status, "message": message, "title": title}})


async def _body(request: Request) -> bytes:
    return await body_of(request, _iam_refusal(413, "Request Entity Too Large", "The body is too large."))


async def _json(request: Request) -> object:
    if request.headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
        raise _iam_refusal(415, "Unsupported Media Type", "The body must be application/json.")
    try:
        sent: object = json.loads(await _body(request))
    except (ValueError, RecursionError):
        raise _iam_refusal(400, "Bad Request", "The body is not JSON.") from None
    return sent


def _identify(sent: object) -> User:
    named = _get(sent, "auth", "identity", "password", "user")
    if _get(sent, "auth", "identity", "methods") != ["password"] or not isinstance(named, dict):
        raise _iam_refusal(400, "Bad Request", "auth.identity must name a user and the method password.")
    shown = (named.get("name"), named.get("password"), _get(named, "domain", "name"))
    for user in USERS:
        if shown == (user.name, user.password, DOMAIN):
            return user
    raise _iam_refusal(401, "Unauthorized", "The username or password is wrong.")


def _get(value: object, *names: str) -> object:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _seconds(date: str) -> float:
    try:
        return timegm(strptime(date, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise _unknown("verify aksk signature fail") from None


def _canonical(request: Request, names: list[str], body: bytes) -> bytes:
    """The signed text, from the bytes of the request."""
    raw_path: bytes = request.scope["raw_path"]
    path = "/".join(quote(part, safe="~") for part in unquote_to_bytes(raw_path).split(b"/"))
    path += "" if path.endswith("/") else "/"
    lines = [request.method, path, _query(request.scope["query_string"])]
    for name in names:
        if name not in request.headers:
            raise _unknown("verify aksk signature fail")
        lines.append(f"{name}:{request.headers[name].strip()}")
    lines += ["", ";".join(names), hashlib.sha256(body).hexdigest()]
    return "\n".join(lines).encode()


def _query(raw: bytes) -> str:
    pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    return urlencode(sorted(pairs), quote_via=quote, safe="~", encoding="latin-1")
