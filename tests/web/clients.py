"""Raw clients and small applications, to be imported: ``from tests.web.clients import GET, connect``."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

from starlette.types import Message, Receive, Scope, Send

from exporter.web.server import Limits, Server

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
SOON = 30.0
"""Seconds until a test that hangs is ended; shorter than each deadline that is not to be waited for."""
CALM = Limits(connections=16, handshake_timeout=60, read_timeout=60, keep_alive_timeout=60, write_timeout=60)
"""For tests in which no deadline passes, however slow the machine is."""
FAST = replace(CALM, handshake_timeout=0.5, read_timeout=0.5, write_timeout=0.5)
"""For tests of deadlines."""
Start = Callable[..., Awaitable[Server]]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """A raw connection: says any bytes, reads answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, *, method: str = "GET") -> Answer:
        async with asyncio.timeout(SOON):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
            body = b"" if method == "HEAD" else await self._body(headers)
        return Answer(int(head[0].split()[1]), headers, body)

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await self.reader.readexactly(int(headers.get("content-length", "0")))
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return body

    async def closed(self) -> bytes:
        """What still comes until the server closes."""
        async with asyncio.timeout(SOON):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


@contextlib.asynccontextmanager
async def connect(server: Server, context: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    host, _, port = server.addresses[0].partition("://")[2].rpartition(":")
    name = "localhost" if context else None
    reader, writer = await asyncio.open_connection(
        host.strip("[]"), int(port), ssl=context, server_hostname=name, limit=2**24
    )
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def scrape(server: Server) -> bytes:
    async with connect(server) as client:
        client.say(GET)
        return (await client.answer()).body


async def is_served(server: Server) -> bool:
    """Whether a new connection is answered, and not closed as one too many."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        return await scrape(server) == b"/metrics"
    return False


async def reply(send: Send, body: bytes = b"ok", status: int = 200) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def hello(scope: Scope, _receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    await reply(send, scope["path"].encode())


class Slow:
    """Works until it is let go or the client is gone; tells which."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.gone = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/metrics":
            await reply(send)
            return
        self.begun.set()
        watch = asyncio.create_task(self._watch(receive))
        go = asyncio.create_task(self.go.wait())
        await asyncio.wait((watch, go), return_when=asyncio.FIRST_COMPLETED)
        watch.cancel()
        go.cancel()
        await reply(send, b"done")

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()


class Keep:
    """Remembers what came in."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.messages: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        while (message := await receive()).get("more_body"):
            self.messages.append(message)
        self.messages.append(message)
        await reply(send)

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.messages)


async def happens(event: asyncio.Event) -> None:
    async with asyncio.timeout(SOON):
        await event.wait()
