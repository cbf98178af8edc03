"""Chromium, driven by Playwright."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.conftest import Program

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

    async def states(self) -> list[str]:
        """The state of each job that is listed, in words."""
        texts = await self.page.locator(".jobs tbody .state").all_inner_texts()
        return [text.split(maxsplit=1)[1] for text in texts]


@pytest.fixture
async def open_tab(program: Program) -> AsyncIterator[Open]:
    """Opens addresses, each in a new browser profile with the given settings."""
    path = program("chromium", "chromium")
    async with async_playwright() as playwright:
        # As in a container, which has no user namespaces and little shared memory.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser: Browser = await playwright.chromium.launch(executable_path=path, args=arguments)

        async def open_(address: str, **settings: Any) -> Tab:
            context = await browser.new_context(**settings)
            tab = Tab(await context.new_page())
            await tab.page.goto(address)
            return tab

        yield open_
        await browser.close()
