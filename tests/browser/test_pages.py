"""The pages as a person sees them in Chromium."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Route

from exporter import __version__
from tests.browser.conftest import Open
from tests.vendor import Asked, Told, caps, caps_config, exporter, vendor
from tests.web.test_job_pages import HOSTILE, by_number, config

# Playwright starts a process of its own and the browser.
pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

# The page refreshes when it becomes visible, which is sooner than the timer.
REFRESH = "document.dispatchEvent(new Event('visibilitychange'))"
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
LONG = f"{HOSTILE}{'x' * 100}"
PREFIXED = "http://127.0.0.1:1/a/prefix"


async def test_jobs_are_found_by_a_click_and_the_back_button_returns(open_tab: Open, tmp_path: Path) -> None:
    async with vendor(by_number) as docs, exporter(config(docs.url), tmp_path) as running:
        await running.scrape()
        tab = await open_tab(f"{running.url}/")
        await tab.page.click("text=See all jobs")
        assert await tab.states() == ["failed", "unreadable", "running", "succeeded"]
        await tab.page.click(".counts .running")
        assert await tab.states() == ["running"]
        assert tab.page.url.endswith("/jobs?state=running")
        await tab.page.go_back()
        assert len(await tab.states()) == 4
        await tab.page.fill("[name=text]", "p/1")
        await tab.page.keyboard.press("Enter")
        await tab.page.wait_for_url("**/jobs?text=p%2F1*")
        assert await tab.states() == ["failed"]
        await tab.page.click(".jobs tbody a")
        assert await tab.page.inner_text("h1") == "p/1/en"
        await tab.page.click("text=All jobs")
        assert len(await tab.states()) == 4
        assert tab.noise == []


async def test_a_refresh_keeps_place_focus_selection_and_what_is_typed(
    open_tab: Open, tmp_path: Path
) -> None:
    failed: list[str] = []

    def answer(asked: Asked) -> Told:
        return Told(caps("Failed" if asked.path.split("/")[-2] in failed else "Running"))

    async with (
        vendor(answer) as docs,
        exporter("systems:\n" + caps_config(docs.url, 60, more="min_interval: 0s"), tmp_path) as running,
    ):
        await running.scrape()
        tab = await open_tab(f"{running.url}/jobs", viewport=WIDE)
        page = tab.page
        await page.evaluate(
            """() => {
                window.row = document.querySelectorAll(".jobs tbody tr")[30];
                row.querySelector("a").focus();
                scrollTo(0, row.offsetTop);
                window.place = row.getBoundingClientRect().top;
                getSelection().selectAllChildren(row.querySelector(".system"));
                document.querySelector("[name=text]").value = "typed";
            }"""
        )
        name = await page.evaluate("row.dataset.key.split('/')[2]")
        # Another job moves to the top, then this one.
        for failing in (["45"], ["45", name]):
            failed[:] = failing
            await running.scrape()
            await page.evaluate(REFRESH)
            await page.locator(".jobs .now .failed").nth(len(failing) - 1).wait_for()
            assert await page.evaluate(
                """() => [row.isConnected, document.activeElement === row.querySelector("a"),
                    String(getSelection()), document.querySelector("[name=text]").value]"""
            ) == [True, True, "docs", "typed"]
            moved = await page.evaluate("row.getBoundingClientRect().top - place")
            assert abs(moved) < 1 or name in failing
        assert await page.title() == "Jobs (2 failed) \N{EN DASH} remote-job-exporter"
        assert tab.noise == []


async def test_a_refresh_leaves_alone_what_the_reader_has_opened_and_what_is_the_same(
    open_tab: Open, tmp_path: Path
) -> None:
    async with vendor(by_number) as docs, exporter(config(docs.url), tmp_path) as running:
        await running.get("/metrics", **{"X-Prometheus-Scrape-Timeout-Seconds": "10"})
        tab = await open_tab(f"{running.url}/")
        await tab.page.click("summary")
        await tab.page.evaluate(
            """() => {
                const everything = {subtree: true, childList: true, characterData: true, attributes: true};
                window.changes = new Promise((done) => new MutationObserver(
                    (found) => done(found.map((each) => each.target.textContent))
                ).observe(document.body, everything));
            }"""
        )
        await tab.page.evaluate(REFRESH)
        changes = await tab.page.evaluate("changes")
        assert await tab.page.evaluate("document.querySelector('details').open")
        # Only how long ago the scrape was.
        assert {re.sub(r"\d+", "n", text) for text in changes} == {"n s ago"}


async def test_the_page_says_when_the_exporter_is_gone_and_when_it_is_back(
    open_tab: Open, tmp_path: Path
) -> None:
    async with vendor(by_number) as docs, exporter(config(docs.url), tmp_path) as running:
        tab = await open_tab(f"{running.url}/jobs")
        await tab.page.route("**/jobs", lambda route: route.abort())
        await tab.page.evaluate(REFRESH)
        await tab.page.wait_for_selector("text=The exporter has not responded since")
        await tab.page.unroute("**/jobs")
        await tab.page.evaluate(REFRESH)
        await tab.page.wait_for_selector("#gone", state="hidden")


async def test_names_are_text_that_fits_and_nothing_of_them_runs(open_tab: Open, tmp_path: Path) -> None:
    text = f"""
