"""How soon Chromium shows the page of 5,000 jobs. Prints milliseconds; the aim is less than 1,000.

    python benchmarks/first_paint.py

Each round is a new browser profile. Exporter and browser share the machine; the jobs fail to connect, which
is the longest text that a row can have.
"""

import asyncio
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright

from exporter.metrics.exposition import Format
from exporter.service import Options, Service

JOBS = 5000
ROUNDS = 5
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
CONFIG = """
defaults: {max_jobs: 5000, concurrency: 64}
systems:
  docs:
    provider: caps
    base_url: http://127.0.0.1:1
    jobs:
"""


async def measure(chromium: str, folder: Path) -> list[float]:
    """Milliseconds until the first paint, of each round."""
    file = folder / "config.yaml"
    rows = "".join(
        f"      - {{project_id: p, build_job_id: 'b-{number}', locale: en, name: Docs {number}}}\n"
        for number in range(JOBS)
    )
    file.write_text(CONFIG + rows, encoding="utf-8")
    service = Service(file, Options(listen=("127.0.0.1:0",)))
    await service.start()
    await service.collector.scrape(60, Format.TEXT)
    times = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(ROUNDS):
            page = await (await browser.new_context()).new_page()
            await page.goto(f"{service.addresses[0]}/jobs")
            await page.wait_for_function(PAINT)
            times.append(await page.evaluate(PAINT))
        await browser.close()
    await service.stop()
    return times


def main() -> None:
    chromium = shutil.which("chromium") or sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory() as folder:
        times = asyncio.run(measure(chromium, Path(folder)))
    print(
        f"first paint of {JOBS} jobs: median {statistics.median(times):.0f} ms, longest {max(times):.0f} ms"
    )


if __name__ == "__main__":
    main()
