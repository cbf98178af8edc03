"""How a server breaks a response: ways to send one, and what to make of it."""

import asyncio
import json
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

from tests.hostile.upstreams import Fault
from tests.transport.servers import answer

OK = b"HTTP/1.1 200 OK\r\n"
MIB = 1 << 20

# How a response is sent.


def instead(sent: bytes, *, close: bool = True) -> Fault:
    """Sends this, and closes the connection unless it ends where the response does."""

    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> bool:
        writer.write(sent)
        await writer.drain()
        return not close

    return send


def changed(change: Callable[[bytes], bytes], *, close: bool = True) -> Fault:
    """Sends what the function makes of the response."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, response: bytes) -> bool:
        return await instead(change(response), close=close)(reader, writer, response)

    return send


def then_silent(sent: bytes) -> Fault:
    """Sends this and waits until the client has gone."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: bytes) -> bool:
        writer.write(sent)
        await reader.read()
        return False

    return send


def endless(start: bytes, part: bytes, pause: float = 0) -> Fault:
    """Sends `part` until the client has gone, where it is slow with a pause."""

    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> bool:
        writer.write(start)
        while True:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)

    return send


async def closed(*_: object) -> bool:
    return False


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> bool:
    writer.transport.abort()
    return False


# What a response becomes.


def body_of(response: bytes) -> bytes:
    return response.partition(b"\r\n\r\n")[2]


def with_body(change: Callable[[bytes], bytes], **headers: str) -> Fault:
    """The same response with another body, and so another length."""
    return changed(lambda response: answer(change(body_of(response)), **headers), close=False)


def with_value(value: Any) -> Fault:
    """The same JSON with another value in place of each, however deep."""

    def each(content: Any) -> Any:
        if isinstance(content, dict):
            return {key: each(part) for key, part in content.items()}
        return [each(part) for part in content] if isinstance(content, list) else value

    return with_body(lambda body: json.dumps(each(json.loads(body or b"null"))).encode())


def top(value: Any) -> Fault:
    """The same outermost object with another value for each of its keys."""

    def change(body: bytes) -> bytes:
        content = json.loads(body or b"null")
        return json.dumps(dict.fromkeys(content, value) if isinstance(content, dict) else []).encode()

    return with_body(change)


def duplicated(body: bytes) -> bytes:
    """Each key of the outermost object again, first with null."""
    if not body.startswith(b"{"):
        return body
    keys = b",".join(b"%b: null" % json.dumps(key).encode() for key in json.loads(body))
    return b"{" + keys + b"," + body[1:]


def chunked(*chunks: bytes) -> bytes:
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks)


@cache
def packed(encoding: str) -> bytes:
    """A response of 64 MiB of zeros, packed."""
    pack = zlib.compressobj(1, wbits=31 if encoding == "gzip" else 15)
    parts = [*(pack.compress(bytes(MIB)) for _ in range(64)), pack.flush()]
    return answer(b"".join(parts), Content_Encoding=encoding)


def zstd_bomb() -> bytes:
    """A frame of 64 MiB of zeros in blocks of one repeated byte each (RFC 8878 section 3.1.1.2)."""
    block = (MIB // 8 << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\x00\x58" + block * 512 + b"\x01\x00\x00"


BROTLI_BOMB = bytes.fromhex(
    "cfffff7f002400e2b14072effff9ffff0f8004401c1680eefd3fffffff01900088c302d0bdffe7ffff3f001200715800baf7ff03"
)
"""64 MiB of zeros."""
