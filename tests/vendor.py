"""A small HTTP server that plays a vendor as a test tells it, and a whole exporter to scrape."""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families

from exporter.auth import CREDENTIALS
from exporter.config import BUILT_IN, Registry
from exporter.model.clock import SYSTEM_CLOCK, Clock
from exporter.model.shard import Shard
from exporter.providers import PROVIDERS
from exporter.providers.base import Provider
from exporter.service import Options, Service
from tests.sockets import accepting
from tests.waiting import seen

WHOLE = Shard()


@dataclass(frozen=True)
class Asked:
    """One request as the vendor saw it; over TLS with the serial number of the client's certificate."""

    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    certificate: str = ""
    method: str = "GET"


@dataclass(frozen=True)
class Told:
    """What the vendor answers; ``after`` is awaited first."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    after: Callable[[], Awaitable[object]] | None = None

    def render(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        lines = [f"HTTP/1.1 {self.status} Some", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Vendor:
    """Answers with ``answer(asked)``, keeps connections, remembers what was asked."""

    def __init__(self, answer: Callable[[Asked], Told]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.at_once = 0
        self.most_at_once = 0
        self.url = ""

    def count(self) -> Counter[str]:
        """How often each path was asked."""
        return Counter(asked.path for asked in self.asked)

    async def has_been_asked(self, times: int) -> None:
        """Waits until at least so many requests have come."""
        await seen(lambda: len(self.asked) >= times, f"{times} requests")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        certificate = (writer.get_extra_info("peercert") or {}).get("serialNumber", "")
        try:
            while (asked := await _request(reader, certificate)) is not None:
                self.asked.append(asked)
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                try:
                    told = self.answer(asked)
                    if told.after is not None:
                        await told.after()
                finally:
                    self.at_once -= 1
                writer.write(told.render())
                await writer.drain()
        except ConnectionError:
            pass


async def _request(reader: asyncio.StreamReader, certificate: str) -> Asked | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:]) if name}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, path, _ = head[0].split(" ")
    return Asked(path, headers, body, certificate, method)


@asynccontextmanager
async def vendor(answer: Callable[[Asked], Told], tls: ssl.SSLContext | None = None) -> AsyncIterator[Vendor]:
    """A vendor on a free port of 127.0.0.1."""
    playing = Vendor(answer)
    async with accepting(playing.serve, tls) as port:
        playing.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        yield playing


class Samples(dict[tuple[str, frozenset[tuple[str, str]]], float]):
    """The samples of one scrape; found by name and some of their labels."""

    def get_one(self, name: str, **labels: str) -> float | None:
        """The value of the one series that fits, or ``None`` if there is none."""
        found = self.all(name, **labels)
        assert len(found) <= 1, f"{name} {labels} fits {len(found)} series"
        return found[0][1] if found else None

    def all(self, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of every series that fits."""
        wanted = set(labels.items())
        return [(dict(own), value) for (one, own), value in self.items() if one == name and wanted <= own]

    def state(self, job_id: str) -> str | None:
        """The job's state, if it shows one."""
        states = [
            labels["remote_job_state"]
            for labels, value in self.all("remote_job_state", job_id=job_id)
            if value
        ]
        assert len(states) <= 1
        return states[0] if states else None

    def reason(self, job_id: str) -> str | None:
        """Why the job could not be read, if it could not."""
        found = self.all("remote_job_read_error_info", job_id=job_id)
        assert len(found) <= 1
        return found[0][0]["reason"] if found else None


def read_samples(text: str) -> Samples:
    """The samples of a page in text format."""
    return Samples(
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )


class Exporter:
    """A running exporter on a free port."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.url = service.addresses[0]

    async def get(self, path: str, **headers: str) -> requests.Response:
        """A plain GET from outside."""
        return await asyncio.to_thread(requests.get, self.url + path, headers=headers, timeout=60)

    async def scrape(self, timeout: float = 50.0) -> Samples:  # noqa: ASYNC109  the scraper's own
        """Scrapes as Prometheus would that waits so many seconds."""
        answer = await self.get("/metrics", **{"X-Prometheus-Scrape-Timeout-Seconds": str(timeout)})
        assert answer.status_code == 200
        return read_samples(answer.text)

    async def own(self) -> Samples:
        """What the exporter shows of itself; no job is read."""
        return read_samples((await self.get("/metrics?jobs=false")).text)

    async def answered(self, requests: int) -> None:
        """Waits until the exporter has read this many answers, those too late for their scrape included."""

        async def look() -> bool:
            counts = (await self.own()).all("remote_job_exporter_requests_total")
            return sum(value for _, value in counts) >= requests

        await seen(look, f"{requests} answers read")

    @asynccontextmanager
    async def asking(self, path: str) -> AsyncIterator[Callable[[], Awaitable[str]]]:
        """A GET that the exporter has begun to work on; the block may await its body.

        The client hangs up at the end of the block, and the exporter has noticed when this returns.
        Both are known because the exporter has answered a whole request that was sent later.
        """
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))

        async def body() -> str:
            return (await reader.read()).decode().partition("\r\n\r\n")[2]

        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            await self.own()
            yield body
            with suppress(OSError):
                writer.write_eof()
                await reader.read()
            await self.own()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def exporter(
    text: str,
    folder: Path,
    *,
    offset: float = 0.1,
    shard: Shard = WHOLE,
    replicas: int = 1,
    clock: Clock = SYSTEM_CLOCK,
    grace: float = 1,
    registry: Registry = BUILT_IN,
) -> AsyncIterator[Exporter]:
    """An exporter of the config ``text`` that is ready ``offset`` seconds before the scraper gives up.

    At its end, scrapes under way have ``grace`` seconds to finish.
    """
    file = folder / "config.yaml"
    file.write_text(text)
    options = Options(
        listen=("127.0.0.1:0",),
        timeout_offset=offset,
        shutdown_timeout=grace,
        shard=shard,
        replicas=replicas,
        registry=registry,
    )
    service = Service(file, options, clock=clock)
    await service.start()
    try:
        yield Exporter(service)
    finally:
        await service.stop()


def with_provider(provider: type[Provider]) -> Registry:
    """The built-in registry with this provider, in place of the one of its name if there is one."""
    return Registry({**PROVIDERS, provider.name: provider}, CREDENTIALS)


def caps(status: str = "Succeeded", **fields: Any) -> dict[str, Any]:
    """An answer of CAPS."""
    return {"job_status": status, "job_progress": 1, "total_count": 10, "failed_count": 0, **fields}


def caps_config(url: str, jobs: int = 1, *, more: str = "", name: str = "docs") -> str:
    """A config of one CAPS system whose jobs are p/0/en, p/1/en …; ``more`` are keys of the system."""
    lines = [f"  {name}:", "    provider: caps", f"    base_url: {url}"]
    lines += [f"    {line}" for line in more.splitlines()]
    lines += [
        "    jobs:",
        *(f"      - {{project_id: p, build_job_id: '{n}', locale: en}}" for n in range(jobs)),
    ]
    return "\n".join(lines) + "\n"
