"""Those who ask the exporter while it is soaked: good, slow and silent ones."""

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import requests

TIMEOUT = 5.0
"""Seconds of one scrape, and from one to the next."""
SLOW, SILENT = 5, 30
"""How many slow readers and silent clients there are at any time."""
PROBES = 20
"""How many probes are sent together."""
PAGES = (
    "/",
    "/jobs",
    "/jobs?state=failed&text=a",
    "/jobs.json",
    "/sd",
    "/metrics?jobs=false",
    "/-/healthy",
    "/-/ready",
)


@dataclass
class Clients:
    """All but the scraper, who go on until they are canceled.

    Attributes:
        wrong: what should not have been, and how often.
        count: what each kind did.
    """

    address: str
    random: Random
    wrong: Counter[str] = field(default_factory=Counter)
    count: Counter[str] = field(default_factory=Counter)

    async def ask(self, path: str, *allowed: int) -> None:
        """A GET that is answered in time with one of the statuses, 200 if none is given."""
        kind = path.partition("?")[0]
        self.count[kind] += 1
        headers = {"X-Prometheus-Scrape-Timeout-Seconds": str(TIMEOUT)}
        try:
            got = await asyncio.to_thread(
                requests.get, self.address + path, headers=headers, timeout=4 * TIMEOUT
            )
        except requests.RequestException as error:
            self.wrong[f"{kind}: {type(error).__name__}"] += 1
        else:
            if got.status_code not in (allowed or (200,)):
                self.wrong[f"{kind}: status {got.status_code}"] += 1

    async def probe(self) -> None:
        """Half of the probes are for jobs that are known, half for others, with long ids."""
        known = [f"/probe?system=own&id=j{self.random.randrange(50)}" for _ in range(PROBES // 2)]
        more = [self.random.randbytes(self.random.randrange(1, 100)).hex() for _ in range(PROBES // 4)]
        others = [f"/probe?system=own&id={each}" for each in more]
        others += [f"/probe?system=docs&project_id=p&locale=x&build_job_id={each}" for each in more]
        await asyncio.gather(*(self.ask(path) for path in known + others))

    async def look_around(self) -> None:
        """Every page; a listing that has not succeeded yet makes ``/sd`` unavailable."""
        for path in PAGES:
            await self.ask(path, 200, *((503,) if path == "/sd" else ()))

    async def read_slowly(self) -> None:
        """Asks for the page and takes half a minute for the beginning of it."""
        with self._connection() as client:
            await self._say(client, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            self.count["slow readers"] += 1
            for _ in range(30):
                await asyncio.get_running_loop().sock_recv(client, 100)
                await asyncio.sleep(1)  # it is slow

    async def be_silent(self) -> None:
        """Connects, sends nothing or the beginning of a request, and waits until it is cut."""
        with self._connection() as client:
            await self._say(
                client, self.random.choice([b"", b"GET /metr", b"POST /-/reload HTTP/1.1\r\nHost: x"])
            )
            self.count["silent clients"] += 1
            await asyncio.get_running_loop().sock_recv(client, 1)
            await asyncio.sleep(1)  # no client that was cut comes back immediately

    def _connection(self) -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(0)
        return client

    async def _say(self, client: socket.socket, text: bytes) -> None:
        host, _, port = self.address.removeprefix("http://").rpartition(":")
        await asyncio.get_running_loop().sock_connect(client, (host, int(port)))
        await asyncio.get_running_loop().sock_sendall(client, text)

    async def go_on(self) -> None:
        """All of them, until canceled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(SLOW):
                group.create_task(_again(self.read_slowly, 0))
            for _ in range(SILENT):
                group.create_task(_again(self.be_silent, 0))
            group.create_task(_again(self.probe, TIMEOUT / 2))
            group.create_task(_again(self.look_around, 2 * TIMEOUT))


async def _again(what: Callable[[], Awaitable[None]], pause: float) -> None:
    while True:
        with suppress(OSError):
            await what()
        await asyncio.sleep(pause)
