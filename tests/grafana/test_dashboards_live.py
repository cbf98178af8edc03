"""Every query of the dashboards, asked of a real Prometheus that watches the simulated systems."""

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Program
from tests.grafana.dashboards import Dashboard, Panel, Target, Variable, expand, load_all
from tests.grafana.linter import QUERY, metric, selectors
from tests.prometheus import Prometheus
from tests.stack import stack
from tests.waiting import until

PATIENCE = 200
MANY = 40
WINDOW = 300
STEP = 15
# As Grafana sets them for this window and step.
TIMES = {
    "__interval": f"{STEP}s",
    "__interval_ms": f"{STEP}000",
    "__rate_interval": "60s",
    "__range": f"{WINDOW}s",
    "__range_s": str(WINDOW),
    "__range_ms": f"{WINDOW}000",
}
Values = Mapping[str, str]
# What Grafana escapes, twice, of a value in a variable that takes many.
_SPECIAL = re.compile(r"[\\^$*+?.(){}|\[\]]")
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")

# Metrics, panels and variables that may answer nothing there, and why.
EMPTY: dict[str, str] = {
    "$cluster": "nobody gives the target such a label",
    "$namespace": "nobody gives the target such a label",
    "remote_job_system_credentials_expiry_timestamp_seconds": "what the simulated systems take does not end",
    "remote_job_system_rate_limit_remaining": "no simulated system tells how many calls it allows",
    "remote_job_system_read_error_info": "every simulated system can be read",
    "exporter / Firing alerts": "nothing is wrong with the exporter",
}


@dataclass
class Asked:
    """One query of a dashboard, and what is wrong with its answer so far."""

    dashboard: Dashboard
    panel: Panel
    target: Target
    wrong: str = "not asked"

    @property
    def name(self) -> str:
        return f"{self.dashboard.name} / {self.panel.title}"

    @property
    def subjects(self) -> set[str]:
        """What `EMPTY` can be about."""
        return {self.name, *(metric(one) for one in selectors(self.target.expr))}


@dataclass(frozen=True)
class Grafana:
    """Asks as Grafana does, of one Prometheus."""

    prometheus: Prometheus
    errors: list[str] = field(default_factory=list)

    def api(self, path: str, **parameters: Any) -> Any:
        try:
            return self.prometheus.api(path, **parameters)
        except AssertionError as error:
            self.errors.append(f"{parameters}: {error}")
            return []

    def answers(self, target: Target, values: Values) -> list[Any]:
        """Series that have a number."""
        query, now = expand(target.expr, values), time.time()
        if target.instant:
            answer = self.api("query", query=query, time=now)
        else:
            answer = self.api("query_range", query=query, start=now - WINDOW, end=now, step=STEP)
        if not answer or answer["resultType"] in {"scalar", "string"}:
            return [answer] if answer else []
        return [one for one in answer["result"] if _has_number(one)]

    def choices(self, variable: Variable, values: Values) -> list[str]:
        """What can be chosen."""
        call = QUERY.fullmatch(variable.query)
        assert call is not None, variable.query
        if call[1] == "label_values":
            selector, _, label = call[2].rpartition(",")
            only = {"match[]": expand(selector, values)} if selector else {}
            return list(self.api(f"label/{label.strip()}/values", **only))
        assert call[1] == "query_result", variable.query
        answer = self.api("query", query=expand(call[2], values))
        # As JavaScript writes it: with slashes, flags and its own kind of named groups.
        pattern = str(variable.model["regex"]).strip("/g").replace("(?<", "(?P<")
        found = [match for one in answer["result"] for match in re.finditer(pattern, _line(one["metric"]))]
        values_of = [match.groupdict().get("value", match[1]) for match in found]
        return sorted({value for value in values_of if value})

    def settings(self, dashboard: Dashboard) -> list[Values]:
        """What the variables can be set to: all where that is offered, else one value after the other."""
        settings: list[Values] = [TIMES]
        for variable in dashboard.variables:
            if variable.type == "query":
                settings = [
                    {**one, variable.name: value} for one in settings for value in self.of(variable, one)
                ]
        return settings

    def of(self, variable: Variable, values: Values) -> list[str]:
        """What goes into queries in its place."""
        if variable.model.get("includeAll"):
            return [variable.all_value]
        choices = self.choices(variable, values)
        if not variable.model.get("multi"):
            return choices
        return [_SPECIAL.sub(lambda found: f"\\\\{found[0]}", one) for one in choices]


