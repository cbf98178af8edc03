"""Looks at a built site as files, on a phone: ``python -m tests.browser.site FOLDER WORD``.

Each page must fit the screen, be without errors and request nothing from elsewhere, and the search must find
the word.
"""

import asyncio
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from playwright.async_api import Browser, Request, TimeoutError, async_playwright  # noqa: A004  Playwright's


async def problems(
    browser: Browser, home: str, pages: Iterable[str], word: str, *, patience: float = 10.0
) -> list[str]:
    """What is wrong with a site, a line each.

    Args:
        home: address of its folder.
        pages: the paths to look at, from there.
        word: what the search has to find.
        patience: seconds to wait for that.
    """
    found: list[str] = []
    page = await browser.new_page(viewport={"width": 390, "height": 800})

    def note(problem: str) -> None:
        found.append(f"{page.url.removeprefix(f'{home}/')}: {problem}")

    def look(request: Request) -> None:
        if not request.url.startswith((f"{home}/", "data:")):
            note(f"requests {request.url}")

    def lost(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # by the next page
            note(f"cannot load {request.url}")

    page.on("console", lambda message: note(message.text))
    page.on("pageerror", lambda error: note(str(error)))
    page.on("request", look)
    page.on("requestfailed", lost)
    for path in pages:
        await page.goto(f"{home}/{path}")
        if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            note("is wider than the screen")
    await page.goto(f"{home}/search.html?q={word}")
    try:
        await page.wait_for_selector("#search-results a", timeout=patience * 1000)
    except TimeoutError:
        note("finds nothing")
    await page.close()
    return found


async def _main(home: str, pages: list[str], word: str) -> list[str]:
    chromium = shutil.which("chromium")
    if chromium is None:
        return ["chromium is not installed"]
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = await playwright.chromium.launch(executable_path=chromium, args=arguments)
        try:
            return await problems(browser, home, pages, word)
        finally:
            await browser.close()


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*.html"))
    sys.exit("\n".join(asyncio.run(_main(folder.as_uri(), files, sys.argv[2]))) or None)
