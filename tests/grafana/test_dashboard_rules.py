"""Each rule for dashboards tells of what it is for: a good dashboard, with one thing broken."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.grafana.conventions import conventions
from tests.grafana.dashboards import Dashboard
from tests.grafana.linter import LINTER, Finding
from tests.grafana.looks import LOOKS, answers, width
from tests.grafana.sample import JOBS, SOURCE, sample
from tests.grafana.sample import variable as a_variable
from tests.grafana.series import everything

Break = Callable[[dict[str, Any]], object]
"""Takes a model and breaks something in it."""
KNOWN = everything()


def findings(model: dict[str, Any]) -> dict[str, list[Finding]]:
    """What each rule finds, less the rules that find nothing."""
    dashboard = Dashboard("overview", model)
    rules = LINTER | conventions((dashboard,), KNOWN) | LOOKS
    found = {name: list(rule(dashboard)) for name, rule in rules.items()}
    return {name: texts for name, texts in found.items() if texts}


def variable(model: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in model["templating"]["list"] if one["name"] == name)


def panels(model: dict[str, Any]) -> list[dict[str, Any]]:
    """Stat, lines, state timeline, table, bars, heatmap."""
    return [*model["panels"][:2], *model["panels"][2]["panels"]]


def sets(place: str, **values: Any) -> Break:
    """Of a variable, or of a panel by its number."""

    def breaks(model: dict[str, Any]) -> None:
        (panels(model)[int(place)] if place.isdigit() else variable(model, place)).update(values)

    return breaks


def adds_variable(name: str, label: str, **more: Any) -> Break:
    return lambda model: model["templating"]["list"].append(a_variable(name, label, **more))


def annotates(**values: Any) -> Break:
    return lambda model: model["annotations"]["list"][1].update(values)


def drops(place: str, *path: str) -> Break:
    def breaks(model: dict[str, Any]) -> None:
        inner = panels(model)[int(place)] if place.isdigit() else variable(model, place)
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]

    return breaks


def asks(old: str, new: str, number: int = 1) -> Break:
    """In the query of a panel."""

    def breaks(model: dict[str, Any]) -> None:
        target = panels(model)[number]["targets"][0]
        assert old in target["expr"]
        target["expr"] = target["expr"].replace(old, new)

    return breaks


def default(number: int, **values: Any) -> Break:
    """In what holds for all fields of a panel."""
    return lambda model: panels(model)[number]["fieldConfig"]["defaults"].update(values)


def override(number: int, name: str, value: Any, field: str = "Value") -> Break:
    one = {"matcher": {"id": "byName", "options": field}, "properties": [{"id": name, "value": value}]}
    return lambda model: panels(model)[number]["fieldConfig"]["overrides"].append(one)


def top(**values: Any) -> Break:
    return lambda model: model.update(values)


def links_to(address: str) -> Break:
    return default(1, links=[{"title": "x", "url": address}])


def target(expression: str) -> dict[str, Any]:
    return {"refId": "A", "expr": expression, "datasource": SOURCE}


def says_missing(**result: str) -> Break:
    options = {"match": "null+nan", "result": result}
    return default(0, mappings=[{"type": "special", "options": options}])


def mapping(**result: str) -> list[dict[str, Any]]:
    return [{"type": "value", "options": {"1": result}}]


GOOD_LINK = "/d/remote-job-overview?${__url_time_range}"
HARD_CODED = {"type": "prometheus", "uid": "P1809F7CD0C75ACF3"}
# Rule, what it says, what is broken.
BROKEN: tuple[tuple[str, str, Break], ...] = (
    ("template-datasource-rule", "label Data source", sets("datasource", label="Source")),
    ("template-datasource-rule", "offers others", sets("datasource", query="loki")),
    ("template-datasource-rule", "not one data source", lambda model: model["templating"]["list"].pop(0)),
    ("template-job-rule", "one value only", sets("job", multi=False)),
    ("template-job-rule", "label Scrape job", sets("job", label="Job")),
    ("template-job-rule", ".+ for all", sets("job", allValue=".*")),
    ("template-job-rule", "variable data source", sets("job", datasource=HARD_CODED)),
    ("template-job-rule", "is no query", sets("job", type="custom")),
    ("template-instance-rule", "label Instance", adds_variable("instance", "Host")),
    ("template-instance-rule", ".+ for all", adds_variable("instance", "Instance", allValue=None)),
    ("template-label-promql-rule", "can be parsed", sets("job", query="label_values(up{, job)")),
    ("template-label-promql-rule", "can be parsed", sets("job", query="values(up, job)")),
    ("template-on-time-change-reload-rule", "not asked anew", sets("system", refresh=1)),
    ("panel-datasource-rule", "asks P1809F7CD0C75ACF3", sets("1", datasource=HARD_CODED)),
    ("panel-datasource-rule", "the default data source", drops("2", "datasource")),
    ("panel-title-description-rule", "no title", sets("0", title=" ")),
    ("panel-title-description-rule", "no description", drops("3", "description")),
    ("panel-units-rule", "no unit", drops("0", "fieldConfig", "defaults", "unit")),
    ("panel-units-rule", "unit parsecs", default(1, unit="parsecs")),
    ("panel-units-rule", "unit parsecs", override(3, "unit", "parsecs")),
    ("panel-no-targets-rule", "asks nothing", sets("0", targets=[])),
    ("target-promql-rule", "invalid promql", asks("sum", "summ")),
    ("target-promql-rule", "unclosed", asks("rate(", "rate((")),
    ("target-promql-rule", "expected type matrix", asks("[$__rate_interval]", "")),
    ("target-rate-interval-rule", "fixed range", asks("$__rate_interval", "5m")),
    ("target-rate-interval-rule", "fixed range", asks("$__rate_interval", "$__interval")),
    ("target-job-rule", "lacks job", asks('job=~"$job", ', "")),
    ("target-job-rule", "lacks job", asks('job=~"$job", ', 'job="$job", ')),
    ("target-job-rule", "up{}", asks("remote_job_up", "up and remote_job_up", 0)),
    ("target-instance-rule", "A lacks instance", adds_variable("instance", "Instance")),
    ("target-counter-agg-rule", "as it is", asks("rate(", "max_over_time(")),
    ("target-counter-agg-rule", "as it is", asks("remote_job_up", "remote_job_runs_finished_total", 0)),
    ("uneditable-dashboard", "edited", top(editable=True)),
    ("uneditable-dashboard", "edited", lambda model: model.pop("editable")),
    ("identity", "uid overview", top(uid="overview")),
    ("identity", "remote-jobs", top(tags=[])),
    ("identity", "schemaVersion 42", top(schemaVersion=42)),
    ("identity", "__inputs", top(__inputs=[])),
    ("identity", "an id", top(id=7)),
    ("panel-types", "no core panel", sets("1", type="grafana-polystat-panel")),
    ("unique", "id 1 twice", sets("1", id=1)),
    ("unique", "id 1 twice", sets("2", id=1)),
    ("unique", "title twice", sets("3", title="Panel 1")),
    (
        "unique",
        "refId A twice",
        lambda model: panels(model)[0]["targets"].append(panels(model)[0]["targets"][0]),
    ),
    ("grid", "overlaps Panel 1", sets("1", gridPos={"x": 11, "y": 3, "w": 12, "h": 4})),
    ("grid", "outside the 24", sets("1", gridPos={"x": 13, "y": 0, "w": 12, "h": 4})),
    (
        "data-source",
        "Panel 2 asks P1809F7CD0C75ACF3",
        lambda model: panels(model)[1]["targets"][0].update(datasource=HARD_CODED),
    ),
    (
        "data-source",
        "Panel 2 asks the default",
        lambda model: panels(model)[1]["targets"][0].pop("datasource"),
    ),
    ("data-source", "system asks", sets("system", datasource=HARD_CODED)),
    ("data-source", "filters asks", drops("filters", "datasource")),
    (
        "data-source",
        "Failures asks Prometheus",
        annotates(datasource="Prometheus"),
    ),
    ("empty-state", "why it is empty", drops("3", "fieldConfig", "defaults", "noValue")),
    ("colours-with-text", "without text", default(2, mappings=mapping(color="red"))),
    ("colours-with-text", "without text", override(3, "mappings", mapping(color="red", text=""))),
    ("colours-with-text", "by threshold", default(2, color={"mode": "thresholds"})),
    ("colours-with-text", "without its value", sets("0", options={"textMode": "none"})),
    ("colours-with-text", "without a legend", sets("1", options={"legend": {"showLegend": False}})),
    ("colours-with-text", "neither value nor legend", sets("2", options={"showValue": "never"})),
    ("variables", "no variable filters", lambda model: model["templating"]["list"].pop()),
    ("variables", "$systems is no", asks("$system", "$systems")),
    ("variables", "no variable system", sets("system", name="vendor")),
    ("variables", "a variable provider", adds_variable("provider", "Provider")),
    ("variables", "label Sys", sets("system", label="Sys")),
    ("variables", "offers one value", sets("system", multi=False)),
    ("variables", "offers one value", sets("system", includeAll=False)),
    ("variables", ".+ for all", sets("system", allValue="")),
    ("variables-act", "system does not act on remote_job_info", asks(', system=~"$system"', "", 3)),
    ("variables-act", "on ALERTS", sets("0", targets=[target("ALERTS")])),
    ("variables-act", "system does not act", asks('system=~"$system"', 'system="$system"')),
    ("variables-act", "job does not act", asks('job=~"$job"', 'job=~"$job|"')),
    ("variables-act", "system does not act", annotates(expr='remote_job_up{job=~"$job"}')),
    ("dashboard-links", "by tag", top(links=[])),
    ("dashboard-links", "lose time", lambda model: model["links"][0].update(keepTime=False)),
    ("dashboard-links", "lose time", lambda model: model["links"][0].update(includeVars=False)),
    ("dashboard-links", "no dashboard remote-job-jobs", links_to("/d/remote-job-jobs?${__url_time_range}")),
    ("dashboard-links", "loses the time", links_to("/d/remote-job-overview?var-system=x")),
    ("dashboard-links", "no variable job_id", links_to(f"{GOOD_LINK}&var-job_id=x")),
    ("dashboard-links", "no variable job_id", links_to(f"{GOOD_LINK}&${{job_id:queryparam}}")),
    ("dashboard-links", "twice, by name", links_to(f"{GOOD_LINK}&var-system=x&${{__all_variables}}")),
    ("page-links", "no page of ours", links_to("https://example.com/wiki")),
    (
        "page-links",
        "no page of ours",
        links_to("https://github.com/remote-job-exporter/remote-job-exporter/blob/main/docs/none.md"),
    ),
    ("series", "no metric remote_job_upp", asks("remote_job_up", "remote_job_upp", 0)),
    ("series", "by (reason)", asks("sum by (system)", "sum by (system, reason)")),
    ("series", "no label state", asks('system=~"$system"', 'system=~"$system", state="x"')),
    ("series", "(job_idd)", asks("remote_job_info", "remote_job_up * on (job_idd) remote_job_info", 3)),
    ("series", "no metric remote_job_inf", sets("job", query="label_values(remote_job_inf, job)")),
    (
        "series",
        "no metric restarts",
        annotates(expr="changes(restarts[5m])"),
    ),
    ("legends", "no code", lambda model: panels(model)[1]["targets"][0].update(legendFormat="{{code}}")),
    ("legends", "no label systems", links_to(f"{GOOD_LINK}&var-system=${{__field.labels.systems}}")),
    ("legends", "no field systems", links_to(f"{GOOD_LINK}&var-system=${{__data.fields.systems}}")),
    ("legends", "no field Job name", override(3, "unit", "s", field="Job name")),
    (
        "legends",
        "no field x",
        lambda model: panels(model)[3]["transformations"][0]["options"]["renameByName"].update(x="y"),
    ),
    ("heatmap-steps", "no steps", sets("5", options={"color": {"steps": 0}})),
    ("heatmap-steps", "no steps", sets("5", options={})),
    ("missing-data", "has noValue", default(0, noValue="No data")),
    ("missing-data", "has noValue", default(2, noValue="No data")),
    ("missing-data", "no mapping", default(0, mappings=mapping(text="fine", color="green"))),
    ("missing-data", "no mapping", sets("1", type="gauge")),
    ("missing-data", "without text", says_missing(text=" ", color="#6C7A89")),
    ("missing-data", "colour green", says_missing(text="no data", color="green")),
    ("missing-data", "colour #56A64B", says_missing(text="no data", color="#56A64B")),
    ("missing-data", "colour #222222", says_missing(text="no data", color="#222222")),
    (
        "titles-fit",
        "78 pixels, 37 are seen",
        sets("0", title="Unreadable", gridPos={"x": 0, "y": 0, "w": 3, "h": 4}),
    ),
    ("heads-fit", "the head Job has 26 pixels, 6 are seen", override(3, "custom.width", 40, field="Job")),
    ("bar-text", "None", sets("4", options={})),
    ("bar-text", "'titleSize': 8", sets("4", options={"text": {"titleSize": 8, "valueSize": 14}})),
    ("ranked", "not sorted", asks("sort(", "(", 4)),
    ("ranked", "not sorted", drops("3", "options", "sortBy")),
    ("quiet-annotations", "Failures is on", annotates(enable=True)),
    ("quiet-annotations", "Failures is on", lambda model: model["annotations"]["list"][1].pop("enable")),
    ("no-recordings", "recording rule", asks("remote_job_up", "remote_job:up:max", 0)),
    ("no-recordings", "recording rule", annotates(expr="remote_job:last_failure:max")),
    ("no-recordings", "recording rule", sets("job", query="label_values(remote_job:up:max, job)")),
    ("never-empty", "no row", asks(" or on () ", " and on () ", 2)),
    ("never-empty", "no row", lambda model: panels(model)[3]["targets"].pop()),
)
# Expressions of a panel that has something to show whatever Prometheus has, and of one that may not.
ANSWERS = (
    ("vector(1)",),
    ("up or on () vector(0)",),
    ('sum(up) or label_replace(vector(0), "a", "b", "", "")',),
    ("(count(up or vector(0)) > bool 1) * 2",),
    ("up", "vector(0) unless on () up"),
    ("up == 0 or up == 1", "vector(0) unless on () (up == 1)"),
    ("up or on () (vector(0) unless on () last_over_time(up[$__range] @ end()))",),
)
MAY_BE_EMPTY = (
    ("up",),
    ("up or absent(up)",),
    ("vector(1) > 2",),
    ("vector(1) and up",),
    ("vector(1) * up",),
    ("up == 0", "vector(0) unless on () up"),
    ("up or on () (vector(0) unless on () last_over_time(up[$__range]))",),
    ('up or on () (vector(0) unless on () last_over_time(up{job="a"}[$__range] @ end()))',),
    ("rate(up[5m])",),
    ("histogram_quantile(0.9, up)",),
)


def test_a_good_dashboard_breaks_no_rule() -> None:
    assert findings(sample()) == {}


@pytest.mark.parametrize(
    ("rule", "says", "breaks"), BROKEN, ids=[f"{number}-{rule}" for number, (rule, _, _) in enumerate(BROKEN)]
)
def test_a_rule_tells_what_is_broken(rule: str, says: str, breaks: Break) -> None:
    model = sample()
    breaks(model)
    assert says in "\n".join(finding.text for finding in findings(model).get(rule, []))


def test_each_rule_is_seen_to_tell_something() -> None:
    assert {rule for rule, _, _ in BROKEN} == {*LINTER, *conventions((), {}), *LOOKS}


def test_an_override_of_what_exists_is_fine() -> None:
    model = sample()
    override(3, "unit", "s", field="Job")(model)
    default(3, links=[{"title": "x", "url": f"{GOOD_LINK}&var-system=${{__data.fields.system}}"}])(model)
    assert findings(model) == {}


def test_value_mappings_and_words_need_no_unit() -> None:
    model = sample()
    for number in (0, 2):
        drops(str(number), "fieldConfig", "defaults", "unit")(model)
    sets("0", options={"reduceOptions": {"fields": "/^job_name$/"}})(model)
    assert findings(model) == {}


def test_a_panel_answers_always_or_may_be_empty() -> None:
    assert [one for one in ANSWERS if not answers([*one])] == []
    assert [one for one in MAY_BE_EMPTY if answers([*one])] == []


def test_alerts_about_something_larger_are_shown_with_those_of_what_is_chosen() -> None:
    model = sample()
    larger = 'ALERTS{job=~"$job|", system=~"$system|"}'
    own = 'ALERTS{job=~"$job", alertname=~"RemoteJobExporter.+"}'
    sets("0", targets=[target(f"count({larger}) + count({own})")])(model)
    assert "variables-act" not in findings(model)


def test_a_counter_may_decide_which_series_are_shown() -> None:
    counter = f"remote_job_runs_finished_total{{{JOBS}}}"
    model = sample()
    sets("0", targets=[target(f"max(remote_job_up{{{JOBS}}} and {counter} unless ({counter}))")])(model)
    assert findings(model) == {}
    sets("0", targets=[target(f"max({counter} and remote_job_up{{{JOBS}}})")])(model)
    assert "target-counter-agg-rule" in findings(model)


@pytest.mark.parametrize(
    ("text", "pixels"),
    [
        ("Exporters up", 87),
        ("Dropped", 59),
        ("Items", 38),
        ("Credentials expire", 124),
        ("Config accepted", 113),
    ],
)
def test_widths_are_those_that_grafana_shows(text: str, pixels: int) -> None:
    assert width(text) == pytest.approx(pixels, rel=0.05)


def test_a_head_without_filter_and_order_has_the_room_of_both() -> None:
    model = sample()
    override(3, "custom.width", 40, field="Job")(model)
    override(3, "custom.filterable", value=False, field="Job")(model)
    drops("3", "options", "sortBy")(model)
    assert "heads-fit" not in findings(model)
