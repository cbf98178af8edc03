"""The simulated systems of all providers on one port, which break some of their responses."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message

from exporter.simulator import create_app, huawei
from exporter.simulator.app import VENDORS
from tests.sockets import accepting
from tests.transport.servers import answer, read_request

Fault = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[bool]]
"""Sends what becomes of a response; whether the connection can be used again."""

NOON = 1_772_366_400.0  # 2026-03-01T12:00:00Z
TOKEN = "hush-own-token"
SECRETS = (TOKEN, "demo-caps-token", "demo-huawei-password", "demo-crafter-password", "demo-twin-secret")
SYSTEMS = ("docs", "builds", "site-classic", "twins", "xmc")
"""One simulated system of each provider; that of ``json`` is ours."""
OWN: dict[str, Any] = {
    "provider": "json",
    "read": {
        "path": "/jobs/{id}",
        "state": "status",
        "states": {"running": ["BUSY"]},
        "progress": "percent",
        "items": "items.all",
        "started_at": "started",
        "type": "kind",
    },
    "discover": {"path": "/list", "items": "jobs", "keys": {"id": "id"}, "interval": "1s"},
    "jobs": [{"id": "first"}, {"id": "second"}],
}
OWN_JOB = {
    "status": "BUSY",
    "percent": 0.5,
    "items": {"all": 7},
    "started": "2026-03-01T11:00:00Z",
    "kind": "a",
}


@dataclass
class Upstreams:
    """Answers every request as the system would, and those that `hits` chooses through `fault`."""

    url: str = ""
    fault: Fault | None = None
    hits: Callable[[bytes], bool] = lambda _: False
    hit: int = 0
    app: ASGIApp = field(default_factory=lambda: create_app(seed=7, clock=lambda: NOON))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                request = await read_request(reader)
                response = await self._respond(request)
                if self.fault and self.hits(request):
                    self.hit += 1
                    if not await self.fault(reader, writer, response):
                        return
                else:
                    writer.write(response)
                await writer.drain()

    async def _respond(self, request: bytes) -> bytes:
        path = request.split(b" ", 2)[1].decode()
        if not path.startswith("/own/"):
            return await through(self.app, request)
        match path:
            case "/own/login":
                return answer(json.dumps({"token": "issued-by-own"}).encode())
            case "/own/list":
                return answer(json.dumps({"jobs": [{"id": "first"}, {"id": "found"}]}).encode())
        return answer(json.dumps(OWN_JOB).encode())

    def systems(self) -> dict[str, Any]:
        """One system of each provider with two jobs, the first of which is the victim."""
        simulated = [vendor.systems(self.url).items() for vendor in VENDORS]
        systems = {name: system for found in simulated for name, system in found if name in SYSTEMS}
        systems["xmc"]["summary"] = False
        systems["builds"]["auth"] = {
            "type": "huawei_token",
            "token_url": f"{self.url}/iam/v3/auth/tokens",
            "username": huawei.USER.name,
            "password": huawei.USER.password,
            "domain": huawei.DOMAIN,
            "project": huawei.REGION,
        }
        login = {"type": "login", "url": "/login", "body": {"password": TOKEN}, "token": "token"}
        login |= {"send": {"Authorization": "Bearer {token}"}, "lifetime": "1h"}
        systems["own"] = {**OWN, "base_url": f"{self.url}/own", "auth": login}
        for system in systems.values():
            system["jobs"] = system["jobs"][:2]
        return systems


async def through(app: ASGIApp, request: bytes) -> bytes:
    """The response of an ASGI application to one request, without a server."""
    head, _, body = request.partition(b"\r\n\r\n")
    method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
    path, _, query = target.partition("?")
    pairs = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
    scope = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower(), value) for name, _, value in pairs],
    }
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, send)
    start, *parts = messages
    content = b"".join(part.get("body", b"") for part in parts)
    lines = [b"%b: %b" % pair for pair in start["headers"] if pair[0] != b"content-length"]
    lines = [b"HTTP/1.1 %d Some" % start["status"], *lines, b"Content-Length: %d" % len(content)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + content


@asynccontextmanager
async def upstreams() -> AsyncIterator[Upstreams]:
    """All of them on a free port."""
    playing = Upstreams()
    async with accepting(playing.serve) as port:
        playing.url = f"http://127.0.0.1:{port}"
        yield playing
