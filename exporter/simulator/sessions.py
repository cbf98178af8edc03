"""A Studio's login, played: an XSRF pair and a password for a session in a cookie.

Nothing is kept: the session's id holds when it was given, signed with a key made from the seed. So a
session in use is prolonged by giving a new id, as a Studio behind some gateways does; one that is idle
for eight hours ends.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass
from secrets import compare_digest

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from exporter.simulator.answers import refusal
from exporter.simulator.lives import World

IDLE_SECONDS = 480 * 60
PROLONG_SECONDS = 60
MAX_BODY = 16 * 1024

_COOKIE = "JSESSIONID"


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of one user."""

    world: World
    username: str
    password: str

    async def login(self, request: Request) -> Response:
        """Answers a login; the user's id is all that is told of a user."""
        pair = request.cookies.get("XSRF-TOKEN")
        if not pair or request.headers.get("X-XSRF-TOKEN") != pair:
            raise refusal(403, {"message": "Forbidden"})
        given = await _object(request)
        right = json.dumps([self.username, self.password]).encode()
        if not compare_digest(json.dumps([given.get("username"), given.get("password")]).encode(), right):
            raise refusal(401, {"message": "Unauthorized"})
        response = JSONResponse({"username": self.username})
        self._give(request, response)
        return response

    def check(self, request: Request) -> int:
        """When the session of a request was given.

        Raises:
            Refused: there is none, it is not ours or it has ended.
        """
        session, now = request.cookies.get(_COOKIE, ""), self.world.clock()
        try:
            given_at = int(session[:8], 16)
        except ValueError:
            given_at = 0
        if (
            not compare_digest(session.encode(), self._id(given_at).encode())
            or now >= given_at + IDLE_SECONDS
        ):
            raise refusal(401, {"message": "Unauthorized"})
        return given_at

    def prolong(self, request: Request, response: Response, given_at: int) -> Response:
        """The response, with a new id for a session that was given a while ago."""
        if self.world.clock() >= given_at + PROLONG_SECONDS:
            self._give(request, response)
        return response

    def _give(self, request: Request, response: Response) -> None:
        path = request.scope.get("root_path") or "/"
        response.set_cookie(_COOKIE, self._id(int(self.world.clock())), path=path, httponly=True)

    def _id(self, given_at: int) -> str:
        """32 digits and letters, of which the first eight tell the time."""
        key = f"studio/{self.world.seed}".encode()
        time = f"{given_at:08X}"
        return time + hmac.new(key, time.encode(), hashlib.sha256).hexdigest()[:24].upper()


async def _object(request: Request) -> dict[str, object]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise refusal(413, {"message": "Payload too large"})
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise refusal(400, {"message": "Invalid request body"})
    return given
