"""The fifteen rules of Grafana's dashboard-linter about Prometheus, and ours that go further.

Each takes a dashboard and tells what is wrong with it. Two differ from the linter's: the label of the
variable `job` is Scrape job, for jobs are something else here, and only one dashboard has `instance`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, pairwise

import promql_parser as promql

from tests.grafana.dashboards import Dashboard, Variable, expand, source


@dataclass(frozen=True)
class Finding:
    """What is wrong, where; `metric` where it is about one."""

    text: str
    panel: str = ""
    metric: str = ""


Rule = Callable[[Dashboard], Iterable[Finding]]
Parents = tuple[promql.Expr, ...]

OWN = frozenset({"$datasource", "${datasource}"})
# No range that anybody writes: so it is known again after parsing.
RATE_INTERVAL = timedelta(seconds=31557)
_DURATIONS = {"__rate_interval": "31557s", "__interval": "31s", "__range": "7211s", "__interval_ms": "31000"}
_NUMBERS = {"__range_s": "7211", "__range_ms": "7211000", "__from": "1000", "__to": "2000"}
_PLACE = _DURATIONS | _NUMBERS

# Those that fit what is shown here, of the many that the linter knows.
_TIMES = {"s", "m", "ms", "dtdurations", "dthms", "dateTimeFromNow", "dateTimeAsIso", "dateTimeAsLocal"}
_AMOUNTS = {
    "none",
    "short",
    "percent",
    "percentunit",
    "bytes",
    "reqps",
    "ops",
    "cps",
    "string",
    "bool_yes_no",
}
_UNITS = frozenset(_TIMES | _AMOUNTS)
QUERY = re.compile(r"(label_names|label_values|metrics|query_result)\((.*)\)", re.DOTALL)


def parsed(expression: str) -> promql.Expr:
    """The expression, with something in place of variables outside quotes.

    Raises:
        ValueError: it is not PromQL.
    """
    # What is in quotes stays: that a matcher compares with $job can be seen in no other way.
    parts = expression.split('"')
    parts[::2] = [expand(part, _PLACE) for part in parts[::2]]
    return promql.parse('"'.join(parts))


def nodes(expression: str) -> list[tuple[promql.Expr, Parents]]:
    """Every part of a query with what it is in, outermost first; none where it is no PromQL."""
    seen: list[tuple[promql.Expr, Parents]] = []
    path: list[promql.Expr] = []

    def enter(node: promql.Expr) -> None:
        seen.append((node, tuple(path)))
        path.append(node)

    def leave(_: promql.Expr) -> None:
        path.pop()

    try:
        promql.walk(parsed(expression), enter, leave)
    except ValueError:
        return []  # another rule's business
    return seen


def selectors(expression: str) -> list[promql.VectorSelector]:
    return [node for node, _ in nodes(expression) if isinstance(node, promql.VectorSelector)]


def metric(selector: promql.VectorSelector) -> str:
    return selector.name or ""


def template_datasource(dashboard: Dashboard) -> Iterator[Finding]:
    sources = [one for one in dashboard.variables if one.type == "datasource"]
    if [one.name for one in sources] != ["datasource"]:
        yield Finding("not one data source variable, named datasource")
    for one in sources:
        if one.model.get("label") != "Data source":
            yield Finding("its data source variable has not the label Data source")
        if one.query != "prometheus":
            yield Finding("its data source variable offers others than Prometheus")


def template_required(name: str, label: str) -> Rule:
    def rule(dashboard: Dashboard) -> Iterator[Finding]:
        for one in (one for one in dashboard.variables if one.name == name):
            holds = {
                "is no query": one.type == "query",
                "does not use the variable data source": source(one.model) in OWN,
                f"has not the label {label}": one.model.get("label") == label,
                "takes one value only": one.model.get("multi") is True,
                "has not .+ for all": one.all_value == ".+",
            }
            yield from (Finding(f"variable {name} {what}") for what, right in holds.items() if not right)

    return rule


def inner_query(variable: Variable) -> str | None:
    """The PromQL in the query of a variable, ``""`` where it needs none, ``None`` where it is wrong."""
    call = QUERY.fullmatch(variable.query.strip())
    if call is None:
        return None
    # Either label_values(label) or label_values(selector, label).
    if call[1] == "label_values":
        return call[2].rpartition(",")[0].strip()
    return call[2] if call[1] == "query_result" else ""


def template_label_promql(dashboard: Dashboard) -> Iterator[Finding]:
    for one in (one for one in dashboard.variables if one.type == "query"):
        inner = inner_query(one)
        if inner is None or (inner and not nodes(inner)):
            yield Finding(f"variable {one.name} has no query that can be parsed: {one.query}")


def template_on_time_change_reload(dashboard: Dashboard) -> Iterator[Finding]:
    for one in dashboard.variables:
        if one.type == "query" and one.model.get("refresh") != 2:
            yield Finding(f"variable {one.name} is not asked anew when the time range changes")


# The linter looks at the panels of a few types; these rules look at all that show data.
def panel_datasource(dashboard: Dashboard) -> Iterator[Finding]:
    for panel in dashboard.shown:
        if source(panel.model) not in OWN:
            yield Finding(f"asks {source(panel.model) or 'the default data source'}", panel.title)


def panel_title_description(dashboard: Dashboard) -> Iterator[Finding]:
    for panel in dashboard.shown:
        for key in ("title", "description"):
            if not panel.model.get(key, "").strip():
                yield Finding(f"no {key}", panel.title)


def panel_units(dashboard: Dashboard) -> Iterator[Finding]:
    for panel in dashboard.shown:
        units = [*panel.overridden("unit"), *filter(None, [panel.defaults.get("unit")])]
        yield from (Finding(f"unit {unit}", panel.title) for unit in units if unit not in _UNITS)
        mappings = [*panel.defaults.get("mappings", []), *chain(*panel.overridden("mappings"))]
        # A word for what is missing tells nothing of the values that are there.
        mapped = any(one["type"] != "special" for one in mappings)
        words = panel.options.get("reduceOptions", {}).get("fields")
        if not (units or mapped or words):
            yield Finding("no unit", panel.title)


def panel_no_targets(dashboard: Dashboard) -> Iterator[Finding]:
    for panel in dashboard.shown:
        if not panel.targets:
            yield Finding("asks nothing", panel.title)


def target_promql(dashboard: Dashboard) -> Iterator[Finding]:
    for panel, target in dashboard.queries:
        try:
            parsed(target.expr)
        except ValueError as error:
            yield Finding(f"{target.ref} is no PromQL: {error}: {target.expr}", panel.title)


def target_rate_interval(dashboard: Dashboard) -> Iterator[Finding]:
    for panel, target in dashboard.queries:
        for node, parents in nodes(target.expr):
            if not isinstance(node, promql.MatrixSelector) or node.range == RATE_INTERVAL:
                continue
            if isinstance(call := parents[-1], promql.Call) and call.func.name in {"rate", "irate"}:
                name = metric(node.vector_selector)
                yield Finding(f"{target.ref} is a rate over a fixed range", panel.title, name)


def target_required(name: str) -> Rule:
    def rule(dashboard: Dashboard) -> Iterator[Finding]:
        for panel, target in dashboard.queries if name in dashboard.names else ():
            for selector in selectors(target.expr):
                matchers = selector.matchers.matchers
                own = [(one.op, one.value) for one in matchers if one.name == name]
                if (promql.MatchOp.Re, f"${name}") not in own:
                    text = f'{target.ref} lacks {name}=~"${name}": {selector}'
                    yield Finding(text, panel.title, metric(selector))

    return rule


def target_counter_agg(dashboard: Dashboard) -> Iterator[Finding]:
    for panel, target in dashboard.queries:
        for node, parents in nodes(target.expr):
            if not isinstance(node, promql.VectorSelector) or not metric(node).endswith("_total"):
                continue
            if not (_is_counted(parents) or _is_condition(node, parents)):
                yield Finding(f"{target.ref} shows a counter as it is: {node}", panel.title, metric(node))


# The linter misses counters that have matchers, for it looks at the end of the whole selector.
def _is_counted(parents: Parents) -> bool:
    if len(parents) < 2 or not isinstance(parents[-1], promql.MatrixSelector):
        return False
    call = parents[-2]
    return isinstance(call, promql.Call) and call.func.name in {"rate", "irate", "increase"}


def _is_condition(node: promql.Expr, parents: Parents) -> bool:
    """Whether it only decides which of other series are shown."""
    return any(
        isinstance(outer, promql.BinaryExpr)
        and str(outer.op) in {"and", "unless"}
        and str(outer.rhs) == str(inner)
        for outer, inner in pairwise((*parents, node))
    )


def uneditable(dashboard: Dashboard) -> Iterator[Finding]:
    if dashboard.model.get("editable") is not False:
        yield Finding("can be edited in place")


LINTER: dict[str, Rule] = {
    "template-datasource-rule": template_datasource,
    "template-job-rule": template_required("job", "Scrape job"),
    "template-instance-rule": template_required("instance", "Instance"),
    "template-label-promql-rule": template_label_promql,
    "template-on-time-change-reload-rule": template_on_time_change_reload,
    "panel-datasource-rule": panel_datasource,
    "panel-title-description-rule": panel_title_description,
    "panel-units-rule": panel_units,
    "panel-no-targets-rule": panel_no_targets,
    "target-promql-rule": target_promql,
    "target-rate-interval-rule": target_rate_interval,
    "target-job-rule": target_required("job"),
    "target-instance-rule": target_required("instance"),
    "target-counter-agg-rule": target_counter_agg,
    "uneditable-dashboard": uneditable,
}
