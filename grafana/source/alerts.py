"""Panels about alerts. They use the series ALERTS, so dashboards and notifications agree."""

from grafana_foundation_sdk.builders import stat, table

from grafana.source import links
from grafana.source.panels import NO_RULES, Column, Text, badge, limits, now, rows
from grafana.source.queries import JOB, PROVIDER, firing, firing_anywhere, firing_since, or_zero
from grafana.source.words import SEVERITY


def counters() -> list[stat.Panel]:
    """The seventeen alerts in eight numbers."""
    return [
        _jobs("Failed", "red", "whose newest run failed, without a success since", "Failed"),
        _jobs(
            "Stuck or too long",
            "orange",
            "without progress, or that run or wait for longer than the configuration expects",
            *("Stuck", "RunningTooLong", "QueuedTooLong"),
        ),
        _jobs("Overdue", "red", "without a success for longer than the configuration expects", "Overdue"),
        _jobs(
            "Partly failed",
            "orange",
            "that ended with errors, or are running while many of their items fail",
            *("FinishedWithErrors", "ItemsFailing"),
        ),
        _jobs(
            "Stopped or unknown",
            "orange",
            "whose publishing is disabled, or whose status is a word that the exporter does not know",
            *("PublishingStopped", "StateUnknown"),
        ),
        _jobs(
            "Unreadable",
            "orange",
            "that cannot be read, so their state is not known",
            *("Unreadable", "RateLimited"),
        ),
        _systems(),
        _exporters(),
    ]


def _jobs(title: str, color: str, which: str, *alerts: str) -> stat.Panel:
    count = f"count(max by ({JOB}) ({firing(PROVIDER, _named(*alerts))}))"
    return _count(title, color, f"Jobs {which}.", alerts, count)


def _systems() -> stat.Panel:
    alerts = ("CredentialsRejected", "CredentialsExpireSoon", "ListingFailed", "JobsDropped")
    which = (
        "Systems whose credentials are rejected or expire soon, or whose listing of jobs is not read or not "
        "complete: some of their jobs are not watched, or soon will not be."
    )
    count = f"count(max by (cluster, system) ({firing(_named(*alerts))}))"
    return _count("Credentials and lists", "red", which, alerts, count)


def _exporters() -> stat.Panel:
    alerts = ("ExporterDown", "ExporterConfigReloadFailed")
    which = (
        "Exporters that are down, or that rejected their changed configuration. While none is up, no job is "
        "monitored, and the other numbers are old."
    )
    return _count("Exporters", "red", which, alerts, f"count({firing_anywhere(_named(*alerts))})")


def _count(title: str, color: str, which: str, alerts: tuple[str, ...], count: str) -> stat.Panel:
    about = f"{which} The table of firing alerts lists them. {NO_RULES}"
    text = Text(title, about, "No data: rules loaded?")
    panel = badge(text, "short", (3, 4), now(or_zero(count), title)).thresholds(limits((1, color)))
    return panel.data_links([links.runbook(f"RemoteJob{one}", f"Runbook: {one}") for one in alerts])


def _named(*alerts: str) -> str:
    return f'alertname=~"RemoteJob({"|".join(alerts)})"'


def table_of_firing(*matchers: str, size: tuple[int, int]) -> table.Panel:
    """All firing alerts, each with its runbook."""
    about = "All firing alerts. Click a name for its runbook, a job or system for its dashboard."
    empty = "No alert for remote jobs is firing. If the numbers above show no data, the rules are not loaded."
    columns = [
        Column("severity", "Severity", mappings=SEVERITY, width=100),
        Column(
            "alertname", "Alert", link=links.runbook("${__data.fields.alertname}", "What to do"), width=260
        ),
        Column("system", "System", link=links.system_of_row(), width=140),
        Column("job_name", "Job", link=links.job_of_row()),
        Column("Value", "Since", unit="dateTimeFromNow", width=140),
    ]
    hidden = ("job", "job_kind", "provider", "scope")
    text = Text("Firing alerts", about, empty)
    return rows(text, columns, size, firing_since(*matchers), hide=hidden)
