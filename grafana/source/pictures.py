"""Pictures of the dashboards for the documentation: ``python -m grafana.source.pictures ADDRESS [FOLDER]``.

It needs Chromium and the address of a Grafana that shows the dashboards, with data, without a login. Where
pngquant is installed too, the files are a third of the size.
"""

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode

import requests

FOLDER = Path(__file__).parents[2] / "docs/pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NO_BROWSER = "Chromium is not installed; install it with: apt-get install chromium"
WIDTH, HEIGHT = 1280, 1000
LIMIT, POLL = 120.0, 0.25
"""Seconds that one page may take, and between two looks at it."""
SETTLED = 8
"""Looks in a row that find the page complete."""
# Of the jobs with a history that run, the one with the most to show.
JOB = (
    'topk(1, count by (system, job_id) ({__name__=~"remote_job_.+"}) '
    "and on (system, job_id) remote_job_state_code == 2 "
    'and on (system, job_id) remote_job_info{job_kind="slot"})'
)
# Chromium reads from descriptor 3 and writes to 4, whatever those of the pipes are.
_STARTED = """import os, sys
for descriptor, copy in zip((3, 4), [os.dup(int(one)) for one in sys.argv[1:3]]):
    os.dup2(copy, descriptor)
    os.set_inheritable(descriptor, True)
os.execv(sys.argv[3], sys.argv[3:])"""
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
    """One picture: the name of its file, the dashboard, the theme."""

    name: str
    dashboard: str
    theme: str = "dark"


PICTURES = (
    Picture("overview-dark", "overview"),
    Picture("overview-light", "overview", "light"),
    Picture("system", "system"),
    Picture("job", "job"),
    Picture("exporter", "exporter"),
)


class Browser:
    """A Chromium that is driven by the DevTools protocol over pipes."""

    def __init__(self, requests_: IO[bytes], responses: IO[bytes]) -> None:
        self._requests, self._responses = requests_, responses
        self._number = 0
        self._session = ""

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the method returns.

        Raises:
            RuntimeError: the browser reports an error, or has ended.
        """
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._requests.write(json.dumps(message).encode() + b"\0")
        self._requests.flush()
        while (answer := self._next()).get("id") != self._number:
            pass  # an event
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        message = bytearray()
        while (byte := self._responses.read(1)) != b"\0":
            if not byte:
                raise RuntimeError("the browser has ended")
            message += byte
        return dict(json.loads(message))

    def open_page(self) -> None:
        """A page of the size of the pictures, which later calls are about."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        # A new browser docks the menu, which takes a quarter of the width.
        self.call("Page.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=_UNDOCK)

    def picture(self, address: str) -> bytes:
        """The page as PNG, once every panel that can be seen has its content.

        Raises:
            TimeoutError: it has not within `LIMIT` seconds.
        """
        self.call("Page.navigate", url=address)
        complete, end = 0, time.monotonic() + LIMIT
        while complete < SETTLED:
            if time.monotonic() > end:
                raise TimeoutError(f"{address} is not complete after {LIMIT:g} s")
            time.sleep(POLL)
            looked = self.call("Runtime.evaluate", expression=_LOOK, returnByValue=True)["result"]
            # No value while the page is loaded.
            panels, missing = looked.get("value", (0, 0))
            complete = complete + 1 if panels and not missing else 0
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])


@contextmanager
def browser(program: str) -> Iterator[Browser]:
    """Starts Chromium, and ends it.

    Args:
        program: its path.
    """
    (read_there, write_here), (read_here, write_there) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = (
            "--headless",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-first-run",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
        )
        # Chromium has no sandbox for root.
        rooted = ("--no-sandbox",) if os.geteuid() == 0 else ()
        process = subprocess.Popen(
            (sys.executable, "-c", _STARTED, str(read_there), str(write_there), program, *flags, *rooted),
            pass_fds=(read_there, write_there),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_there)
        os.close(write_there)
        # A browser that hangs ends, and so the wait for what it returns.
        end = threading.Timer(LIMIT * len(PICTURES), process.kill)
        end.start()
        with os.fdopen(write_here, "wb") as to_it, os.fdopen(read_here, "rb") as from_it:
            try:
                yield Browser(to_it, from_it)
            finally:
                end.cancel()
                process.terminate()
                process.wait(LIMIT)


def address_of(grafana: str, picture: Picture, variables: Mapping[str, str], since: str) -> str:
    """The address of the dashboard as the picture shows it."""
    known = {"datasource", "system", "job_id"} if picture.dashboard == "job" else {"datasource"}
    chosen = {f"var-{name}": value for name, value in variables.items() if name in known}
    parameters = {"theme": picture.theme, "from": since, "to": "now", **chosen}
    return f"{grafana}/d/remote-job-{picture.dashboard}?{urlencode(parameters)}"


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
    """The picture with a palette of its colours, where pngquant is installed."""
    program = shutil.which("pngquant")
    if program is None:
        return png
    return subprocess.run(
        (program, "--speed", "1", "--strip", "-"), input=png, capture_output=True, check=True
    ).stdout


def main(arguments: Sequence[str]) -> None:
    """Writes the pictures, and prints the path of each."""
    parser = argparse.ArgumentParser(prog="python -m grafana.source.pictures", description=__doc__)
    parser.add_argument("address", help="of the Grafana, such as http://127.0.0.1:3000")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--from", dest="since", default="now-1h", help="begin of the time shown (now-1h)")
    options = parser.parse_args(arguments)
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        sys.exit(NO_BROWSER)
    grafana = options.address.rstrip("/")
    variables = variables_of(grafana)
    options.folder.mkdir(parents=True, exist_ok=True)
    with browser(program) as chromium:
        chromium.open_page()
        for one in PICTURES:
            png = chromium.picture(address_of(grafana, one, variables, options.since))
            file = options.folder / f"{one.name}.png"
            file.write_bytes(smaller(png))
            sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
