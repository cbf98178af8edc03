"""The login of a simulated Studio: an XSRF pair and a password for a session in a cookie.

There is no state: the session's id contains its start, signed with a key made from the seed. So a session
in use is extended with a new id, as a Studio behind some gateways does. A session that is idle for eight
hours ends.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass
from secrets import compare_digest

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from exporter.simulator.lives import World
from exporter.simulator.responses import body_of, refusal

IDLE_SECONDS = 480 * 60
PROLONG_SECONDS = 60

_COOKIE = "JSESSIONID"


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of one user."""

    world: World
    username: str
    password: str

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
        self._give(request, response)
        return response

    def check(self, request: Request) -> int:
        """The start of the session of a request.

        Raises:
            Refused: there is none, it is not valid or it has ended.
        """
        session, now = request.cookies.get(_COOKIE, ""), self.world.clock()
        try:
            started_at = int(session[:8], 16)
        except ValueError:
            started_at = 0
        if (
            not compare_digest(session.encode(), self._id(started_at).encode())
            or now >= started_at + IDLE_SECONDS
        ):
            raise refusal(401, {"message": "Unauthorized"})
        return started_at

    def prolong(self, request: Request, response: Response, started_at: int) -> Response:
        """The response, with a new id for a session that started some time ago."""
        if self.world.clock() >= started_at + PROLONG_SECONDS:
            self._give(request, response)
        return response

    def _give(self, request: Request, response: Response) -> None:
        path = request.scope.get("root_path") or "/"
        response.set_cookie(_COOKIE, self._id(int(self.world.clock())), path=path, httponly=True)

    def _id(self, started_at: int) -> str:
        """32 digits and letters, of which the first eight are the time."""
        key = f"studio/{self.world.seed}".encode()
        time = f"{started_at:08X}"
        return time + hmac.new(key, time.encode(), hashlib.sha256).hexdigest()[:24].upper()


async def _object(request: Request) -> dict[str, object]:
    body = await body_of(request, refusal(413, {"message": "Payload too large"}))
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        sent = None
    if not isinstance(sent, dict):
        raise refusal(400, {"message": "Invalid request body"})
    return sent
