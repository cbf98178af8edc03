"""The demo after its first screen."""

import asyncio
from typing import Any

import pytest

from exporter.cli import demo


async def test_without_a_prometheus_the_demo_reads_the_jobs_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo, "READ_INTERVAL_SECONDS", 0.001)
    reads = asyncio.Semaphore(0)

    class Service:
        collector: Any

        async def collect(self, seconds: float) -> None:
            assert seconds == 0.001
            reads.release()

    service: Any = Service()
    service.collector = service
    reading = asyncio.create_task(demo._keep_reading(service))  # noqa: SLF001
    for _ in range(3):
        await asyncio.wait_for(reads.acquire(), 60)
    reading.cancel()
