"""The alert rules held against the contract, the exporter's own metrics, and their unit tests."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from exporter.metrics import JOB_METRICS
from exporter.model.failure import Reason
from exporter.model.job import Expect, Kind, State
from tests.command import ROOT
from tests.conftest import Program
from tests.grafana.linter import metric, nodes, parsed, selectors
from tests.grafana.series import Known, Labels, everything, labels_of, rules
from tests.stack import RULES

UNIT_TESTS = sorted(RULES.parent.glob("rules*.test.yaml"))
PLACE = ["instance", "pod", "container", "endpoint", "service", "namespace"]
RUNBOOKS = "https://github.com/remote-job-exporter/remote-job-exporter/blob/main/"
GRAFANA = "https://grafana.example.com/d/"

SEVERITIES = {
    "RemoteJobFailed": "critical",
    "RemoteJobFinishedWithErrors": "warning",
    "RemoteJobItemsFailing": "warning",
    "RemoteJobStuck": "warning",
    "RemoteJobRunningTooLong": "warning",
    "RemoteJobQueuedTooLong": "warning",
    "RemoteJobPublishingStopped": "warning",
    "RemoteJobOverdue": "critical",
    "RemoteJobStateUnknown": "info",
    "RemoteJobUnreadable": "warning",
    "RemoteJobRateLimited": "warning",
    "RemoteJobCredentialsRejected": "critical",
    "RemoteJobCredentialsExpireSoon": "warning",
    "RemoteJobListingFailed": "warning",
    "RemoteJobJobsDropped": "warning",
    "RemoteJobExporterDown": "critical",
    "RemoteJobExporterConfigReloadFailed": "warning",
    "RemoteJobExporterShardMissing": "critical",
    "RemoteJobExporterReplicaMissing": "warning",
}
RECORDED = [
    "remote_job:info:max",
    "remote_job:last_success_timestamp_seconds:max",
    "remote_job:last_failure_timestamp_seconds:max",
    "remote_job:watched_since_timestamp_seconds:min",
]
OF_THE_EXPORTER = {"RemoteJobExporterDown", "RemoteJobExporterConfigReloadFailed"}
OF_A_SCRAPE_JOB = {"RemoteJobExporterShardMissing", "RemoteJobExporterReplicaMissing"}
OF_A_SYSTEM = {
    "RemoteJobCredentialsRejected",
    "RemoteJobCredentialsExpireSoon",
    "RemoteJobListingFailed",
    "RemoteJobJobsDropped",
}
WORDS = {
    "remote_job_state": {state.value for state in State},
    "reason": {reason.value for reason in Reason},
    "expectation": set(Expect.__struct_fields__),
    "job_kind": {kind.value for kind in Kind},
}

_ASKED = re.compile(r'printf ("[^"]*"|`[^`]*`)')
_FIGURE = re.compile(r"\d+(?:\.\d+)?[a-z]?")
# A gap where a label is missing, a template that went wrong, a duration that is not rounded.
_BROKEN = re.compile(r'  |""| \.|\(\)|<|%!|\b0[dhms]\b|\d ?ms\b|\d\.\d+s')
_DURATION = re.compile(r"\b[1-9]\d*[dhms]\b")
_SENTENCE = re.compile(r"[^.]*(?:\.\S[^.]*)*\.")
_FIRING = re.compile(r"group by \(([\w, ]+)\) \(ALERTS\{alertstate=\"firing\"(?:,\w+=\"\w+\")?\}\)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_UNIT = {"s": 1, "m": 60}

Rule = dict[str, Any]
ALERTS: dict[str, Rule] = {str(rule["alert"]): rule for rule in rules() if "alert" in rule}
EXPRESSIONS = {str(rule.get("alert") or rule["record"]): str(rule["expr"]) for rule in rules()}

each_alert = pytest.mark.parametrize("name", ALERTS)
each_rule = pytest.mark.parametrize("name", EXPRESSIONS)


@cache
def known() -> Known:
    return everything()


@cache
def labels(name: str) -> Labels:
    """What a rule's series carry, beside the users' own labels."""
    return labels_of(parsed(EXPRESSIONS[name]), known(), lambda _name, _text: None)


def promtool(path: str, *arguments: str) -> None:
    told = subprocess.run(
        [path, *arguments], capture_output=True, text=True, timeout=100, check=False, cwd=RULES.parent
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_prometheus_takes_the_rules(program: Program) -> None:
    promtool(program("promtool", "prometheus"), "check", "rules", "--lint=all", "--lint-fatal", RULES.name)


@pytest.mark.parametrize("file", UNIT_TESTS, ids=lambda file: file.name)
def test_every_unit_test_holds(program: Program, file: Path) -> None:
    promtool(program("promtool", "prometheus"), "test", "rules", file.name)


def test_the_alerts_and_recordings_are_those_that_are_promised() -> None:
    names = [str(rule["alert"]) for rule in rules() if "alert" in rule]
    assert sorted(names) == sorted(SEVERITIES)
    assert [rule["record"] for rule in rules() if "record" in rule] == RECORDED
    assert "alert" not in rules()[len(RECORDED) - 1], "recordings come first"


@each_alert
def test_an_alert_has_its_severity_and_no_other_label(name: str) -> None:
    assert ALERTS[name]["labels"] == {"severity": SEVERITIES[name]}


def asked_by_texts(rule: Rule) -> Iterator[str]:
    """The queries in the annotations, with something for what is filled in."""
    for text in rule["annotations"].values():
        written = [one[1:-1] for one in _ASKED.findall(text)]
        for query in written[1:]:
            if "{" in query:  # the first has the labels of what the alert is about
                yield re.sub(r"%(?:\[1\])?s", written[0].replace("%q", '"x"'), query)


@each_rule
def test_every_metric_and_label_exists(name: str) -> None:
    wrong: list[str] = []
    for query in queries(name):
        labels_of(parsed(query), known(), lambda _name, text: wrong.append(text))
    assert wrong == []


@each_rule
def test_every_word_in_a_matcher_is_one_that_the_exporter_uses(name: str) -> None:
    for query in queries(name):
        for selector in selectors(query):
            for matcher in selector.matchers.matchers:
                words = WORDS.get(matcher.name)
                assert words is None or words.issuperset(matcher.value.split("|"))


def queries(name: str) -> list[str]:
    return [EXPRESSIONS[name], *(asked_by_texts(ALERTS[name]) if name in ALERTS else ())]


@each_rule
def test_what_is_dropped_begins_with_the_same_words_everywhere(name: str) -> None:
    """So that one replacement changes all of them; exporters are counted in each namespace."""
    text = EXPRESSIONS[name]
    kept = re.findall(r"without (\([^)]*\))", text)
    place = [label for label in PLACE if label != "namespace" or name not in OF_A_SCRAPE_JOB]
    assert all(re.match(rf"\({', '.join(place)}[,)]", dropped) for dropped in kept)
    aggregations = [node for node, _ in nodes(text) if isinstance(node, promql.AggregateExpr)]
    assert len(aggregations) == len(kept)
    assert name in OF_THE_EXPORTER or not labels(name).intersection(place)


@each_rule
def test_a_join_cannot_fail(name: str) -> None:
    """Two series that fit one another's labels must not end a rule, and with it all alerts."""
    for node, _ in nodes(EXPRESSIONS[name]):
        if isinstance(node, promql.BinaryExpr) and node.modifier is not None:
            assert str(node.op) in {"and", "or", "unless"}, str(node)


