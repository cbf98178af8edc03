"""Asks a Prometheus what the panels and variables of dashboards ask, as Grafana does."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.grafana.dashboards import Dashboard, Target, Variable, expand
from tests.grafana.linter import QUERY
from tests.prometheus import Prometheus

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


@dataclass(frozen=True)
class Grafana:
    """Asks as Grafana does, of one Prometheus."""

    prometheus: Prometheus
    step: int = STEP
    errors: list[str] = field(default_factory=list)

    def api(self, path: str, **parameters: Any) -> Any:
        try:
            return self.prometheus.api(path, **parameters)
        except AssertionError as error:
            self.errors.append(f"{parameters}: {error}")
            return []

    def answers(self, target: Target, values: Values) -> list[Any]:
        """Series that have a number."""
        return [one for one in self.series(target, values) if _has_number(one)]

    def series(self, target: Target, values: Values) -> list[Any]:
        """Each with its labels, none for a scalar, and its values."""
        query, now = expand(target.expr, values), time.time()
        if target.instant:
            answer = self.api("query", query=query, time=now)
        else:
            answer = self.api("query_range", query=query, start=now - WINDOW, end=now, step=self.step)
        if answer and answer["resultType"] == "scalar":
            return [{"metric": {}, "value": answer["result"]}]
        return list(answer and answer["result"])

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
