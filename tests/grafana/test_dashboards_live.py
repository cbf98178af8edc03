"""Every query of the dashboards, asked of a real Prometheus that watches the simulated systems."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from tests.conftest import Program
from tests.grafana.asking import TIMES, Grafana, Values
from tests.grafana.dashboards import Dashboard, Panel, Target, load_all
from tests.grafana.linter import metric, selectors
from tests.grafana.tiles import named
from tests.stack import stack
from tests.waiting import until

PATIENCE = 200
MANY = 40

# Metrics, panels and variables that may answer nothing there, and why.
EMPTY: dict[str, str] = {
    "remote_job_system_credentials_expiry_timestamp_seconds": "what the simulated systems take does not end",
    "remote_job_system_rate_limit_remaining": "no simulated system tells how many calls it allows",
    "remote_job_system_read_error_info": "every simulated system can be read",
    "exporter / Firing alerts": "nothing is wrong with the exporter",
    "exporter / Losses over time": "nothing is lost",
    "job / Durations of runs B": "no run lasts half of what is expected",
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
        return {
            self.name,
            f"{self.name} {self.target.ref}",
            *(metric(one) for one in selectors(self.target.expr)),
        }


def ask(grafana: Grafana, asked: Asked, settings: list[Values]) -> None:
    """Asks with one setting after the other, until one answers."""
    asked.wrong = "answers nothing"
    for values in settings:
        if series := grafana.answers(asked.target, values):
            # Two jobs may have one name.
            legend = asked.target.legend.replace("{{job_name}}", "{{job_name}} {{job_id}}")
            names = [named(legend, one["metric"]) for one in series] if "{{" in legend else []
            twice = [name for name, lines in Counter(names).items() if lines > 1]
            asked.wrong = f"several lines are called {twice}" if twice else ""
            return


def queries() -> list[Asked]:
    return [Asked(one, *query) for one in load_all() for query in one.queries]


def silent_variables(grafana: Grafana) -> list[str]:
    """Variables that offer nothing to choose, those before them being set to what they offer first."""
    silent = []
    for dashboard in load_all():
        settings = grafana.settings(dashboard) or [TIMES]
        asked = [one for one in dashboard.variables if one.type == "query"]
        names = [one.name for one in asked if not grafana.choices(one, settings[0])]
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
