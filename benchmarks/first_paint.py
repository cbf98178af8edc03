"""How soon Chromium shows the page of 5,000 jobs, and how large it is: two rows of a table, with their goals.

    python benchmarks/first_paint.py

Each round is a new browser profile. Exporter and browser share the machine. The jobs fail to connect.
"""

import asyncio
import shutil
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from playwright.async_api import async_playwright

from exporter.metrics.exposition import Format
from exporter.service import Options, Service

JOBS = 5000
# The browser reports it when it has happened, also if that is later.
PAINT = """new Promise((done) => new PerformanceObserver((list) =>
    list.getEntriesByName("first-contentful-paint").forEach((entry) => done(entry.startTime))
).observe({type: "paint", buffered: true}))"""
CONFIG = """
defaults: {max_jobs: 5000, concurrency: 64}
systems:
  docs:
    provider: caps
    base_url: http://127.0.0.1:1
    jobs:
"""


class Result(NamedTuple):
    """What a new browser profile has seen.

    Args:
        seconds: until the first paint.
        page: bytes of the page, unpacked.
    """

    seconds: float
    page: int


async def measure(chromium: str, rounds: int = 5) -> list[Result]:
    """Opens the page as often as that.

    Args:
        chromium: path of the program.
    """
    jobs = "".join(
        f"      - {{project_id: p, build_job_id: 'b-{number}', locale: en, name: Docs {number}}}\n"
        for number in range(JOBS)
    )
    with TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(CONFIG + jobs, encoding="utf-8")
        service = Service(file, Options(listen=("127.0.0.1:0",)))
        await service.start()
        try:
            await service.collector.scrape(60, Format.TEXT)
            return await _opened(chromium, f"{service.addresses[0]}/jobs", rounds)
        finally:
            await service.stop()


async def _opened(chromium: str, address: str, rounds: int) -> list[Result]:
    results = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(rounds):
            page = await (await browser.new_context()).new_page()
            response = await page.goto(address)
            body = await response.body() if response is not None else b""
            results.append(Result(await page.evaluate(PAINT) / 1000, len(body)))
        await browser.close()
    return results


def main() -> None:
    """Prints how long it takes and how large the page is."""
    chromium = shutil.which("chromium") or sys.exit("chromium is not installed")
    results = asyncio.run(measure(chromium))
    times, kilobytes = [result.seconds for result in results], results[0].page / 1000
    print(
        f"| first paint of /jobs with {JOBS} jobs | median {statistics.median(times):.2f} s, "
        f"longest {max(times):.2f} s | 1 s |\n| its size | {kilobytes:.0f} kB | 100 kB |"
    )


if __name__ == "__main__":
    main()
