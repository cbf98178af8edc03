"""Our own rules for dashboards, beside those of the linter."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import Any

import promql_parser as promql

from tests.command import ROOT
from tests.grafana.dashboards import (
    BUILT_IN,
    Dashboard,
    Panel,
    Variable,
    found,
    source,
    texts,
    variables_in,
)
from tests.grafana.linter import OWN, Finding, Rule, inner_query, metric, parsed, selectors
from tests.grafana.series import Known, Labels, Tell, labels_of

PAGES = "https://github.com/remote-job-exporter/remote-job-exporter/blob/main/"
# Everything else is chosen by the ad hoc filters.
_LABELS = {"datasource": "Data source", "job": "Scrape job", "filters": "Filters"}
_SYSTEM = {"system": "System"}
_LABELS_OF = {"job": _SYSTEM | {"job_id": "Job"}, "exporter": {"instance": "Instance"}}
_ONE_VALUED = {("job", "system"), ("job", "job_id")}
_OVER_TIME = {"timeseries", "state-timeline", "status-history", "heatmap", "histogram"}
_AT_ONCE = {"stat", "gauge", "bargauge", "table", "barchart", "piechart"}
_ABOUT_EXPORTER = "RemoteJobExporter"
_CORE = frozenset(_OVER_TIME | _AT_ONCE | {"row", "text", "dashlist"})
_TIMELINES = frozenset({"state-timeline", "status-history"})
_WITH_LEGEND = frozenset({"timeseries", "barchart", "piechart"})
_LINK = re.compile(r"(?:^|[\s(\"'])/?d/([^/?#\s)\"']+)([^\s)\"']*)")
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_FIELD = re.compile(r"__data\.fields(?:\.(\w+)|\[[\"']?([^\]\"']+)[\"']?\])")
_LABEL = re.compile(r"__field\.labels(?:\.(\w+)|\[[\"']?([^\]\"']+)[\"']?\])")
_NUMBERED = re.compile(r"(Time|Value)( #\w+| \d+)?")


def identity(dashboard: Dashboard) -> Iterator[Finding]:
    model = dashboard.model
    if dashboard.uid != f"remote-job-{dashboard.name}" or not 8 <= len(dashboard.uid) <= 40:
        yield Finding(f"uid {dashboard.uid}")
    if "remote-jobs" not in model.get("tags", []):
        yield Finding("lacks the tag remote-jobs")
    if model.get("schemaVersion") != 39:
        yield Finding(f"schemaVersion {model.get('schemaVersion')}")
    for key in ("__inputs", "__requires", "apiVersion", "spec", "elements"):
        if key in model:
            yield Finding(f"has {key}, so it is no Classic dashboard for provisioning")
    if model.get("id") is not None:
        yield Finding("has an id, which belongs to one Grafana")


def panel_types(dashboard: Dashboard) -> Iterator[Finding]:
    for panel in dashboard.panels:
        if panel.type not in _CORE:
            yield Finding(f"{panel.type} is no core panel", panel.title)


def unique(dashboard: Dashboard) -> Iterator[Finding]:
    yield from (Finding(f"panel id {one} twice") for one in _twice(panel.id for panel in dashboard.panels))
    titles = (panel.title for panel in dashboard.panels if panel.type != "text")
    yield from (Finding("title twice", one) for one in _twice(titles))
    for panel in dashboard.panels:
        refs = [target.ref for target in panel.targets]
        yield from (Finding(f"refId {one} twice", panel.title) for one in _twice(refs))
        if "" in refs:
            yield Finding("a query without refId", panel.title)


def _twice(values: Iterable[Any]) -> list[Any]:
    return [value for value, times in Counter(values).items() if times > 1]


def grid(dashboard: Dashboard) -> Iterator[Finding]:
    # Panels of a collapsed row lie where they will be once it is open, over those that follow it.
    taken: dict[tuple[int | None, int, int], str] = {}
    for panel in dashboard.panels:
        place = panel.model["gridPos"]
        x, y, w, h = (place[key] for key in "xywh")
        if x < 0 or y < 0 or w < 1 or h < 1 or x + w > 24:
            yield Finding(f"lies outside the 24 columns: {place}", panel.title)
        cells = [(panel.group, column, line) for column in range(x, x + w) for line in range(y, y + h)]
        for other in sorted({taken[cell] for cell in cells if cell in taken}):
            yield Finding(f"overlaps {other}", panel.title)
        taken.update(dict.fromkeys(cells, panel.title))


def own_data_source(dashboard: Dashboard) -> Iterator[Finding]:
    asking = [
        *((target.model, panel.title) for panel, target in dashboard.queries),
        *((one.model, one.name) for one in dashboard.variables if one.type in {"query", "adhoc"}),
        *((one, one["name"]) for one in dashboard.annotations),
    ]
    for model, where in asking:
        if source(model) not in OWN:
            yield Finding(f"{where} asks {source(model) or 'the default data source'}")
    for one in dashboard.model["annotations"]["list"]:
        if one.get("builtIn") and source(one) not in {"grafana", "-- Grafana --"}:
            yield Finding("the built-in annotations ask another data source")


def empty_state(dashboard: Dashboard) -> Iterator[Finding]:
    for panel in dashboard.shown:
        # Stats and timelines say it otherwise, see missing_data; bars in either way.
        says = str(panel.defaults.get("noValue", "")).strip() or panel.special("null+nan")
        if panel.type not in {"stat", "gauge", *_TIMELINES} and not says:
            yield Finding("does not say why it is empty", panel.title)


def colours_with_text(dashboard: Dashboard) -> Iterator[Finding]:
    for panel in dashboard.shown:
        yield from (Finding(text, panel.title) for text in _colours_alone(panel))


def _colours_alone(panel: Panel) -> Iterator[str]:
    mappings = [panel.defaults.get("mappings", []), *panel.overridden("mappings")]
    # Grafana shows the value where a mapping has no text; in a timeline that is a code.
    own = "" if panel.type in _TIMELINES else "the value"
    yield from (
        "a mapping to a colour without text" for one in _coloured(mappings) if not one.get("text", own)
    )
    options = panel.options
    if options.get("textMode") == "none" or options.get("valueMode") == "hidden":
        yield "a colour without its value"
    legend = options.get("legend", {}).get("showLegend")
    if panel.type in _WITH_LEGEND and not legend:
        yield "colours without a legend"
    if panel.type in _TIMELINES:
        if not legend and options.get("showValue") == "never":
            yield "colours with neither value nor legend"
        # With this mode Grafana shows thresholds and leaves the words of the mappings out.
        if panel.defaults.get("color", {}).get("mode") == "thresholds":
            yield "colours by threshold, which hide the words"


def _coloured(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "color" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _coloured(inner)


def variables(dashboard: Dashboard) -> Iterator[Finding]:
    wanted = _LABELS | _LABELS_OF.get(dashboard.name, _SYSTEM)
    yield from (Finding(f"no variable {name}") for name in sorted(wanted.keys() - dashboard.names))
    yield from (Finding(f"a variable {name}") for name in sorted(dashboard.names - wanted.keys()))
    used = {name for text in texts(dashboard.model) for name in variables_in(text)}
    for name in sorted(used - dashboard.names - BUILT_IN):
        yield Finding(f"${name} is no variable of it")
    for one in dashboard.variables:
        if one.model.get("label") != wanted.get(one.name):
            yield Finding(f"variable {one.name} has the label {one.model.get('label')}")
        several = one.type == "query" and (dashboard.name, one.name) not in _ONE_VALUED
        if bool(one.model.get("multi")) != several or bool(one.model.get("includeAll")) != several:
            yield Finding(f"variable {one.name} offers {'one value' if several else 'several'}")
        if one.model.get("includeAll") and one.all_value != ".+":
            yield Finding(f"variable {one.name} has not .+ for all")
    if [one.name for one in dashboard.variables if one.type == "adhoc"] != ["filters"]:
        yield Finding("not one ad hoc filter")


def variables_act(known: Known, dashboard: Dashboard) -> Iterator[Finding]:
    """Each variable chooses among all series that have its label, on every panel and annotation."""
    asked = [(panel.title, target.expr) for panel, target in dashboard.queries]
    asked += [(one["name"], one["expr"]) for one in dashboard.annotations]
    chosen = [one for one in dashboard.variables if one.type == "query"]
    for title, expression in asked:
        for selector in selectors(expression):
            name = metric(selector)
            for one in chosen:
                if one.name in known.get(name, ()) and not _chooses(one, selector):
                    yield Finding(f"{one.name} does not act on {selector}", title, name)


def _chooses(variable: Variable, selector: promql.VectorSelector) -> bool:
    # Grafana writes several values as a regular expression, a single one as it is.
    operator = promql.MatchOp.Re if variable.model.get("multi") else promql.MatchOp.Equal
    value = f"${variable.name}"
    allowed = [(operator, value)]
    matchers = selector.matchers.matchers
    if metric(selector).startswith("ALERTS"):
        # An alert about something larger lacks the label; one about the exporter has neither system nor job.
        allowed += [(promql.MatchOp.Re, f"{value}|"), (promql.MatchOp.Equal, "")]
        if any(one.name == "alertname" and one.value.startswith(_ABOUT_EXPORTER) for one in matchers):
            return True
    return any(one.name == variable.name and (one.op, one.value) in allowed for one in matchers)


def dashboard_links(dashboards: Collection[Dashboard], dashboard: Dashboard) -> Iterator[Finding]:
    links = [one for one in dashboard.model.get("links", []) if one["type"] == "dashboards"]
    if not any("remote-jobs" in one["tags"] for one in links):
        yield Finding("no links to the other dashboards by tag")
    for one in links:
        if not (one.get("keepTime") and one.get("includeVars")):
            yield Finding("links by tag that lose time or variables")
    for text in texts(dashboard.model):
        for uid, rest in _LINK.findall(text):
            yield from (Finding(f"{what}: {text}") for what in _link(dashboards, dashboard, uid, rest))


def _link(dashboards: Collection[Dashboard], dashboard: Dashboard, uid: str, rest: str) -> Iterator[str]:
    yield from link_errors(dashboards, uid, rest)
    if "__url_time_range" not in rest:
        yield "a link that loses the time"
    # Grafana then takes both values: the one that was meant, and all.
    named = {name for name in url_variables(rest) if name in dashboard.names}
    if "__all_variables" in rest and named:
        yield f"{sorted(named)} twice, by name and among all"


def url_variables(address: str) -> set[str]:
    """Names of the variables that an address sets."""
    return {*re.findall(r"\bvar-(\w+)", address), *re.findall(r"\$\{(\w+):queryparam\}", address)}


def link_errors(dashboards: Collection[Dashboard], uid: str, rest: str) -> Iterator[str]:
    """What is wrong with an address of a dashboard, `rest` being what follows its uid."""
    there = {one.uid: one.names for one in dashboards}
    if uid not in there:
        yield f"there is no dashboard {uid}"
    for name in sorted(url_variables(rest) - there.get(uid, set())):
        yield f"{uid} has no variable {name}"


def page_links(dashboard: Dashboard) -> Iterator[Finding]:
    for text in texts(dashboard.model):
        for address in re.findall(r"https?://[^\s)\"']+", text):
            if not page_exists(address):
                yield Finding(f"no page of ours: {address}")


def page_exists(address: str) -> bool:
    """Whether it is a page of the checkout; one named by a variable, whether its folder is there."""
    path = address.removeprefix(PAGES).partition("#")[0]
    if "$" in path:
        path = path[: path.index("$")].rpartition("/")[0]
    return address.startswith(PAGES) and (ROOT / path).exists()


def series(known: Known, dashboard: Dashboard) -> Iterator[Finding]:
    """Metrics and labels that nobody exports or records."""
    asked = [(panel.title, target.ref, target.expr) for panel, target in dashboard.queries]
    asked += [("", one["name"], one["expr"]) for one in dashboard.annotations]
    asked += [("", one.name, inner_query(one) or "") for one in dashboard.variables if one.type == "query"]
    for title, ref, expression in asked:
        yield from _unknown(known, expression, title, ref)


def _unknown(known: Known, expression: str, title: str, ref: str) -> Iterator[Finding]:
    told: list[Finding] = []
    _labels(known, expression, lambda name, text: told.append(Finding(f"{ref}: {text}", title, name)))
    yield from told


def _labels(known: Known, expression: str, tell: Tell = lambda _name, _text: None) -> Labels:
    try:
        return labels_of(parsed(expression), known, tell)
    except ValueError:
        return frozenset()  # the rule about PromQL tells


def legends(known: Known, dashboard: Dashboard) -> Iterator[Finding]:
    """Legends, fields and links of labels that the answer does not have."""
    for panel in dashboard.shown:
        labels = frozenset[str]().union(*(_labels(known, target.expr) for target in panel.targets))
        for target in panel.targets:
            lost = {*_PLACEHOLDER.findall(target.legend)} - _labels(known, target.expr)
            yield from (Finding(f"{target.ref} has no {one} for its legend", panel.title) for one in lost)
        mentioned = "\n".join(texts(panel.model))
        lost = {one or other for one, other in _LABEL.findall(mentioned)} - labels
        yield from (Finding(f"there is no label {one}", panel.title) for one in lost)
        lost = {one or other for one, other in _FIELD.findall(mentioned)} | _columns(panel)
        lost = {one for one in lost - labels - _renamed(panel) if not _NUMBERED.fullmatch(one)}
        yield from (Finding(f"there is no field {one}", panel.title) for one in sorted(lost))


def _columns(panel: Panel) -> set[str]:
    """Fields of a table that its transformations and overrides name."""
    if panel.type != "table":
        return set()
    names = {
        name for key in ("renameByName", "indexByName") for one in found(panel.model, key) for name in one
    }
    overrides = panel.model["fieldConfig"].get("overrides", [])
    return names | {one["matcher"]["options"] for one in overrides if one["matcher"]["id"] == "byName"}


def _renamed(panel: Panel) -> set[str]:
    transformations = panel.model.get("transformations", [])
    names = {name for one in found(transformations, "renameByName") for name in one.values()}
    return names | {*found(transformations, "alias")}


def conventions(dashboards: Collection[Dashboard], known: Known) -> dict[str, Rule]:
    """The rules, for dashboards that link to these and ask for these series."""
    return {
        "identity": identity,
        "panel-types": panel_types,
        "unique": unique,
        "grid": grid,
        "data-source": own_data_source,
        "empty-state": empty_state,
        "colours-with-text": colours_with_text,
        "variables": variables,
        "variables-act": partial(variables_act, known),
        "dashboard-links": partial(dashboard_links, dashboards),
        "page-links": page_links,
        "series": partial(series, known),
        "legends": partial(legends, known),
    }
