"""Small servers on real sockets, polite and hostile, for whoever sends requests."""

import asyncio
import socket
import ssl
import struct
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.sockets import accepting
from tests.waiting import never, seen

Script = Callable[["Server", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """What a listening server knows of its clients; `requests` are raw heads with their bodies."""

    port: int = 0
    accepts: int = 0
    open: int = 0
    requests: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)

    async def has_accepted(self, times: int) -> None:
        """Waits until so many clients have connected."""
        await seen(lambda: self.accepts >= times, f"{times} connections")

    async def has_been_asked(self, times: int) -> None:
        """Waits until so many requests have come whole."""
        await seen(lambda: len(self.requests) >= times, f"{times} requests")

    def url(self, path: str = "/", scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def listening(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A server that plays ``script`` to everybody who connects."""
    server = Server()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.accepts += 1
        server.open += 1
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await script(server, reader, writer)
                await writer.drain()
        finally:
            server.open -= 1

    if tls:
        tls.sni_callback = lambda _, name, __: server.names.append(name)
    async with accepting(serve, tls) as server.port:
        yield server


def answer(body: bytes = b"{}", status: str = "200 OK", **headers: str) -> bytes:
    """A whole HTTP/1.1 answer; header names are given with underscores."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines])
    return head.encode() + b"\r\n\r\n" + body


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One request, head and body; raises ``IncompleteReadError`` when there is none."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head + await reader.readexactly(length)


def answering(
    *answers: bytes | Callable[[bytes], bytes], after: Callable[[], Awaitable[object]] | None = None
) -> Script:
    """Keeps connections; sends the answers in turn, the last one for ever; ``after`` is awaited first."""
    left = list(answers)

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            server.requests.append(request)
            response = left.pop(0) if len(left) > 1 else left[0]
            if after is not None:
                await after()
            writer.write(response if isinstance(response, bytes) else response(request))

    return script


def answering_once(
    end: Callable[[asyncio.StreamWriter], None],
    *,
    at_a_time: int = 1,
    connections: int = 1000,
    response: bytes = answer(),
) -> Script:
    """Answers the first request of each connection, and at the second one calls ``end`` and closes.

    Args:
        at_a_time: the first answers wait until so many connections have a request.
        connections: so many connections are answered; later ones are closed at their first request.
    """
    opened = asyncio.Event()

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.requests.append(await read_request(reader))
        if len(server.requests) >= at_a_time:
            opened.set()
        await opened.wait()
        if server.accepts <= connections:
            writer.write(response)
            server.requests.append(await read_request(reader))
            end(writer)

    return script


def closed(_: asyncio.StreamWriter) -> None:
    """Nothing more is sent."""


def reset(writer: asyncio.StreamWriter) -> None:
    """The client gets a RST instead of a FIN."""
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def saying(*parts: bytes, pause: float = 0, close: bool = True) -> Script:
    """Reads a request, sends the parts and closes, or stays silent for ever.

    Args:
        pause: seconds after each part, where the subject is a slow server.
    """

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.requests.append(await read_request(reader))
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        if not close:
            await never()

    return script


def without_end(start: bytes, part: bytes) -> Script:
    """Sends ``part`` again and again."""

    async def script(_: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(start)
        while True:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)  # no pause: other tasks run

    return script


DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame of HTTP/2."""
    return len(payload).to_bytes(3) + struct.pack(">BBI", kind, flags, stream) + payload


def http_2(respond: Callable[[int, int, bytes], bytes | None]) -> Script:
    """HTTP/2 by hand (RFC 9113, RFC 7541), over TLS with ALPN ``h2``.

    Args:
        respond: the frames for a request, from its number on the connection, its stream and its encoded
            fields; ``None`` closes the connection.
    """

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
        # No table of headers (SETTINGS_HEADER_TABLE_SIZE): each request after the first is readable alone.
        writer.write(frame(SETTINGS, 0, 0, struct.pack(">HI", 1, 0)))
        number = 0
        while True:
            head = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(head[:3]))
            kind, flags, stream = struct.unpack(">BBI", head[3:])
            if kind == SETTINGS and not flags:
                writer.write(frame(SETTINGS, 1, 0))
            elif kind == HEADERS:
                number += 1
                server.requests.append(payload)
                frames = respond(number, stream, payload)
                if frames is None:
                    return
                writer.write(frames)

    return script


async def mute(*_: object) -> None:
    """Accepts and says nothing."""
    await never()


async def greeting(_: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers in plain HTTP whatever comes first."""
    await reader.read(1)
    writer.write(answer(status="400 Bad Request"))


async def closing(_: Server, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Reads the request and closes without a word."""
    await read_request(reader)


async def resetting(_: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Begins an answer and resets the connection."""
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
    await writer.drain()
    reset(writer)


def bomb(megabytes: int = 200) -> bytes:
    """An answer of some hundred kilobytes that unpacks to many megabytes."""
    pack = zlib.compressobj(9, wbits=31)
    packed = b"".join([*(pack.compress(bytes(1 << 20)) for _ in range(megabytes)), pack.flush()])
    return answer(packed, Content_Type="application/json", Content_Encoding="gzip")


@asynccontextmanager
async def proxy(
    script_of_tunnel: Callable[[bytes], bytes] | None = None, *, user: str = ""
) -> AsyncIterator[Server]:
    """A forward proxy: tunnels for CONNECT, and passes other requests on.

    Args:
        user: ``NAME:PASSWORD`` that every request must prove by Basic authentication.
    """
    proof = b"proxy-authorization: basic " + b64encode(user.encode())

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        server.requests.append(request)
        method, target, _ = request.split(b" ", 2)
        if script_of_tunnel:
            writer.write(script_of_tunnel(request))
            return
        if user and proof.lower() not in request.lower():
            demand = "Basic realm=proxy"
            writer.write(answer(status="407 Proxy Authentication Required", Proxy_Authenticate=demand))
            return
        place = target if method == b"CONNECT" else target.split(b"/")[2]
        host, _, port = place.decode().rpartition(":")
        there_in, there_out = await asyncio.open_connection(host, int(port))
        if method == b"CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\nX-Proxy: yes\r\n\r\n")
        else:
            there_out.write(request)
        try:
            await asyncio.gather(_pump(reader, there_out), _pump(there_in, writer))
        finally:
            there_out.close()

    async with listening(script) as server:
        yield server


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
