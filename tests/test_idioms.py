"""Each example of docs/guides/json-idioms.md, played: the page has configuration, responses and result.

A ``yaml`` block with a system is followed by ``text`` blocks. In these, lines with ``>`` are requests, lines
with ``<`` responses. After them, each line is a sample, ``# no NAME`` for a metric without series, or a part
of the explanation of ``/probe``.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

import pytest
import yaml

from exporter import config
from exporter.expressions.budget import Misfit
from exporter.expressions.tree import finder
from tests.clock import FakeClock
from tests.generate import ROOT
from tests.systems import rows
from tests.vendor import Asked, Samples, Told, exporter, read_samples, vendor

PAGE = (ROOT / "docs" / "guides" / "json-idioms.md").read_text(encoding="utf-8")
NOW = 1_772_366_400  # 2026-03-01T12:00:00Z
ADDRESS = "https://ci.example.com"
SAMPLE = re.compile(r"(remote_job_\w+)\{(.*)\} (\S+)")


@dataclass(frozen=True)
class Play:
    """A configuration, the response to each request, and the lines that are shown then."""

    text: str
    responses: dict[str, Told]
    shown: list[str]


def plays() -> Iterator[Any]:
    """The examples of the page, each with the heading above it."""
    heading = text = ""
    parts_of_page = r"^#+ ([^\n]+)$|^```(\w+)\n(.*?)^```$"
    for title, language, block in re.findall(parts_of_page, PAGE, re.MULTILINE | re.DOTALL):
        if title:
            heading = title
        elif language == "yaml":
            text = block
        else:
            yield pytest.param(Play(text, *parts(block)), id=heading)


def parts(block: str) -> tuple[dict[str, Told], list[str]]:
    """The responses by request, and the other lines."""
    exchanges, _, shown = block.partition("\n\n")
    pairs = re.findall(r"((?:^> .*\n)+)((?:^< .*\n)+)", exchanges + "\n", re.MULTILINE)
    assert exchanges + "\n" == "".join(map("".join, pairs))
    responses = {request_in(plain(request)): response_in(plain(response)) for request, response in pairs}
    assert len(responses) == len(pairs)
    return responses, shown.splitlines()


def plain(lines: str) -> str:
    """The same without the signs at the beginning of lines."""
    return re.sub(r"^[<>] ", "", lines, flags=re.MULTILINE)


def request_in(text: str) -> str:
    line, _, body = text.partition("\n")
    return line + (json.dumps(json.loads(body)) if body else "")


def requested(asked: Asked) -> str:
    """The same of a request that was sent."""
    body = json.dumps(json.loads(asked.body)) if asked.body else ""
    return f"{asked.method} {unquote(asked.path)}{body}"


def response_in(text: str) -> Told:
    lines = text.splitlines()
    status = int(lines.pop(0)) if lines[0].isdigit() else 200
    headers = {}
    while lines and (header := re.fullmatch(r"([A-Z][\w-]*): (.*)", lines[0])):
        headers[header[1]] = header[2]
        lines.pop(0)
    body = "\n".join(lines)
    return Told(json.loads(body) if body else b"", status, headers)


def test_each_system_of_the_page_is_played() -> None:
    played = {play.values[0].text for play in plays()}
    assert played == set(re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("play", list(plays()))
async def test_an_example_sends_these_requests_and_shows_these_samples(play: Play, tmp_path: Path) -> None:
    ((name, system),) = yaml.safe_load(play.text)["systems"].items()

    def respond(asked: Asked) -> Told:
        return play.responses.get(requested(asked), Told(status=500))

    async with vendor(respond) as server:
        text = play.text.replace(ADDRESS, server.url)
        assert server.url in text
        async with exporter(text, tmp_path, clock=FakeClock(epoch=NOW)) as running:
            if "discover" in system:
                page = (await running.get("/metrics")).text
            else:
                (keys,) = system["jobs"]
                query = urlencode({"system": name, "debug": "true", **keys})
                page = (await running.get(f"/probe?{query}")).text
    assert sorted(map(requested, server.asked)) == sorted(play.responses), page
    samples = read_samples(page.partition("\nSamples\n\n")[2] or page)
    assert play.shown
    for line in play.shown:
        assert is_shown(line, page, samples), f"{line}\n\n{page}"
    states = [line for line in play.shown if line.startswith("remote_job_state{")]
    assert len(states) == sum(value for _, value in samples.all("remote_job_state")), page


def is_shown(line: str, page: str, samples: Samples) -> bool:
    """Whether a line of an example is true of what the exporter shows."""
    if match := SAMPLE.fullmatch(line):
        labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2]))
        return samples.get_one(match[1], **labels) == float(match[3])
    if match := re.fullmatch(r"# no (remote_job_\w+)", line):
        return not samples.all(match[1])
    return line in page


SYSTEM = {
    "provider": "json",
    "base_url": ADDRESS,
    "read": {"path": "/jobs/{id}", "state": "status"},
    "discover": {"path": "/jobs", "items": "jobs", "keys": {"id": "id"}},
}


def cells(heading: str) -> list[list[str]]:
    """The rows of the table under a heading."""
    table = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    assert table, f"there is no section {heading}"
    return [[each.replace("\\|", "|") for each in row] for row in rows(table)]


def code(cell: str) -> str:
    """The text of a code span."""
    return cell.strip("`").strip(" ") if cell.startswith("`` ") else cell.removeprefix("`").removesuffix("`")


@pytest.mark.parametrize(("written", "reported"), cells("Common errors"))
def test_check_reports_each_common_error(written: str, reported: str, tmp_path: Path) -> None:
    place, _, value = code(written).partition(": ")
    section, *names = place.split(".")
    target: Any = json.loads(json.dumps(SYSTEM))
    inner = target[section]
    for each in names[:-1]:
        inner = inner.setdefault(each, {})
    inner[names[-1]] = yaml.safe_load(value)
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps({"systems": {"ci": target}}))
    try:
        found = config.warnings(config.load(file))
    except config.ConfigError as error:
        found = list(error.errors)
    (finding,) = found
    assert f"systems.ci.{place}".startswith(finding.path)
    assert re.fullmatch(re.escape(reported).replace("…", ".+"), finding.text)


@pytest.mark.parametrize("row", cells("Nothing"))
def test_what_counts_as_nothing_is_as_the_table_shows(row: list[str]) -> None:
    value, *expected = [json.loads(code(cell)) for cell in row]
    expressions = "a || 'x'", "a && 'x'", "not_null(a, 'x')", "!a"
    assert [finder(each)({"a": value}) for each in expressions] == expected


@pytest.mark.parametrize(("expression", "response", "found"), cells("Small expressions"))
def test_a_small_expression_finds_what_the_table_shows(expression: str, response: str, found: str) -> None:
    find, value = finder(code(expression)), json.loads(code(response))
    if found == "an error":
        with pytest.raises(Misfit):
            find(value)
    else:
        assert find(value) == json.loads(code(found))
