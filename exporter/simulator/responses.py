"""What the simulated systems have in common in requests and responses: parameters, bodies, ids, times."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

MAX_BODY = 16 * 1024
_IDS = UUID("6f1c6d4e-0b7a-4b0e-9a55-3f0d6e3f2b11")
_TICKS_BEFORE_1970 = 621_355_968_000_000_000  # 100 ns each, since 0001-01-01, as .NET counts


class Refused(Exception):
    """Ends a request with this response of the vendor."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def refusal(status: int, body: object, headers: Mapping[str, str] | None = None) -> Refused:
    """A refusal with a JSON body, to be raised."""
    return Refused(JSONResponse(body, status, headers))


async def refused(_request: Request, error: Exception) -> Response:
    """Starlette's handler of `Refused`."""
    if not isinstance(error, Refused):
        raise error
    return error.response


class CutOff(Response):
    """Announces a body, sends its first bytes and closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends less than announced, so the server closes the connection."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"4096")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"', "more_body": True})


def gateway(status: int, title: str, headers: Mapping[str, str] | None = None) -> Response:
    """The HTML page of a gateway in front of a system."""
    head = f"<head><title>{status} {title}</title></head>"
    page = f"<html>\r\n{head}\r\n<body><h1>{title}</h1></body>\r\n</html>\r\n"
    return Response(page, status, headers, media_type="text/html")


def number(request: Request, name: str, default: int, allowed: range = range(10**9)) -> int | None:
    """A whole number among the parameters of a request; ``None`` if it is not one of the allowed ones."""
    value = request.query_params.get(name, str(default))
    return int(value) if re.fullmatch("[0-9]{1,9}", value, re.ASCII) and int(value) in allowed else None


async def body_of(request: Request, too_large: Refused) -> bytes:
    """The body of a request, which is a small one.

    Raises:
        Refused: ``too_large``.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise too_large
    return body


def reached_at(request: Request, base_url: str | None) -> str:
    """The address of the simulator: the configured one, or that of the request."""
    return base_url or f"{request.url.scheme}://{request.url.netloc}"


def guid(*words: object) -> str:
    """An id that is the same in every run of the simulator."""
    return str(uuid5(_IDS, "/".join(map(str, words))))


def hex_id(*words: object) -> str:
    """The same as 32 digits and letters."""
    return guid(*words).replace("-", "")


def ticks(seconds: float) -> int:
    """Unix seconds as .NET ticks."""
    return _TICKS_BEFORE_1970 + round(seconds * 1e7)


def precise(seconds: float | None, zone: str = "+00:00") -> str | None:
    """A time with seven fraction digits, as .NET services write it."""
    if seconds is None:
        return None
    whole, fraction = divmod(round(seconds * 1e7), 10_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:07}{zone}"


def to_second(seconds: float | None) -> str | None:
    """A time in whole seconds, with Z."""
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def without_none(**fields: Any) -> dict[str, Any]:
    """An object without the fields that are not known yet."""
    return {name: value for name, value in fields.items() if value is not None}
