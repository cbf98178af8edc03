"""The dashboards keep the rules of dashboard-linter and ours; what they link to is there."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from exporter.metrics import SYSTEM_METRICS
from tests.command import ROOT
from tests.grafana.conventions import conventions, link_errors
from tests.grafana.dashboards import FOLDER, Dashboard, load_all
from tests.grafana.linter import LINTER, Finding, Rule
from tests.grafana.looks import LOOKS
from tests.grafana.series import everything, rules

NAMES = (*LINTER, *conventions((), {}), *LOOKS)


@dataclass(frozen=True)
class Exempt:
    """What a rule does not hold for, by patterns, and why."""

    rule: str
    why: str
    says: str = "*"
    metric: str = "*"
    dashboard: str = "*"
    panel: str = "*"

    def covers(self, rule: str, dashboard: Dashboard, finding: Finding) -> bool:
        pairs = (
            (rule, self.rule),
            (dashboard.name, self.dashboard),
            (finding.panel, self.panel),
            (finding.metric, self.metric),
            (finding.text, self.says),
        )
        return all(fnmatchcase(text, pattern) for text, pattern in pairs)


EXEMPT = (
    Exempt(
        "target-job-rule",
        "an alert without a job tells that there is no exporter at all",
        says='*{*job=~"$job|"*}',
        metric="ALERTS*",
    ),
    Exempt(
        "target-instance-rule",
        "that alert has no instance either",
        says='*{*instance=~"$instance|"*}',
        metric="ALERTS*",
    ),
)


@dataclass(frozen=True)
class Suite:
    """All dashboards, and the rules by name."""

    dashboards: tuple[Dashboard, ...]
    rules: dict[str, Rule]

    def findings(self, rule: str) -> Iterator[tuple[Dashboard, Finding]]:
        for dashboard in self.dashboards:
            yield from ((dashboard, finding) for finding in self.rules[rule](dashboard))


@pytest.fixture(scope="module")
def suite() -> Suite:
    dashboards = load_all()
    return Suite(dashboards, LINTER | conventions(dashboards, everything()) | LOOKS)


@pytest.mark.parametrize("rule", NAMES)
def test_the_dashboards_keep(rule: str, suite: Suite) -> None:
    broken = [
        f"{dashboard.name} / {finding.panel}: {finding.text}"
        for dashboard, finding in suite.findings(rule)
        if not any(one.covers(rule, dashboard, finding) for one in EXEMPT)
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("exempt", EXEMPT, ids=lambda one: f"{one.rule}: {one.why}")
def test_no_exception_is_idle(exempt: Exempt, suite: Suite) -> None:
    assert any(exempt.covers(exempt.rule, *found) for found in suite.findings(exempt.rule))


def test_every_metric_of_a_system_is_on_its_dashboard() -> None:
    dashboard = (FOLDER / "system.json").read_text(encoding="utf-8")
    assert [metric.name for metric in SYSTEM_METRICS if metric.name not in dashboard] == []


def test_the_links_of_the_alerts_lead_to_dashboards(suite: Suite) -> None:
    errors = []
    for rule in (rule for rule in rules() if "alert" in rule):
        annotations = rule["annotations"]
        assert isinstance(annotations, dict)
        address = re.fullmatch(r"https://[^/]+/d/([^?{]+)(.*)", annotations["dashboard_url"], re.DOTALL)
        assert address is not None, rule["alert"]
        told = link_errors(suite.dashboards, *address.groups())
        errors += [f"{rule['alert']}: {what}" for what in told]
    assert not errors, "\n".join(errors)


def test_the_files_are_what_the_code_makes(tmp_path: Path) -> None:
    # In a process of its own: the SDK warns of itself when it is imported.
    make = "import sys, pathlib, grafana.source.build as it; it.write(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", make, tmp_path], cwd=ROOT, check=True, timeout=60)
    made, committed = (
        {file.name: file.read_bytes() for file in folder.iterdir()} for folder in (tmp_path, FOLDER)
    )
    assert committed.keys() == made.keys()
    other = [name for name in made if made[name] != committed[name]]
    assert not other, f"not what python -m grafana.source writes: {other}"
