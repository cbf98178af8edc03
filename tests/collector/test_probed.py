"""Jobs that are only probed: what is remembered of them is limited in bytes, and so is the log."""

import asyncio
import logging
from typing import cast

import pytest

from exporter.collector import probed
from exporter.collector.collector import Collector
from exporter.metrics.exposition import Format
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.failure import Failure, Reason
from exporter.model.job import Category, Job, State, Status
from exporter.upstream.reading import Reading
from tests.clock import FakeClock
from tests.collector.test_collector import FakeUpstream, plan

ROOM = 1 << 20
LONG = "x" * 500
WIDE = Status(State.RUNNING, categories={f"c{number}": Category(1, 1, 1) for number in range(50)})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=1000.0)


@pytest.fixture
def upstream(clock: FakeClock) -> FakeUpstream:
    return FakeUpstream(clock)


@pytest.fixture
def collector(clock: FakeClock, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> Collector:
    monkeypatch.setattr(probed, "MAX_PROBED_BYTES", ROOM)
    collector = Collector(Instrumentation("0"), clock=clock)
    collector.replace([plan(upstream)])
    return collector


async def probe(collector: Collector, job: str) -> str:
    result = await collector.probe([("system", "xmc"), ("id", job)], 60)
    return result.render(Format.TEXT).decode()


async def test_what_is_remembered_of_probed_jobs_is_limited_in_bytes(
    collector: Collector, upstream: FakeUpstream
) -> None:
    jobs = [f"{number:03}{LONG}" for number in range(60)]
    upstream.results = dict.fromkeys(jobs, WIDE)
    size = len(await probe(collector, jobs[0]))
    fits = ROOM // size
    assert 5 < fits < 50
    for job in jobs[1:]:
        await probe(collector, job)
    asked = len(upstream.asked)
    # Pacing applies to those that are remembered: they are not read again.
    for job in reversed(jobs[-fits + 1 :]):
        await probe(collector, job)
    assert len(upstream.asked) == asked
    await probe(collector, jobs[0])
    assert len(upstream.asked) == asked + 1


async def test_a_job_is_not_forgotten_while_a_probe_waits_for_it(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()

    class Upstream(FakeUpstream):
        async def read(self, job: Job, previous: Status | None, trace: object = None) -> Reading:
            if job.id == "slow":
                self.was_asked.set()
                await gate.wait()
            return await super().read(job, previous, trace)

    monkeypatch.setattr(probed, "MAX_PROBED", 2)
    collector, upstream = Collector(Instrumentation("0"), clock=clock), Upstream(clock)
    collector.replace([plan(upstream)])
    slow = asyncio.create_task(probe(collector, "slow"))
    await upstream.was_asked.wait()
    for number in range(5):
        await probe(collector, str(number))
    gate.set()
    assert 'remote_job_up{system="xmc",job_id="slow"} 1' in await slow
    assert upstream.asked.count("slow") == 1


async def test_a_status_that_cannot_be_shown_is_logged_once_however_many_jobs_have_it(
    collector: Collector, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = [f"{number}" for number in range(5)]
    upstream.results = dict.fromkeys(jobs, Status(State.RUNNING, progress=cast("float", "half")))
    for job in jobs:
        assert 'reason="internal"' in await probe(collector, job)
    records = [record for record in caplog.records if record.levelno >= logging.INFO]
    assert [record.getMessage() for record in records] == ["failed to show a status"]


async def test_a_job_that_only_a_probe_has_read_has_no_line_in_the_log(
    collector: Collector, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.results = {"refused": Failure(Reason.CONNECT), "deleted": Failure(Reason.NOT_FOUND)}
    for job in ("refused", "deleted", "good"):
        await probe(collector, job)
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []
