"""The look at a built site sees what is wrong."""

from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.browser.site import problems

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

SCREEN = '<!doctype html><meta name="viewport" content="width=device-width">'
PAGES = {
    "broken.html": "<script>throw Error('odd')</script>",
    "fine.html": "<p>token</p>",
    "image.html": '<img src="lost.png" alt="">',
    "other.html": '<img src="http://127.0.0.1:9/one.png" alt="">',
    "search.html": '<div id="search-results"><a href="fine.html">token</a></div>',
    "wide.html": '<div style="width: 900px">wide</div>',
}


async def test_each_problem_of_a_site_is_seen(browser: Browser, tmp_path: Path) -> None:
    for name, text in PAGES.items():
        (tmp_path / name).write_text(SCREEN + text)
    home = tmp_path.as_uri()
    assert await problems(browser, home, ["fine.html"], "token") == []
    (tmp_path / "search.html").write_text(SCREEN)
    found = await problems(browser, home, sorted(PAGES), "token", patience=0.1)
    assert {
        "broken.html: odd",
        f"image.html: cannot load {home}/lost.png",
        "other.html: requests http://127.0.0.1:9/one.png",
        "wide.html: is wider than the screen",
        "search.html?q=token: finds nothing",
    } <= set(found)
