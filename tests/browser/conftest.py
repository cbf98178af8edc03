"""Chromium, driven by Playwright."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.conftest import Program

_AXE = Axe()
_SOON = {"resultTypes": ["violations"], "preload": False}
# The target size is of WCAG 2.2, and so not among the rules that run by default.
AXE = _SOON | {"rules": {"target-size": {"enabled": True}}}
AXE_OF_LOOKS = _SOON | {"runOnly": ["color-contrast", "target-size"]}
"""What depends on width and color scheme."""
AXE_OF_STRUCTURE = _SOON | {"rules": {"color-contrast": {"enabled": False}}}
"""All but the rule that takes the longest."""

Open = Callable[..., Awaitable["Tab"]]


class Tab:
    """A page in a browser.

    Attributes:
        noise: messages of the console and requests to other hosts; a test that expects none finds none.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.noise: list[str] = []
        page.on("console", lambda message: self.noise.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self.noise.append(f"error: {error}"))
        page.on("request", lambda request: self._look(request.url))

    def _look(self, url: str) -> None:
        if not url.startswith("http://127.0.0.1:"):
            self.noise.append(f"request: {url}")

    async def violations(self, options: dict[str, Any] = AXE) -> list[str]:
        """What axe finds against the page as it is."""
        found = await _AXE.run(self.page, options=options)
        return [
            f"{each['id']}: {node['html']}\n{node['failureSummary']}"
            for each in found.response["violations"]
            for node in each["nodes"]
        ]

    async def states(self) -> list[str]:
        """The state of each job that is listed, in words."""
        texts = await self.page.locator(".jobs tbody .state").all_inner_texts()
        return [text.split(maxsplit=1)[1] for text in texts]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(program: Program) -> AsyncIterator[Browser]:
    """One for all tests of a worker: to start it takes longer than most of them."""
    path = program("chromium", "chromium")
    async with async_playwright() as playwright:
        # As in a container, which has no user namespaces and little shared memory.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        started = await playwright.chromium.launch(executable_path=path, args=arguments)
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_tab(browser: Browser) -> AsyncIterator[Open]:
    """Opens addresses, each in a new browser profile with the given settings."""
    contexts: list[BrowserContext] = []

    async def open_(address: str, **settings: Any) -> Tab:
        contexts.append(await browser.new_context(**settings))
        tab = Tab(await contexts[-1].new_page())
        await tab.page.goto(address)
        return tab

    yield open_
    for context in contexts:
        await context.close()
