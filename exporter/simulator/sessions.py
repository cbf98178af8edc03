"""The login of a simulated Studio: an XSRF pair and a password for a session in a cookie.

The session's id contains its start, signed with a key made from the seed. So a session in use is extended
with a new id, as a Studio behind some gateways does. A session that is idle for eight hours ends.

The id of a login is valid for one request. The response to that, of any status, has the id of the session, as
Spring Security does for a login that an application wrote itself.
"""

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from secrets import compare_digest, token_hex

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from exporter.simulator.lives import World
from exporter.simulator.responses import Refused, body_of, refusal

IDLE_SECONDS = 480 * 60
PROLONG_SECONDS = 60

MAX_USED = 1000

_COOKIE = "JSESSIONID"
_LOGIN, _SESSION = "login", "session"


Answer = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of one user."""

    world: World
    username: str
    password: str
    _used: dict[str, None] = field(default_factory=dict, init=False)  # ids of logins

    async def login(self, request: Request) -> Response:
        """A login; the response contains only the user's name."""
        pair = request.cookies.get("XSRF-TOKEN")
        if not pair or request.headers.get("X-XSRF-TOKEN") != pair:
            raise refusal(403, {"message": "Forbidden"})
        sent = await _object(request)
        right = json.dumps([self.username, self.password]).encode()
        if not compare_digest(json.dumps([sent.get("username"), sent.get("password")]).encode(), right):
            raise refusal(401, {"message": "Unauthorized"})
        response = JSONResponse({"username": self.username})
        self._give(request, response, _LOGIN)
        return response

    def required(self, answer: Answer) -> Answer:
        """The same with 401 for a request without a valid session, and with the cookies of the session."""

        async def with_session(request: Request) -> Response:
            started_at, is_first = self._check(request)
            try:
                response = await answer(request)
            except Refused as refused:
                response = refused.response
            if is_first or self.world.clock() >= started_at + PROLONG_SECONDS:
                self._give(request, response, _SESSION)
            return response

        return with_session

    def _check(self, request: Request) -> tuple[int, bool]:
        """The start of the session of a request, and whether it is the first one after a login."""
        session = request.cookies.get(_COOKIE, "")
        try:
            started_at = int(session[:8], 16)
        except ValueError:
            started_at = 0
        is_login, is_session = (
            compare_digest(session.encode(), self._id(kind, session[:16]).encode())
            for kind in (_LOGIN, _SESSION)
        )
        is_first = is_login and session not in self._used
        if not (is_first or is_session) or self.world.clock() >= started_at + IDLE_SECONDS:
            raise refusal(401, {"message": "Unauthorized"})
        if is_first:
            self._used[session] = None
            if len(self._used) > MAX_USED:
                del self._used[next(iter(self._used))]
        return started_at, is_first

    def _give(self, request: Request, response: Response, kind: str) -> None:
        path = request.scope.get("root_path") or "/"
        start = f"{int(self.world.clock()):08X}{token_hex(4).upper()}"
        response.set_cookie(_COOKIE, self._id(kind, start), path=path, httponly=True)

    def _id(self, kind: str, start: str) -> str:
        """32 digits and letters: the time, a random number and a signature."""
        key = f"studio/{self.world.seed}/{kind}".encode()
        return start + hmac.new(key, start.encode(), hashlib.sha256).hexdigest()[:16].upper()


async def _object(request: Request) -> dict[str, object]:
    body = await body_of(request, refusal(413, {"message": "Payload too large"}))
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        sent = None
    if not isinstance(sent, dict):
        raise refusal(400, {"message": "Invalid request body"})
    return sent