systems:
  own:
    provider: json
    base_url: URL
    read: {{path: /job, query: {{id: '{{id}}'}}, state: s, step: s, states: {{running: ['{LONG}']}}}}
    jobs: [{{id: '{LONG}', name: '{LONG}', labels: {{squad: '{LONG}'}}}}]
"""
    async with (
        vendor(lambda _: Told({"s": LONG})) as own,
        exporter(text.replace("URL", own.url), tmp_path) as running,
    ):
        await running.scrape()
        tab = await open_tab(f"{running.url}/jobs", viewport=PHONE)
        assert await tab.page.inner_text(".jobs tbody a") == LONG
        assert await tab.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        await tab.page.click(".jobs tbody a")
        assert await tab.page.inner_text("h1") == LONG
        assert await tab.page.title() == f"{LONG}: running \N{EN DASH} remote-job-exporter"
        assert await tab.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert tab.noise == []


async def test_without_script_all_but_the_refresh_works(open_tab: Open, tmp_path: Path) -> None:
    async with vendor(by_number) as docs, exporter(config(docs.url), tmp_path) as running:
        tab = await open_tab(f"{running.url}/jobs", java_script_enabled=False)
        await tab.page.click("text=Read all jobs once")
        assert await tab.states() == ["failed", "unreadable", "running", "succeeded"]
        await tab.page.select_option("[name=state]", "running")
        await tab.page.click("button:has-text('Filter')")
        assert await tab.states() == ["running"]
        assert tab.noise == []


async def test_every_control_is_reached_by_the_keyboard_and_shows_its_focus(
    open_tab: Open, tmp_path: Path
) -> None:
    async with vendor(by_number) as docs, exporter(config(docs.url), tmp_path) as running:
        await running.scrape()
        tab = await open_tab(f"{running.url}/jobs")
        seen: list[str] = []
        while True:
            await tab.page.keyboard.press("Tab")
            tag, name, outline = await tab.page.evaluate(
                """() => {
                    const now = document.activeElement;
                    return [now.tagName, now.textContent || now.name, getComputedStyle(now).outlineStyle];
                }"""
            )
            if tag == "BODY" or len(seen) > 99:  # beyond the last one
                break
            assert outline != "none", name
            seen.append(name)
        assert {"Skip to the content", "text", "label", "Filter", "p/1/en"} <= set(seen)


async def test_all_of_it_works_under_a_prefix_of_a_proxy(open_tab: Open, tmp_path: Path) -> None:
    async with vendor(by_number) as docs, exporter(config(docs.url), tmp_path) as running:

        async def pass_on(route: Route) -> None:
            rest = route.request.url.removeprefix(PREFIXED)
            await route.fulfill(response=await route.fetch(url=running.url + rest, max_redirects=0))

        tab = await open_tab("about:blank")
        await tab.page.route(f"{PREFIXED}/**", pass_on)
        await tab.page.goto(f"{PREFIXED}/jobs")
        await running.scrape()
        await tab.page.reload()
        await tab.page.click(".counts .unreadable")
        await tab.page.click(".jobs tbody a")
        assert tab.page.url == f"{PREFIXED}/jobs/docs/p/3/en"
        assert (await tab.page.inner_text(".state >> nth=0")).split() == ["⚠", "unreadable"]
        await tab.page.click("text=squad=docs")
        assert tab.page.url == f"{PREFIXED}/jobs?label=squad%3Ddocs"
        await tab.page.click("header .home")
        assert await tab.page.inner_text("h1") == f"remote-job-exporter {__version__}"
        assert await tab.page.evaluate("document.styleSheets[0].cssRules.length") > 10
        assert tab.noise == []
        await tab.page.unroute_all(behavior="wait")  # the browser may still load the icon


async def test_times_are_in_the_zone_of_the_reader(open_tab: Open, tmp_path: Path) -> None:
    started = "2026-01-02T03:04:05Z"
    async with (
        vendor(lambda _: Told(caps("Running", started_at=started))) as docs,
        exporter(config(docs.url, 1), tmp_path) as running,
    ):
        await running.scrape()
        tab = await open_tab(f"{running.url}/jobs/docs/p/0/en", timezone_id="Asia/Tokyo", locale="en-GB")
        assert "GMT+9" in await tab.page.inner_text("time.at >> nth=0")
