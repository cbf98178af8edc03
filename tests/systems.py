"""What belongs to a vendor beside its code: stored responses, what each becomes, and its page.

``tests/data/NAME/cases.yaml`` has groups of cases. A group has the keys of a ``system``, the ``paths`` that
are requested, each with a short name, the ``responses`` of all its cases and, in ``cases``, those of each.
A response is a file of the folder, ``[status, file]``, or a mapping with ``status``, ``file`` or ``json``,
and ``headers``; a path without one is a 404. ``word`` has the responses of a job whose state is the vendor's
word ``WORD``. ``tests/data/NAME/expected/CASE.prom`` is the exposition of a case.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from exporter.model.job import State, Status
from exporter.providers import PROVIDERS
from exporter.providers.base import Provider
from tests.providers.conftest import drive, response_of
from tests.vendor import Asked, Told, exporter, vendor

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"
VENDORS = [name for name in PROVIDERS if name != "json"]
"""The providers with words and responses of one vendor; those of ``json`` are its configuration's."""

GONE = Told(status=404)
_SAMPLE = re.compile(r"(?P<series>(?P<name>\w+)\{.*\}) (?P<value>\S+)")
_WORDS = re.compile(r"`[^`]+`(?:, `[^`]+`)*")


@dataclass(frozen=True)
class Case:
    """What a vendor responds with, by path, and so what ``/metrics`` shows.

    Args:
        system: keys beside provider and address.
    """

    folder: Path
    name: str
    system: Mapping[str, Any]
    responses: Mapping[str, Told]

    def __str__(self) -> str:
        return f"{self.folder.name}/{self.name}"

    @property
    def expected(self) -> Path:
        return self.folder / "expected" / f"{self.name}.prom"

    def config(self, url: str) -> str:
        name = self.folder.name
        return yaml.safe_dump({"systems": {name: {"provider": name, "base_url": url, **self.system}}})

    async def shown(self, folder: Path) -> list[str]:
        """The sample lines of its system and job, through a whole exporter."""

        def respond(requested: Asked) -> Told:
            return self.responses.get(requested.path, GONE)

        began = time.time()
        async with vendor(respond) as server, exporter(self.config(server.url), folder) as running:
            page = (await running.get("/metrics")).text
        return masked(page, began, time.time())


def masked(page: str, began: float, ended: float) -> list[str]:
    """The sample lines of systems and jobs of a page that was requested between two times.

    Times that only the clock knows are ``<now>`` (checked to be of this moment), the duration of a read is
    ``<seconds>``.
    """
    lines = []
    for line in page.splitlines():
        match = _SAMPLE.fullmatch(line)
        if match is None or not match["name"].startswith("remote_job_") or "_exporter_" in match["name"]:
            continue
        value: Any = match["value"]
        if match["name"] == "remote_job_read_duration_seconds":
            value = "<seconds>" if 0 < float(value) < ended - began else value
        elif match["name"].endswith("_timestamp_seconds") and began - 0.01 < float(value) < ended + 0.01:
            value = "<now>"
        lines.append(f"{match['series']} {value}")
    return lines


def cases(folder: Path) -> Iterator[Case]:
    """Those of one vendor."""
    for group in _groups(folder):
        for name, own in group["cases"].items():
            responses = {**group.get("responses", {}), **own}
            told = {group["paths"][path]: _told(folder, each) for path, each in responses.items()}
            yield Case(folder, name, group["system"], told)


def _groups(folder: Path) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load((folder / "cases.yaml").read_text(encoding="utf-8"))
    return groups


def _told(folder: Path, response: Any) -> Told:
    if isinstance(response, str):
        response = {"file": response}
    elif isinstance(response, list):
        response = {"status": response[0], "file": response[1]}
    body = (folder / response["file"]).read_bytes() if "file" in response else response["json"]
    return Told(body, response.get("status", 200), response.get("headers", {}))


def state_of(folder: Path, provider: type[Provider], word: str) -> State:
    """What one read makes of a word of the vendor."""
    return status_of(folder, provider, word, {}).state


def status_of(folder: Path, kind: type[Provider], word: str, words: Mapping[str, State]) -> Status:
    """The same, where the key ``states:`` has these words, in lower case."""
    group = next(group for group in _groups(folder) if "word" in group)
    options = {name: value for name, value in group["system"].items() if name != "jobs"}
    responses = {
        group["paths"][path]: response_of(json.dumps(each["json"]).replace("WORD", word).encode())
        for path, each in group["word"].items()
    }
    provider = kind(kind.Options(**options))
    provider.add_words(words)
    return drive(provider, group["system"]["jobs"][0], responses).status


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of every Markdown table, heads left out."""
    lines = text.splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("|") and not line.startswith("| ---") and not after.startswith("| ---"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def states_on_page(page: Path) -> dict[str, str]:
    """The state of each word by the table on a vendor's page."""
    states: dict[str, str] = {}
    for cells in rows(page.read_text(encoding="utf-8")):
        state = cells[1].strip("`") if len(cells) > 1 else ""
        if _WORDS.fullmatch(cells[0]) and state in list(State):
            states |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), state)
    return states
