"""The page at ``/``: how systems do, and the next steps after an installation."""

import base64
from pathlib import Path
from urllib.parse import urljoin

import pytest
import yaml

from exporter.views import DOCUMENTATION
from exporter.web.home_page import OLD_SECONDS
from tests.clock import FakeClock
from tests.vendor import Exporter, Told, caps, caps_config, exporter, vendor
from tests.web.pages import Page

CONFIG = "systems:\n" + caps_config("http://127.0.0.1:1")
ROOT = Path(__file__).parents[2]


async def page(running: Exporter, **headers: str) -> Page:
    return Page((await running.get("/", **headers)).text)


def snippet(shown: Page) -> str:
    return shown.text[shown.text.index("scrape_configs:") :].partition("Next steps")[0]


async def test_the_page_shows_whether_prometheus_scrapes(tmp_path: Path) -> None:
    clock = FakeClock()
    async with exporter(CONFIG, tmp_path, clock=clock) as running:
        assert "No Prometheus has scraped this exporter since it started." in (await page(running)).text
        await running.get("/metrics")  # as a person does
        await running.own()
        assert "No Prometheus has scraped" in (await page(running)).text
        await running.scrape()
        clock.turn(20)
        assert "has last scraped this exporter 20 s ago." in (await page(running)).words
        clock.turn(OLD_SECONDS)
        assert "Prometheus has not scraped this exporter for 5 min 20 s." in (await page(running)).words
        header = {"X-Prometheus-Scrape-Timeout-Seconds": "5"}
        await running.get("/probe?system=docs&project_id=p&build_job_id=0&locale=en", **header)
        assert "has last scraped this exporter 0 s ago." in (await page(running)).words


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("exporter.example:10072", "exporter.example:10072"),
        ("[::1]:80", "[::1]:80"),
        ("jobs.example", "jobs.example"),
        ('x"]: {}', "HOST:10072"),
        ("<script>alert(1)</script>", "HOST:10072"),
        ("", "HOST:10072"),
    ],
)
async def test_the_configuration_of_prometheus_names_this_very_instance(
    host: str, target: str, tmp_path: Path
) -> None:
    async with exporter(CONFIG, tmp_path) as running:
        shown = await page(running, Host=host)
        scrape = yaml.safe_load(snippet(shown))["scrape_configs"][0]
        assert scrape["static_configs"] == [{"targets": [target]}]
        assert "basic_auth" not in scrape


async def test_with_a_login_the_configuration_of_prometheus_has_one_too(tmp_path: Path) -> None:
    secret = base64.b64encode(b"me:geheim").decode()
    async with exporter(CONFIG, tmp_path) as running:
        shown = await page(running, Authorization=f"Basic {secret}")
        assert "basic_auth" in yaml.safe_load(snippet(shown))["scrape_configs"][0]
        assert secret not in shown.text
        assert "geheim" not in shown.text


async def test_every_link_leads_somewhere_also_under_a_prefix(tmp_path: Path) -> None:
    text = "systems:\n" + caps_config("URL", 2)
    async with (
        vendor(lambda _: Told(caps(), status=503)) as docs,
        exporter(text.replace("URL", docs.url), tmp_path) as running,
    ):
        await running.scrape()
        shown = await page(running)
        assert "The vendor reports an error of its own." in shown.text
        for link in shown.links:
            if link.startswith(DOCUMENTATION):
                path, _, anchor = link.removeprefix(DOCUMENTATION).partition("#")
                titles = (
                    (ROOT / path).read_text(encoding="utf-8").casefold().replace(" ", "-").replace("`", "")
                )
                assert f"#-{anchor}" in titles, link
            elif not link.startswith("#"):
                whole = urljoin("https://proxy.example/prefix/", link)
                assert whole.startswith("https://proxy.example/prefix/"), link
                rest = whole.removeprefix("https://proxy.example/prefix")
                assert (await running.get(rest)).status_code == 200, link