@each_alert
def test_an_alert_carries_the_labels_of_what_it_is_about(name: str) -> None:
    if name in OF_THE_EXPORTER:
        assert {"job", "cluster", "instance"} <= labels(name)
    elif name in OF_A_SCRAPE_JOB:
        assert labels(name) == {"job", "cluster", "namespace"}
    elif name in OF_A_SYSTEM:
        assert labels(name) == {"job", "cluster", "system"}
    else:
        of_a_job = {"system", "job_id", "job_name", "job_kind", "provider"}
        assert labels(name) == {"job", "cluster", *of_a_job}


def documented() -> set[str]:
    """The figures that the table at the top of the file explains."""
    head = RULES.read_text(encoding="utf-8").split("groups:")[0]
    told = [line[4:].split("  ")[0] for line in head.splitlines() if line.startswith("#   ")]
    return {figure for words in told for figure in _FIGURE.findall(words)}


@each_rule
def test_every_figure_is_explained_at_the_top(name: str) -> None:
    figures = documented()
    assert {"86400", "0.05", "20", "259200", "5m", "1h"} <= figures
    for node, _ in nodes(EXPRESSIONS[name]):
        if isinstance(node, promql.NumberLiteral):
            assert f"{node.val:g}" in figures | {"0", "1"}
        if isinstance(node, promql.MatrixSelector):
            assert promql.display_duration(node.range) in figures


@each_alert
def test_a_failed_read_does_not_end_an_alert_by_itself(name: str) -> None:
    """What vanishes with a failed read either is looked for some minutes back, or the alert is kept."""
    fleeting = {one.name for one in JOB_METRICS if not one.kept}
    found = {metric(selector) for selector in selectors(EXPRESSIONS[name])} & fleeting
    bridged = "last_over_time(remote_job_state{" in EXPRESSIONS[name]
    assert not found or bridged or ALERTS[name].get("keep_firing_for") == "5m"


