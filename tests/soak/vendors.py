"""The vendors of a soak: the simulator behind a proxy that misbehaves, and a JSON API of its own."""

import asyncio
import json
import re
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from tests.hostile.sending import changed, chunked, closed, endless, instead, packed, reset, then_silent
from tests.hostile.upstreams import Fault
from tests.soak.configs import OWN, ROTATED
from tests.transport.servers import answer, read_request

SPELL = 6.0
"""Seconds for which the fault of a system stays the same."""
SHARE = 0.3
"""How many requests meet the fault of their system."""
SIGN_IN = re.compile(rb"POST \S*(token|login)")
LISTED = 10
"""Discovered jobs that every listing of the JSON API has."""


async def slow(_: asyncio.StreamReader, writer: asyncio.StreamWriter, response: bytes) -> bool:
    await asyncio.sleep(1)  # a slow vendor is what it plays
    writer.write(response)
    return True


async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter, response: bytes) -> bool:
    for start in range(0, len(response), 50):
        writer.write(response[start : start + 50])
        await writer.drain()
        await asyncio.sleep(0.1)
    return True


FAULTS: dict[str, Fault] = {
    "slow": slow,
    "trickle": trickle,
    "silent": then_silent(b""),
    "half an answer": changed(lambda response: response[: len(response) // 2]),
    "closed": closed,
    "closed after": changed(lambda response: response),
    "reset": reset,
    "huge": endless(chunked(), b"10000\r\n" + bytes(0x10000) + b"\r\n"),
    "gzip bomb": changed(lambda _: packed("gzip")),
    "401": instead(answer(status="401 Unauthorized"), close=False),
    "429": instead(answer(status="429 Too Many Requests", Retry_After="1"), close=False),
    "500": instead(answer(b"oops", status="500 Internal Server Error"), close=False),
    "503": instead(answer(status="503 Service Unavailable", Retry_After="1"), close=False),
    "redirect": instead(answer(status="302 Found", Location="http://127.0.0.1:1/elsewhere"), close=False),
    "page": instead(answer(b"<html>please sign in", Content_Type="text/html"), close=False),
    "nonsense": instead(answer(b'[{"status": [1e999, {"id": null}]}, NaN]'), close=False),
    "large": instead(answer(json.dumps([{"id": "x" * 100}] * 8000).encode()), close=False),
}
MILD = ("slow", "closed", "closed after", "500")
"""The faults of requests for a token: whatever fails there makes the exporter wait for longer and longer."""


@dataclass
class Vendors:
    """Answers for all systems; the first part of a path names the system.

    Args:
        simulator: its host and port.

    Attributes:
        calm: no faults.
        rotation: the secrets that are valid, with those before them.
        faults: how often each fault was sent.
    """

    simulator: tuple[str, int]
    random: Random
    calm: bool = True
    rotation: int = 0
    requests: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    _spells: dict[bytes, tuple[float, str]] = field(default_factory=dict)
    _next: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the requests of one connection."""
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            while True:
                request = await read_request(reader)
                self.requests += 1
                fault = self._fault(request)
                response = await self._respond(request)
                if fault:
                    self.faults[fault] += 1
                    if not await FAULTS[fault](reader, writer, response):
                        return
                else:
                    writer.write(response)
                await writer.drain()

    def _fault(self, request: bytes) -> str | None:
        if self.calm:
            return None
        if SIGN_IN.match(request):
            return self.random.choice(MILD) if self.random.random() < SHARE / 3 else None
        system = request.split(b"/", 2)[1]
        until, fault = self._spells.get(system, (0.0, ""))
        if time.monotonic() > until:
            # Every fault has its turn, whatever the seed.
            self._next = self._next or self.random.sample(list(FAULTS), len(FAULTS))
            fault = self._next.pop()
            self._spells[system] = (time.monotonic() + SPELL, fault)
        return fault if self.random.random() < SHARE else None

    async def _respond(self, request: bytes) -> bytes:
        for secret in ROTATED.finditer(request):
            if self.rotation - int(secret[2]) not in (0, 1):
                self.wrong["a secret of long ago was sent"] += 1
                return answer(status="401 Unauthorized")
        if request.startswith(b"GET /own/"):
            return self._own(request)
        head, _, body = ROTATED.sub(rb"\1", request).partition(b"\r\n\r\n")
        head = re.sub(rb"(?i)\r\ncontent-length: \d+", b"\r\nContent-Length: %d" % len(body), head)
        reader, writer = await asyncio.open_connection(*self.simulator)
        try:
            writer.write(head + b"\r\nConnection: close\r\n\r\n" + body)
            response = await reader.read()
        finally:
            writer.close()
        return re.sub(rb"(?i)\r\nconnection: close", b"", response, count=1)

    def _own(self, request: bytes) -> bytes:
        if OWN.encode() not in request:
            return answer(status="401 Unauthorized")
        now = time.time()
        path = request.split(b" ", 2)[1].decode()
        if path == "/own/list":
            passing = int(now / 20)
            names = [f"d{number}" for number in range(LISTED)]
            names += [f"e{number}" for number in range(passing, passing + 5)]
            return answer(json.dumps({"jobs": [{"id": name} for name in names]}).encode())
        match = re.fullmatch(r"/own/jobs/([dej])(\d+)", path)
        if not match:
            return answer(status="404 Not Found")
        share = (now / 60 + int(match[2]) / 7) % 1
        status = "WAIT" if share < 0.2 else "BUSY" if share < 0.8 else "OK"
        job = {"status": status, "percent": int(share * 100), "total": int(match[2])}
        return answer(json.dumps(job).encode(), ETag=f'"{status}-{int(share * 100)}"')
