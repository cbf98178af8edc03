"""Where clicks lead."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

REPOSITORY = "https://github.com/remote-job-exporter/remote-job-exporter/blob/main"
RUNBOOKS = f"{REPOSITORY}/docs/on-call/alerts.md"
# All but the ones that a link sets itself: a name that is there twice would have both values.
_PLACE = "&".join(f"${{{name}:queryparam}}" for name in ("datasource", "job"))
_KEPT = f"{_PLACE}&${{filters:queryparam}}&${{__url_time_range}}"


def page(path: str, title: str) -> dashboard.DashboardLink:
    """A page of the repository, in a tab of its own."""
    return _link(f"{REPOSITORY}/{path}", title).target_blank(target_blank=True)


def runbook(alert: str, title: str) -> dashboard.DashboardLink:
    """The page that says what to do about an alert."""
    return page(f"docs/on-call/alerts/{alert}.md", title)


def job_of_row() -> dashboard.DashboardLink:
    """The job of a row of a table."""
    return _job("__data.fields.system", "__data.fields.job_id")


def job_of_series() -> dashboard.DashboardLink:
    """The job of a bar or a line."""
    return _job("__field.labels.system", "__field.labels.job_id")


def system_of_row() -> dashboard.DashboardLink:
    """The system of a row of a table."""
    return _system("__data.fields.system")


def system_of_series() -> dashboard.DashboardLink:
    """The system of a bar or a line."""
    return _system("__field.labels.system")


def system_of_job() -> dashboard.DashboardLink:
    """The system that is selected on the dashboard of a job."""
    return _system("system")


def systems() -> dashboard.DashboardLink:
    """The dashboard of the systems that are selected."""
    return _link(f"/d/remote-job-system?${{system:queryparam}}&{_KEPT}", "Open the systems")


def exporter() -> dashboard.DashboardLink:
    """The dashboard of the exporters."""
    return _link(f"/d/remote-job-exporter?{_KEPT}", "Open the exporters")


def between_dashboards() -> list[dashboard.DashboardLink]:
    """The links at the top of each dashboard."""
    others = dashboard.DashboardLink("Remote jobs").type(model.DashboardLinkType.DASHBOARDS)
    others.tags(["remote-jobs"]).as_dropdown(as_dropdown=True).icon("external link")
    others.include_vars(include_vars=True).keep_time(keep_time=True)
    pages = {"Runbooks": RUNBOOKS, "Documentation": f"{REPOSITORY}/README.md"}
    return [others, *(_top(title, url) for title, url in pages.items())]


def _top(title: str, url: str) -> dashboard.DashboardLink:
    link = dashboard.DashboardLink(title).type(model.DashboardLinkType.LINK).url(url)
    return link.icon("doc").target_blank(target_blank=True)


def _job(system: str, job: str) -> dashboard.DashboardLink:
    chosen = f"var-system=${{{system}:percentencode}}&var-job_id=${{{job}:percentencode}}"
    return _link(f"/d/remote-job-job?{chosen}&{_KEPT}", "Open this job")


def _system(system: str) -> dashboard.DashboardLink:
    return _link(f"/d/remote-job-system?var-system=${{{system}:percentencode}}&{_KEPT}", "Open this system")


def _link(url: str, title: str) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(title).url(url)
