"""The table of firing alerts. It uses the series ALERTS, so it agrees with notifications."""

from grafana_foundation_sdk.builders import table

from grafana.source import links
from grafana.source.panels import Column, Text, rows
from grafana.source.queries import firing_since, otherwise
from grafana.source.words import SEVERITY

ABOUT_EXPORTERS = 'alertname=~"RemoteJobExporter.+"'


def table_of_firing(*which: tuple[str, ...], size: tuple[int, int]) -> table.Panel:
    """Firing alerts, the most severe first, then the newest; each with its runbook.

    Args:
        which: matchers of alerts; an alert is shown if it matches all of one of these.
        size: width and height.
    """
    about = (
        "Firing alerts, the most severe first, then the newest. Click an alert for its runbook, a job or a "
        "system for its dashboard. Labels of the configuration, such as a team, are last."
    )
    columns = [
        Column("severity", "Severity", mappings=SEVERITY, width=125),
        Column("alert", "Alert", link=links.runbook("${__data.fields.alertname}", "What to do"), width=165),
        Column("system", "System", link=links.system_of_row(), width=110),
        Column("name", "Job", link=links.job_of_row(), width=235),
        Column("Value", "Since", unit="dateTimeFromNow", width=136),
        # Only if there is nothing else.
        Column("note", "Note"),
    ]
    hidden = ("instance", "job", "job_kind", "job_name", "provider", "scope", "cluster")
    alerts = " or ".join(firing_since(*matchers) for matchers in which)
    query = otherwise(alerts, "note", "No alert is firing, or the alert rules are not loaded.")
    text = Text("Firing alerts", about)
    return rows(
        text, columns, size, query, hide=hidden, needed=("alertname", "job_id"), sort=("Severity", "-Since")
    )
