"""The runbooks held against the rules, the metrics, the command and a real Alertmanager."""

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import click
import pytest

from exporter.cli.main import load_command
from exporter.providers import PROVIDERS
from tests.alertmanager import Alertmanager, alerting
from tests.command import ROOT
from tests.conftest import Program
from tests.grafana.linter import parsed, selectors
from tests.grafana.series import Labels, everything, labels_of, rules

INDEX = ROOT / "docs/on-call/alerts.md"
FOLDER = INDEX.with_suffix("")
PAGES = {page.stem: page for page in sorted(FOLDER.iterdir())}
ALERTS = {str(rule["alert"]): rule for rule in rules() if "alert" in rule}
WITH_QUERIES = [ROOT / "grafana/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
HEADINGS = (
    "What it means",
    "Impact",
    "Diagnosis",
    "Likely causes",
    "What to do",
    "When to silence",
    "When it resolves",
)
PLACEHOLDERS = {
    "system": "SYSTEM",
    "job_id": "JOB_ID",
    "instance": "INSTANCE",
    "job": "JOB",
    "namespace": "NAMESPACE",
}

_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FIRES = re.compile(
    r"^\*\*(\w+)\*\* for one (job|system|exporter|scrape job); fires (?:immediately|after `for: (\w+)`)"
    r"(?:, stays for `keep_firing_for: (\w+)`)?\.",
    re.MULTILINE,
)
_PROMTOOL = re.compile(r"promtool query instant \S+ '([^']+)'")
_ROW = re.compile(r"^\| \[(\w+)\]\(alerts/(\w+)\.md\) \| (\w+) \| .+ \| (\w+) \|$", re.MULTILINE)
_CLEARS = re.compile(r"^\| \[(\w+)\]\(alerts/(\w+)\.md\) \| [^|]+\. \| ([^|]+) \| [^|]+ \|$", re.MULTILINE)
_MATCHER = re.compile(r"^(\w+)(?:=~|!=|!~|=)(.+)$")

each_page = pytest.mark.parametrize("name", PAGES)


@cache
def known() -> Mapping[str, Labels]:
    return everything()


@cache
def labels(name: str) -> Labels:
    """What an alert carries."""
    rule = ALERTS[name]
    own = rule["labels"]
    assert isinstance(own, Mapping)
    return labels_of(parsed(str(rule["expr"])), known(), lambda _name, _text: None) | {"alertname", *own}


def blocks(page: Path, language: str) -> list[str]:
    found = _FENCED.findall(page.read_text(encoding="utf-8"))
    return [block for told, block in found if told == language]


def commands(page: Path, program: str) -> Iterator[list[str]]:
    """The arguments of each call of a program in a page's shell blocks."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(re.split(r" && | \| ", line)[0], comments=True)
            if words and Path(words[0]).name == program:
                yield words[1:]


def silence(page: Path) -> list[str]:
    """The one command of a page that silences."""
    [command] = commands(page, "amtool")
    return command


def by_file(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.stem)


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    assert set(PAGES) == set(ALERTS)


def test_the_index_has_every_alert_with_its_severity_and_its_for() -> None:
    listed = _ROW.findall(INDEX.read_text(encoding="utf-8"))
    assert [(name, page, {"severity": severity}, wait) for name, page, severity, wait in listed] == [
        (name, name, rule["labels"], rule.get("for", "0s")) for name, rule in ALERTS.items()
    ]


def test_the_index_lists_when_each_alert_clears() -> None:
    listed = _CLEARS.findall(INDEX.read_text(encoding="utf-8"))
    assert [(name, page) for name, page, _ in listed] == [(name, name) for name in ALERTS]
    late = {name for name, _, clears in listed if "5 minutes" in clears}
    assert late == {name for name, rule in ALERTS.items() if rule.get("keep_firing_for") == "5m"}


@each_page
def test_a_page_has_its_title_and_the_sections_of_all_pages(name: str) -> None:
    title, *sections = re.split(r"^#+ ", _FENCED.sub("…", PAGES[name].read_text())[2:], flags=re.MULTILINE)
    assert title.splitlines()[0] == name
    told = dict(section.split("\n", 1) for section in sections)
    assert tuple(told) == HEADINGS
    assert all(body.strip() for body in told.values())


@each_page
def test_a_page_has_the_severity_and_times_of_its_rule(name: str) -> None:
    found = _FIRES.search(PAGES[name].read_text())
    assert found
    severity, of, wait, keep = found.groups()
    rule = ALERTS[name]
    assert rule["labels"] == {"severity": severity}
    assert rule.get("for") == wait
    assert rule.get("keep_firing_for") == keep
    has = {label for label in ("job_id", "instance", "system") if label in labels(name)}
    assert has == {"job": {"job_id", "system"}, "system": {"system"}, "exporter": {"instance"}}.get(of, set())


@by_file(WITH_QUERIES)
def test_every_query_asks_for_what_exists(page: Path) -> None:
    wrong: list[str] = []

    def tell(_name: str, what: str) -> None:
        wrong.append(what)

    for query in [*blocks(page, "promql"), *_PROMTOOL.findall(page.read_text(encoding="utf-8"))]:
        labels_of(parsed(query), known(), tell)
    assert wrong == []


@each_page
def test_placeholders_are_labels_that_the_alert_has(name: str) -> None:
    """Whoever is woken has only the alert's labels to put there."""
    matchers = [
        matcher
        for query in blocks(PAGES[name], "promql")
        for selector in selectors(query)
        for matcher in selector.matchers.matchers
    ]
    placed = {(matcher.name, matcher.value) for matcher in matchers if matcher.value.isupper()}
    assert placed <= {pair for pair in PLACEHOLDERS.items() if pair[0] in labels(name)}
    assert blocks(PAGES[name], "promql")


@by_file([page for page in PAGES.values() if list(commands(page, "remote-job-exporter"))])
def test_every_command_is_one_that_the_program_takes(page: Path) -> None:
    keys = {"KEY", *(key for kind in PROVIDERS.values() for key in kind.JobKeys.model_fields)}
    for name, *arguments in commands(page, "remote-job-exporter"):
        context = load_command(name).make_context(name, list(arguments))
        if name == "probe":
            assert context.params["config_file"] is not None
            system, *pairs = context.params["words"]
            assert pairs
            assert "=" not in system
            assert {pair.partition("=")[0] for pair in pairs} <= keys


def test_a_command_that_the_program_does_not_take_is_found_out() -> None:
    with pytest.raises(click.UsageError):
        load_command("probe").make_context("probe", ["--config", "config.yaml", "SYSTEM"])


@each_page
def test_the_silence_is_of_this_alert_and_its_labels(name: str) -> None:
    given = [word for word in silence(PAGES[name])[2:] if not word.startswith("-")]
    matchers = {label: value for word in given for label, value in _MATCHER.findall(word)}
    assert len(matchers) == len(given)
    assert matchers.pop("alertname") == name
    assert matchers
    assert matchers.items() <= {pair for pair in PLACEHOLDERS.items() if pair[0] in labels(name)}


@pytest.fixture(scope="module")
def alertmanager(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    config = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
    path = program("prometheus-alertmanager", "prometheus-alertmanager")
    with alerting(path, tmp_path_factory.mktemp("alertmanager"), config) as started:
        yield started


def test_an_alertmanager_takes_every_silence(program: Program, alertmanager: Alertmanager) -> None:
    amtool = program("amtool", "prometheus-alertmanager")
    for name, page in PAGES.items():
        alertmanager.post({"alertname": name, **PLACEHOLDERS})
        command = [word for word in silence(page) if not word.startswith("--alertmanager.url=")]
        address = f"--alertmanager.url={alertmanager.url}"
        told = subprocess.run(
            [amtool, *command, address], capture_output=True, text=True, timeout=30, check=False
        )
        assert told.returncode == 0, told.stderr
    assert {alert["status"]["state"] for alert in alertmanager.alerts()} == {"suppressed"}