@each_alert
def test_an_alert_has_its_texts_and_links(name: str) -> None:
    texts = ALERTS[name]["annotations"]
    assert set(texts) == {"summary", "description", "runbook_url", "dashboard_url"}
    page = f"docs/on-call/alerts/{name}.md"
    assert texts["runbook_url"] == RUNBOOKS + page
    assert (ROOT / page).is_file()
    of_exporters = name in OF_THE_EXPORTER | OF_A_SCRAPE_JOB
    about = "exporter" if of_exporters else "system" if name in OF_A_SYSTEM else "job"
    assert re.match(rf"{re.escape(GRAFANA)}remote-job-{about}[?{{]", texts["dashboard_url"])
    variables = {
        "exporter": ["job"] if name in OF_A_SCRAPE_JOB else ["instance", "job"],
        "system": ["system", "job"],
        "job": ["system", "job_id", "job"],
    }
    placed = re.findall(r"var-(\w+)=\{\{ (?:\$labels\.(\w+)|\.) \| urlquery \}\}", texts["dashboard_url"])
    assert [variable for variable, _ in placed] == variables[about]
    assert all(label in {variable, ""} for variable, label in placed)


def test_links_begin_with_one_text_each() -> None:
    """So that one replacement changes all of them."""
    text = RULES.read_text(encoding="utf-8")
    both_at_the_top = 2
    assert text.count("https://") == 2 * len(ALERTS) + both_at_the_top
    assert text.count(GRAFANA) == len(ALERTS)
    assert text.count(f"{RUNBOOKS}docs/on-call/alerts/") == len(ALERTS)


@cache
def scenes() -> list[dict[str, Any]]:
    return [
        scene for file in UNIT_TESTS for scene in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]
    ]


def told(name: str) -> list[dict[str, dict[str, str]]]:
    """Labels and annotations of an alert, as its unit tests expect them."""
    cases = (case for scene in scenes() for case in scene.get("alert_rule_test", []))
    return [alert for case in cases if case["alertname"] == name for alert in case["exp_alerts"]]


@each_alert
def test_what_an_alert_says_is_tested_word_by_word(name: str) -> None:
    texts = [alert["exp_annotations"] for alert in told(name)]
    assert texts
    for text in texts:
        assert _SENTENCE.fullmatch(text["summary"]), "one sentence"
        for part in (text["summary"], text["description"]):
            assert part.endswith(".")
            assert not _BROKEN.search(part)
            assert all(sentence[0].isupper() for sentence in part.split(". "))


@each_alert
def test_a_description_says_since_when(name: str) -> None:
    """Where the series that know it are there, as in the scene with all of them."""
    assert any(_DURATION.search(alert["exp_annotations"]["description"]) for alert in told(name))


@each_alert
def test_a_text_names_what_it_is_about(name: str) -> None:
    for alert in told(name):
        carried, summary = alert["exp_labels"], alert["exp_annotations"]["summary"]
        if name in OF_THE_EXPORTER:
            assert carried.get("instance", "no target") in summary
            continue
        if name in OF_A_SCRAPE_JOB:
            assert carried["job"] in summary
            continue
        assert carried["system"] in summary
        assert carried.get("job_name", carried.get("job_id", "")) in summary


def seconds(time: str) -> int:
    return sum(int(number) * _UNIT[unit] for number, unit in re.findall(r"(\d+)([sm])", time))


def firing(scene: dict[str, Any]) -> dict[int, set[tuple[str, str]]]:
    """What is told at which time in a scene: alerts, each with what it is about."""
    found: dict[int, set[tuple[str, str]]] = {}
    for case in scene.get("promql_expr_test", []):
        by = _FIRING.fullmatch(case["expr"])
        if by is None or "alertname" not in by[1]:
            continue
        samples = [dict(_LABEL.findall(sample["labels"])) for sample in case["exp_samples"]]
        about = {(sample.pop("alertname"), str(sorted(sample.items()))) for sample in samples}
        found.setdefault(seconds(str(case["eval_time"])), set()).update(about)
    return found


@each_alert
def test_an_alert_is_tested_before_while_and_after_it_holds(name: str) -> None:
    """And through something in between: it is there at three times at least."""
    for scene in scenes():
        times = firing(scene)
        for about in {one for held in times.values() for one in held if one[0] == name}:
            holds = sorted(time for time, held in times.items() if about in held)
            before, after = min(times) < holds[0], max(times) > holds[-1]
            if before and after and len(holds) >= 3:
                return
    pytest.fail("no unit test shows it begin, go on and end")
