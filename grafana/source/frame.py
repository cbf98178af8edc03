"""What surrounds the panels of every dashboard: variables, annotations, links."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from grafana.source import links
from grafana.source.panels import SOURCE, AnyPanel
from grafana.source.queries import (
    JOB,
    LAST_FAILURE,
    firing_anywhere,
    of_systems,
    own,
    raw,
    recorded,
    selector,
    with_name,
)

Variable = dashboard.QueryVariable | dashboard.DatasourceVariable | dashboard.AdHocVariable
_EXPORTER, _JOB = "remote_job_exporter_build_info", "remote_job_up"
_PLACE = _CLUSTER, _NAMESPACE = 'cluster=~"$cluster"', 'namespace=~"$namespace"'
_SCRAPE_JOB = 'job=~"$job"'


@dataclass(frozen=True)
class Row:
    """A heading and what stands below it, side by side."""

    title: str
    panels: Sequence[AnyPanel]


def framed(
    name: str,
    about: str,
    rows: Sequence[Row],
    annotations: Sequence[dashboard.AnnotationQuery],
    *,
    since: str = "now-6h",
    one_job: bool = False,
) -> model.Dashboard:
    """A dashboard; `one_job` adds the variable that chooses it."""
    board = dashboard.Dashboard(f"Remote jobs / {name.capitalize()}").uid(f"remote-job-{name}")
    board.description(about).tags(["remote-jobs"]).timezone("browser").refresh("1m").time(since, "now")
    board.readonly().tooltip(model.DashboardCursorSync.CROSSHAIR)
    for link in links.between_dashboards():
        board.link(link)
    for variable in _variables(one_job=one_job):
        board.with_variable(variable)
    for annotation in annotations:
        board.annotation(annotation)
    for row in rows:
        board.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            board.with_panel(panel)
    return board.build()


def _variables(*, one_job: bool) -> list[Variable]:
    filters = dashboard.AdHocVariable("filters").label("Filters").datasource(SOURCE)
    variables: list[Variable] = [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _several("cluster", f"label_values({_EXPORTER}, cluster)", everything=".*"),
        _several("namespace", f"label_values({selector(_EXPORTER, _CLUSTER)}, namespace)", everything=".*"),
        _seen("job", selector(_EXPORTER, *_PLACE), selector(_JOB, *_PLACE)),
        _seen("instance", selector(_EXPORTER, *_PLACE, _SCRAPE_JOB), selector(_JOB, *_PLACE, _SCRAPE_JOB)),
        _seen("system", raw("remote_job_system_up"), raw(_JOB)),
        _several("provider", f"label_values({of_systems('remote_job_info')}, provider)"),
    ]
    if one_job:
        variables.append(_the_job())
    return [
        *variables,
        filters.description("Any label, such as those that the configuration gives jobs and systems."),
    ]


def _several(name: str, query: str, everything: str = ".+") -> dashboard.QueryVariable:
    variable = _asked(name, query).label(name.title()).multi(multi=True).include_all(include_all=True)
    return variable.all_value(everything).current(model.VariableOption(text="All", value="$__all"))


def _seen(label: str, exporters: str, jobs: str) -> dashboard.QueryVariable:
    """A label that exporters have, also one that is down by now, and jobs that are probed one by one."""
    groups = (f"group by ({label}) ({one})" for one in (f"last_over_time({exporters}[$__range])", jobs))
    return _several(label, f"query_result({' or '.join(groups)})").regex(f'/{label}="([^"]+)"/')


def _the_job() -> dashboard.QueryVariable:
    """Shown by its name, chosen by its id; also a job that is known no more, if it was in the time shown."""
    known = of_systems("remote_job_info", 'provider=~"$provider"')
    variable = _asked("job_id", f"query_result(last_over_time({known}[$__range]))").label("Remote Job")
    return variable.regex('/job_id="(?<value>[^"]+)|job_name="(?<text>[^"]+)/g')


def _asked(name: str, query: str) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(name).query(query).definition(query).datasource(SOURCE)
    variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return variable.sort(model.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)


def marks(*matchers: str) -> list[dashboard.AnnotationQuery]:
    """What explains a bend in a curve: failures, alerts, an exporter that began anew."""
    newest = f"1000 * max by ({JOB}) ({recorded(LAST_FAILURE, *matchers)})"
    failed = _mark("Failures", "red", with_name(newest, *matchers), moment=True)
    failed.title_format("{{job_name}} failed").text_format("{{system}}, {{job_id}}")
    return [failed, firing_marks(*matchers), starts()]


def firing_marks(*matchers: str) -> dashboard.AnnotationQuery:
    """From when to when alerts fired."""
    mark = _mark("Alerts", "orange", firing_anywhere(*matchers))
    return mark.title_format("{{alertname}}").text_format("{{system}} {{job_name}}")


def starts() -> dashboard.AnnotationQuery:
    """When exporters began anew."""
    mark = _mark("Exporter starts", "blue", f"1000 * {own(raw('process_start_time_seconds'))}", moment=True)
    return mark.title_format("Exporter started").text_format("{{instance}}")


def _mark(name: str, color: str, query: str, *, moment: bool = False) -> dashboard.AnnotationQuery:
    """A mark on all panels over time; `moment`: when the value says, else as long as there is one."""
    mark = dashboard.AnnotationQuery().name(name).enable(enable=True).icon_color(color).datasource(SOURCE)
    return mark.expr(query).step("60s").use_value_for_time(use_value_for_time=moment)
