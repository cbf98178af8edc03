"""What surrounds the panels of every dashboard: variables, annotations, links."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard, stat
from grafana_foundation_sdk.models import dashboard as model

from grafana.source import links
from grafana.source.alerts import ABOUT_EXPORTERS
from grafana.source.panels import SOURCE, AnyPanel, Text, patterns, word
from grafana.source.queries import (
    each_job,
    exporters_up,
    firing,
    of_instances,
    of_job,
    of_systems,
    raw,
    with_name,
)

Variable = dashboard.QueryVariable | dashboard.DatasourceVariable | dashboard.AdHocVariable
_EXPORTER, _JOB = "remote_job_exporter_build_info", "remote_job_up"


@dataclass(frozen=True)
class Row:
    """A heading and what stands below it, side by side."""

    title: str
    panels: Sequence[AnyPanel]


def framed(
    name: str,
    about: str,
    rows: Sequence[Row],
    variables: Sequence[Variable],
    annotations: Sequence[dashboard.AnnotationQuery],
    *,
    since: str = "now-6h",
) -> model.Dashboard:
    """A dashboard; it has the variables for data source, scrape job and filters, and these between."""
    board = dashboard.Dashboard(f"Remote jobs / {name.capitalize()}").uid(f"remote-job-{name}")
    board.description(about).tags(["remote-jobs"]).timezone("browser").refresh("1m").time(since, "now")
    board.readonly().tooltip(model.DashboardCursorSync.CROSSHAIR)
    for link in links.between_dashboards():
        board.link(link)
    for variable in (*_first_variables(), *variables, _filters()):
        board.with_variable(variable)
    for annotation in annotations:
        board.annotation(annotation)
    for row in rows:
        board.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            board.with_panel(panel)
    return board.build()


def exporters(size: tuple[int, int], of: Callable[[str], str] = raw) -> stat.Panel:
    """Whether the exporter is scraped: without it, all other panels have no data."""
    text = Text(
        "Exporters",
        "Exporters that respond to Prometheus, of those that there should be. While none does, no job is "
        "watched, and the other panels have no data: check the process, its log, and the page Targets of "
        "Prometheus.",
        "none found",
    )
    colors = {"0.*|not.*": "red", r"(\d+) of \1": "green", ".*": "orange"}
    panel = word(text, size, exporters_up(of), "exporters", patterns(colors))
    return panel.data_links([links.exporter()])


def _first_variables() -> list[Variable]:
    source = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return [source, _several(_seen("job", "Scrape job", _EXPORTER, _JOB))]


def systems() -> dashboard.QueryVariable:
    """The systems that are shown: all, or some."""
    return _several(_seen("system", "System", raw("remote_job_system_up"), raw(_JOB)))


def one_system() -> dashboard.QueryVariable:
    """The system of the job that is shown."""
    return _seen("system", "System", raw("remote_job_system_up"), raw(_JOB))


def one_job() -> dashboard.QueryVariable:
    """Shown by its name, chosen by its id; also a job that is gone, if it was in the time shown."""
    named, known = (raw("remote_job_info", 'system="$system"', *name) for name in (('job_name!=""',), ()))
    names = f"group by (job_id, job_name) (last_over_time({named}[$__range]))"
    ids = f"group by (job_id) (last_over_time({known}[$__range]))"
    variable = _asked("job_id", "Job", f"query_result({names} or on (job_id) {ids})")
    return variable.regex('/job_id="(?<value>[^"]+)|job_name="(?<text>[^"]+)/g')


def instances() -> dashboard.QueryVariable:
    """The exporters that are shown: all, or some."""
    return _several(_seen("instance", "Instance", raw(_EXPORTER)))


def _filters() -> dashboard.AdHocVariable:
    filters = dashboard.AdHocVariable("filters").label("Filters").datasource(SOURCE)
    return filters.description("Any label, such as cluster, and those that the configuration gives jobs.")


def _several(variable: dashboard.QueryVariable) -> dashboard.QueryVariable:
    variable.multi(multi=True).include_all(include_all=True).all_value(".+")
    return variable.current(model.VariableOption(text="All", value="$__all"))


def _seen(label: str, title: str, *metrics: str) -> dashboard.QueryVariable:
    """The values of a label within the time shown: also of an exporter that is down by now."""
    groups = (f"group by ({label}) (last_over_time({one}[$__range]))" for one in metrics)
    return _asked(label, title, f"query_result({' or '.join(groups)})").regex(f'/{label}="([^"]+)"/')


def _asked(name: str, title: str, query: str) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(name).query(query).definition(query).datasource(SOURCE)
    variable.label(title).refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return variable.sort(model.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)


def marks() -> list[dashboard.AnnotationQuery]:
    """What explains a bend in a curve, off until somebody wants it: there are many jobs."""
    failed = with_name(f"1000 * {each_job(of_systems('remote_job_last_failure_timestamp_seconds'))}")
    alerts = firing('system=~"$system|"')
    return [_failures(failed), _alerts(alerts), starts()]


def marks_of_job() -> list[dashboard.AnnotationQuery]:
    """The same for the one job."""
    failed = f"1000 * {each_job(of_job('remote_job_last_failure_timestamp_seconds'))}"
    alerts = firing('system="$system"', 'job_id="$job_id"')
    return [_failures(failed, on=True).title_format("Failed"), _alerts(alerts, on=True), starts()]


def marks_of_exporter() -> list[dashboard.AnnotationQuery]:
    """Alerts about exporters, and their starts."""
    return [_alerts(firing(ABOUT_EXPORTERS, 'instance=~"$instance|"')), starts(of_instances)]


def _failures(query: str, *, on: bool = False) -> dashboard.AnnotationQuery:
    mark = _mark("Failures", "red", query, on=on, moment=True)
    return mark.title_format("{{job_name}} failed").text_format("{{system}}, {{job_id}}")


def _alerts(query: str, *, on: bool = False) -> dashboard.AnnotationQuery:
    """From when to when alerts fired."""
    mark = _mark("Alerts", "orange", query, on=on)
    return mark.title_format("{{alertname}}").text_format("{{system}} {{job_name}}")


def starts(of: Callable[[str], str] = raw) -> dashboard.AnnotationQuery:
    """When exporters started; `of` chooses them, as in `queries.exporters`."""
    started = f"{of('process_start_time_seconds')} and on (job, instance) {of(_EXPORTER)}"
    mark = _mark("Exporter starts", "blue", f"1000 * ({started})", on=False, moment=True)
    return mark.title_format("Exporter started").text_format("{{instance}}")


def _mark(name: str, color: str, query: str, *, on: bool, moment: bool = False) -> dashboard.AnnotationQuery:
    """A mark on all panels over time; `moment`: when the value says, else as long as there is one."""
    mark = dashboard.AnnotationQuery().name(name).enable(enable=on).icon_color(color).datasource(SOURCE)
    return mark.expr(query).step("60s").use_value_for_time(use_value_for_time=moment)
