"""Requests on kept connections that the system drops, seen on the page of a whole exporter."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.clock import FakeClock
from tests.transport import servers
from tests.transport.servers import Server, answer, answering_once, listening
from tests.vendor import Exporter, Samples, caps, caps_config, exporter, read_samples

JOBS = 8
"""So many connections are kept; libcurl tries fewer of them before it gives up."""
PROBE = "/probe?system=docs&project_id=p&build_job_id=other&locale=en"
POSTED = """
systems:
  docs:
    provider: json
    base_url: {url}
    read: {{method: POST, path: /jobs, body: {{id: '{{id}}'}}, state: job_status}}
    states: {{running: [Running]}}
    jobs: [{jobs}]
"""
RUNNING = answer(json.dumps(caps("Running")).encode())


@asynccontextmanager
async def dropping(
    folder: Path,
    end: Callable[[asyncio.StreamWriter], None] = servers.closed,
    *,
    connections: int = JOBS + 1,
    clock: FakeClock | None = None,
    posts: bool = False,
) -> AsyncIterator[tuple[Exporter, Server]]:
    """An exporter that has read 8 jobs over as many connections, each of which ends at its next request."""
    script = answering_once(end, at_a_time=JOBS, connections=connections, response=RUNNING)
    async with listening(script) as server:
        text = "systems:\n" + caps_config(server.url("").rstrip("/"), JOBS)
        if posts:
            jobs = ", ".join(f"{{id: '{number}'}}" for number in range(JOBS))
            text = POSTED.format(url=server.url("").rstrip("/"), jobs=jobs)
        async with exporter(text, folder, clock=clock or FakeClock(now=1000.0)) as running:
            await running.scrape()
            assert server.accepts == JOBS
            yield running, server


async def probe(running: Exporter, path: str = PROBE) -> Samples:
    return read_samples((await running.get(path)).text)


async def retries(running: Exporter) -> float | None:
    return (await running.own()).get_one("remote_job_exporter_request_retries_total", system="docs")


@pytest.mark.parametrize(("posts", "path"), [(False, PROBE), (True, "/probe?system=docs&id=other")])
async def test_a_request_on_a_dropped_connection_is_sent_a_second_time(
    path: str, tmp_path: Path, *, posts: bool
) -> None:
    async with dropping(tmp_path, posts=posts) as (running, server):
        assert await retries(running) == 0
        samples = await probe(running, path)
        assert samples.get_one("remote_job_up") == 1, samples
        assert await retries(running) == 1
        assert server.accepts == JOBS + 1
        failures = (await running.own()).all("remote_job_exporter_request_failures_total", system="docs")
        assert not any(value for _, value in failures)


async def test_it_is_not_sent_a_third_time(tmp_path: Path) -> None:
    async with dropping(tmp_path, connections=JOBS) as (running, server):
        assert (await probe(running)).reason("p/other/en") == "connect"
        assert await retries(running) == 1
        assert server.accepts == JOBS + 1


async def test_it_is_not_sent_again_after_the_timeout_of_the_system(tmp_path: Path) -> None:
    clock = FakeClock(now=1000.0)
    async with dropping(tmp_path, lambda _: clock.turn(60), clock=clock) as (running, server):
        assert (await probe(running)).reason("p/other/en") == "connect"
        assert await retries(running) == 0
        assert server.accepts == JOBS