def _has_number(one: Any) -> bool:
    # A quantile of nothing is NaN, which Grafana draws as nothing.
    values = one.get("values") or [one["value"]]
    return any(value != "NaN" for _, value in values)


def _line(labels: Mapping[str, str]) -> str:
    """A series as text, which the pattern of a variable is for."""
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def _name(legend: str, labels: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: labels.get(found[1], ""), legend)


def ask(grafana: Grafana, asked: Asked, settings: list[Values]) -> None:
    """Asks with one setting after the other, until one answers."""
    asked.wrong = "answers nothing"
    for values in settings:
        if series := grafana.answers(asked.target, values):
            # Two jobs may have one name.
            legend = asked.target.legend.replace("{{job_name}}", "{{job_name}} {{job_id}}")
            names = [_name(legend, one["metric"]) for one in series] if "{{" in legend else []
            twice = [name for name, lines in Counter(names).items() if lines > 1]
            asked.wrong = f"several lines are called {twice}" if twice else ""
            return


def queries() -> list[Asked]:
    return [Asked(one, *query) for one in load_all() for query in one.queries]


def silent_variables(grafana: Grafana) -> list[str]:
    """Variables that offer nothing to choose."""
    silent = []
    for dashboard in load_all():
        chosen = TIMES | {one.name: one.all_value for one in dashboard.variables}
        asked = [one for one in dashboard.variables if one.type == "query" and f"${one.name}" not in EMPTY]
        names = [one.name for one in asked if not grafana.choices(one, chosen)]
        silent += [f"{dashboard.name} / ${name} offers nothing" for name in names]
    return silent


def silent_queries(grafana: Grafana, left: list[Asked], turn: int) -> list[str]:
    """Asks all that are left, and takes away what has answered."""
    settings = {one.name: grafana.settings(one) for one in load_all()}
    for asked in left:
        own = settings[asked.dashboard.name]
        # One job has no categories, another no progress: others in each turn, never all at once.
        first = turn * MANY % max(len(own), 1)
        ask(grafana, asked, own[first : first + MANY])
    left[:] = [asked for asked in left if asked.wrong and EMPTY.keys().isdisjoint(asked.subjects)]
    return [f"{asked.name}: {asked.wrong}: {asked.target.expr}" for asked in left]


def wait(silent: Callable[[int], list[str]], grafana: Grafana) -> None:
    """Asks again and again until nothing is silent: rates need two scrapes, some panels a run that ends."""
    names: list[str] = []
    turns = count()

    def answered() -> bool:
        names[:] = silent(next(turns))
        return not names or bool(grafana.errors)

    with suppress(AssertionError):  # the next line names what is silent
        until(answered, "every answer", PATIENCE)
    wrong = grafana.errors + names
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(600)
def test_every_query_answers(program: Program, tmp_path: Path) -> None:
    with stack(tmp_path, program("prometheus", "prometheus")) as playing:
        grafana, left = Grafana(playing.prometheus), queries()
        wait(lambda _: silent_variables(grafana), grafana)
        wait(lambda turn: silent_queries(grafana, left, turn), grafana)
        for one in load_all():
            for annotation in one.annotations:
                grafana.answers(Target(annotation), grafana.settings(one)[0])
    assert grafana.errors == []


def test_what_may_be_empty_is_asked() -> None:
    subjects = {f"${variable.name}" for one in load_all() for variable in one.variables}
    assert EMPTY.keys() <= subjects.union(*(asked.subjects for asked in queries()))
