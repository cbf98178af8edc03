"""Pictures of dashboards and pages for the documentation, as ``make pictures`` takes them.

It needs Chromium, a Grafana that shows the dashboards with data and without a login, and the exporter of
``make demo``. Where pngquant is installed too, the files are a third of the size.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import requests
from playwright.sync_api import Browser, Page, sync_playwright

FOLDER = Path(__file__).parents[2] / "docs/pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NO_BROWSER = "Chromium is not installed; install it with: apt-get install chromium"
LIMIT, POLL = 120.0, 0.25
"""Seconds that one page may take, and between two looks at it."""
SETTLED = 8
"""Looks in a row that find the dashboard complete."""
# Of the jobs with a history that run, the one with the most to show.
JOB = (
    'topk(1, count by (system, job_id) ({__name__=~"remote_job_.+"}) '
    "and on (system, job_id) remote_job_state_code == 2 "
    'and on (system, job_id) remote_job_info{job_kind="slot"})'
)
# A new browser docks the menu, which takes a quarter of the width.
_UNDOCK = "for (const key of ['docked', 'open']) localStorage.setItem(`grafana.navigation.${key}`, 'false')"
# How many panels are on the page, and how many of those that can be seen have no content yet.
_LOOK = """(() => {
  const all = selector => [...document.querySelectorAll(selector)];
  const seen = all('.react-grid-item').filter(item => item.getBoundingClientRect().top < innerHeight);
  const blank = seen.filter(item => !item.innerText.trim() && !item.querySelector('canvas, svg'));
  const loading = all('[aria-label*="oading"], [data-testid*="oading"], [data-testid="Spinner"], .preloader');
  return [seen.length, blank.length + loading.length];
})()"""


@dataclass(frozen=True)
class Picture:
    """One picture: the name of its file, what it shows, the color scheme and the size.

    Args:
        shows: a dashboard, or the path of a page.
        click: a link on the page that leads to what is shown.
    """

    name: str
    shows: str
    scheme: Literal["dark", "light"] = "dark"
    size: tuple[int, int] = (1280, 1000)
    click: str = ""


DASHBOARDS = (
    Picture("overview-dark", "overview"),
    Picture("overview-light", "overview", "light"),
    Picture("system", "system"),
    Picture("job", "job"),
    Picture("exporter", "exporter"),
)
PAGES = (
    Picture("jobs-dark", "/jobs", "dark", (1120, 720)),
    Picture("jobs-light", "/jobs", "light", (1120, 720)),
    Picture("jobs-phone", "/jobs?system=docs", "light", (390, 720)),
    Picture("job-page", "/jobs?system=docs&state=running", "light", (1120, 720), ".jobs tbody a"),
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser that is installed.

    Raises:
        SystemExit: there is none.
    """
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        sys.exit(NO_BROWSER)
    with sync_playwright() as playwright:
        # Chromium has no sandbox for root, and containers have little shared memory.
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


def opened(browser: Browser, picture: Picture, address: str) -> Page:
    """A page of the picture's size and color scheme at an address."""
    width, height = picture.size
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=picture.scheme)
    page.add_init_script(_UNDOCK)
    page.goto(address, timeout=LIMIT * 1000)
    return page


def of_page(browser: Browser, picture: Picture, exporter: str) -> bytes:
    """A page of the exporter as PNG."""
    page = opened(browser, picture, exporter + picture.shows)
    if picture.click:
        page.click(picture.click)
    return page.screenshot()


def of_dashboard(
    browser: Browser, picture: Picture, grafana: str, variables: Mapping[str, str], since: str
) -> bytes:
    """A dashboard as PNG, once every panel that can be seen has its content.

    Raises:
        TimeoutError: it has not within `LIMIT` seconds.
    """
    known = {"datasource", "system", "job_id"} if picture.shows == "job" else {"datasource"}
    chosen = {f"var-{name}": value for name, value in variables.items() if name in known}
    query = urlencode({"theme": picture.scheme, "from": since, "to": "now", **chosen})
    page = opened(browser, picture, f"{grafana}/d/remote-job-{picture.shows}?{query}")
    complete, end = 0, time.monotonic() + LIMIT
    while complete < SETTLED:
        if time.monotonic() > end:
            raise TimeoutError(f"{page.url} is not complete after {LIMIT:g} s")
        page.wait_for_timeout(POLL * 1000)
        panels, missing = page.evaluate(_LOOK)
        complete = complete + 1 if panels and not missing else 0
    return page.screenshot()


def variables_of(grafana: str) -> dict[str, str]:
    """What the variables are set to: the default Prometheus, and the job of `JOB` where a job runs."""
    sources = _get(f"{grafana}/api/frontend/settings")["datasources"].values()
    default_first = sorted(sources, key=lambda one: not one.get("isDefault"))
    uid = next(one["uid"] for one in default_first if one["type"] == "prometheus")
    query = urlencode({"query": JOB})
    found = _get(f"{grafana}/api/datasources/proxy/uid/{uid}/api/v1/query?{query}")["data"]["result"]
    return {"datasource": uid, **(found[0]["metric"] if found else {})}


def _get(address: str) -> Any:
    response = requests.get(address, timeout=30)
    response.raise_for_status()
    return response.json()


def smaller(png: bytes) -> bytes:
    """The picture with a palette of its colors, where pngquant is installed."""
    program = shutil.which("pngquant")
    if program is None:
        return png
    return subprocess.run(
        (program, "--speed", "1", "--strip", "-"), input=png, capture_output=True, check=True
    ).stdout


def main(arguments: Sequence[str]) -> None:
    """Writes the pictures, and prints the path of each."""
    parser = argparse.ArgumentParser(prog="python -m grafana.source.pictures", description=__doc__)
    parser.add_argument("--grafana", help="its address, such as http://127.0.0.1:3000")
    parser.add_argument("--exporter", help="its address, such as http://127.0.0.1:10072")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--from", dest="since", default="now-1h", help="begin of the time shown (now-1h)")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)

    def write(picture: Picture, png: bytes) -> None:
        file = options.folder / f"{picture.name}.png"
        file.write_bytes(smaller(png))
        sys.stdout.write(f"{file}\n")

    with chromium() as browser:
        if options.grafana:
            grafana = options.grafana.rstrip("/")
            variables = variables_of(grafana)
            for picture in DASHBOARDS:
                write(picture, of_dashboard(browser, picture, grafana, variables, options.since))
        if options.exporter:
            for picture in PAGES:
                write(picture, of_page(browser, picture, options.exporter.rstrip("/")))


if __name__ == "__main__":
    main(sys.argv[1:])
