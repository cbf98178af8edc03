"""In each state, both color schemes, wide and narrow: the pages fit, and axe finds nothing against them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.browser.conftest import AXE_OF_LOOKS, AXE_OF_STRUCTURE, Open, Tab
from tests.browser.test_pages import REFRESH
from tests.vendor import Exporter, Told, exporter, vendor
from tests.web.test_job_pages import by_number, config, many, shown

BACK = "getComputedStyle(document.body).backgroundColor"

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def look(tab: Tab, address: str) -> list[str]:
    """What is wrong with a page: light and wide, then dark and as narrow as a small phone."""
    await tab.page.emulate_media(color_scheme="light")
    await tab.page.set_viewport_size({"width": 1280, "height": 900})
    await tab.page.goto(address)
    found = await tab.violations()
    back = await tab.page.evaluate(BACK)
    await tab.page.emulate_media(color_scheme="dark")
    await tab.page.set_viewport_size({"width": 360, "height": 740})
    found += await tab.violations(AXE_OF_LOOKS)
    if (width := await tab.page.evaluate("document.documentElement.scrollWidth")) > 360:
        found.append(f"needs {width} pixels")
    if (backs := (back, await tab.page.evaluate(BACK))) != ("rgb(255, 255, 255)", "rgb(15, 19, 24)"):
        found.append(f"has the colors {backs}")
    return found + tab.noise


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Exporter]:
    folder = tmp_path_factory.mktemp("exporter")
    async with vendor(by_number) as docs, exporter(config(docs.url), folder) as started:
        await started.scrape()
        yield started


@pytest.mark.parametrize(
    "path", ["/", "/jobs", "/jobs?text=x", "/jobs/docs/p/1/en", "/jobs/docs/p/2/en", "/jobs/docs/p/3/en"]
)
async def test_a_page_fits_and_has_no_violation(path: str, running: Exporter, open_tab: Open) -> None:
    tab = await open_tab("about:blank")
    assert await look(tab, running.url + path) == []


async def test_the_first_page_of_5000_jobs_has_no_violation(running: Exporter, open_tab: Open) -> None:
    tab = await open_tab("about:blank")
    page = shown(*many())
    await tab.page.route("**/jobs", lambda route: route.fulfill(body=page, content_type="text/html"))
    await tab.page.goto(f"{running.url}/jobs")
    # Its colors are those of the page of few jobs.
    assert await tab.violations(AXE_OF_STRUCTURE) == []


async def test_a_page_whose_exporter_has_gone_has_no_violation(running: Exporter, open_tab: Open) -> None:
    tab = await open_tab(f"{running.url}/jobs")
    await tab.page.route("**/jobs", lambda route: route.abort())
    await tab.page.evaluate(REFRESH)
    await tab.page.wait_for_selector("#gone:not([hidden])")
    assert await tab.violations() == []


async def test_pages_without_jobs_or_before_the_first_scrape_have_no_violation(
    open_tab: Open, tmp_path: Path
) -> None:
    nothing = """
  none:
    provider: json
    base_url: {url}
    read: {{path: '/{{id}}', state: s}}
    discover: {{path: /list, items: '@', keys: {{id: id}}}}
"""
    async with (
        vendor(lambda _: Told([])) as empty,
        exporter(f"systems:{nothing.format(url=empty.url)}", tmp_path) as running,
    ):
        tab = await open_tab("about:blank")
        for path in ("/", "/jobs"):
            assert await look(tab, running.url + path) == [], "not read yet"
        await running.scrape()
        for path in ("/", "/jobs"):
            assert await look(tab, running.url + path) == [], "no job"
