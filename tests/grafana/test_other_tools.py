"""The rules in programs that are no Debian package: vmalert, its unit tests, and pint.

Where one is missing its tests are skipped with a line that says how to get it. A job of CI has all of them.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.stack import RULES

UNIT_TESTS = sorted(RULES.parent.glob("rules*.test.yaml"))
VICTORIA = "github.com/VictoriaMetrics/VictoriaMetrics/app"
LATER = {
    "A failed slot fires until it succeeds, whatever runs meanwhile",
    "An exporter that restarts loses the history, Prometheus does not",
    "The history of a job that is gone is kept for an hour",
    "A job is overdue by its last success, else by the time since it is watched",
    "A failed job fires within a minute",
    "An exporter that restarts, in steps of 15 seconds",
    "A slot that ended with errors fires until its next run, a single run for a day",
    "Disabled publishing fires after ten minutes",
    "A job that cannot be read fires once, by the alert for its reason",
    "The description of an unknown state quotes its present word; another word is not another alert",
    "A job has one name",
    "Every alert once, of two replicas, with all labels and annotations",
    "Texts with fewer facts",
    "Failing items are over 5 % of at least 20 processed ones",
}
"""Tests whose moments are those of Prometheus: vmalert reads what it has recorded one evaluation later."""

NO_CHECKS = (
    "alerts/template",  # it reads the format of a printf as the query that the printf makes
    "alerts/comparison",  # an info metric is 1 or absent, so it needs no comparison
    "promql/regexp",  # a scrape job is the exporter's if its name contains the exporter's
)
"""Checks of pint that do not fit."""


def tool(name: str, package: str) -> str:
    """Its path."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed; get it with: go install {package}@latest")
    return path


def run(*command: str | Path, cwd: Path = RULES.parent) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=cwd)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def groups(file: Path) -> tuple[str, list[str]]:
    """What precedes the tests of a file, and each of them as text: YAML 1.1 would read 0x20 as a number."""
    head, *tests = re.split(r"^(?=  - name: )", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return head, tests


def named(test: str) -> str:
    return test.partition("name: ")[2].partition("\n")[0]


def test_vmalert_accepts_the_rules() -> None:
    run(tool("vmalert", f"{VICTORIA}/vmalert"), "-dryRun", f"-rule={RULES}")


@pytest.mark.timeout(600)
def test_vmalert_passes_the_unit_tests_that_do_not_depend_on_the_moment(tmp_path: Path) -> None:
    vmalert_tool = tool("vmalert-tool", f"{VICTORIA}/vmalert-tool")
    shutil.copy(RULES, tmp_path)
    for file in UNIT_TESTS:
        head, tests = groups(file)
        if kept := [text for text in tests if named(text) not in LATER]:
            text = head + "".join(kept).replace("promql_expr_test", "metricsql_expr_test")
            (tmp_path / file.name).write_text(text)
    command = ("unittest", "--files=*.test.yaml", "--disableAlertgroupLabel")
    run(vmalert_tool, *command, cwd=tmp_path)


def test_the_tests_that_vmalert_cannot_pass_are_some_of_all() -> None:
    names = {named(text) for file in UNIT_TESTS for text in groups(file)[1]}
    assert names > LATER


def test_pint_finds_nothing_in_the_rules() -> None:
    disabled = [f"--disabled={check}" for check in NO_CHECKS]
    pint = tool("pint", "github.com/cloudflare/pint/cmd/pint")
    run(pint, "--offline", *disabled, "lint", "--fail-on=info", "--min-severity=info", RULES.name)
