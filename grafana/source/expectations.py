"""What the configuration expects of a job, and how much of that time is used."""

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from grafana.source.panels import Column, Text, by_limits, limits, rows
from grafana.source.queries import END, of_job, otherwise
from grafana.source.trouble import allowed, so_far

_EXPECTATIONS = ("start_within", "progress_within", "run_within", "success_within")


def expectations() -> table.Panel:
    """Each expectation as durations, and as a bar that is full where its alert fires."""
    text = Text(
        "Expectations",
        "What the configuration expects, and the time so far: queued (start_within), without progress "
        "(progress_within), running (run_within), without a success (success_within). Over 100 % an alert "
        "fires: fix the job, or change its expect. No time so far: the job is not queued, or not running. "
        "None known: the configuration expects nothing, or the job is not watched now.",
    )
    columns = [
        Column("expectation", "Expectation"),
        Column("Value #B", "So far", unit="s", width=85),
        Column("Value #A", "Allowed", unit="s", width=85),
        Column("Value #C", "Used up", unit="percentunit", gauge=True, width=130),
    ]
    expected = f"max by (expectation) ({of_job('remote_job_expected_seconds')})"
    queries = (
        otherwise(expected, "expectation", "none known"),
        _each({name: f"{_so_far(name)} and {allowed(name, of_job)}" for name in _EXPECTATIONS}),
        _each({name: f"{_so_far(name)} / {allowed(name, of_job)}" for name in _EXPECTATIONS}),
    )
    panel = rows(text, columns, (12, 7), *queries, sort=("-Used up",)).filterable(filterable=False)
    colors = {"color": by_limits(), "thresholds": limits((0.8, "orange"), (1, "red"))}
    return panel.override_by_name(
        "Used up", [DynamicConfigValue(key, one.build()) for key, one in colors.items()]
    )


def limit_if_near(duration: str) -> str:
    """The limit of a run, if one in the time shown needed half of it: a far limit would flatten the curve."""
    limit = f"max({allowed('run_within', of_job)})"
    return f"{limit} and on () max(max_over_time({of_job(duration)}[$__range] {END})) > 0.5 * {limit}"


def _so_far(name: str) -> str:
    return so_far(name, _seen if name == "success_within" else of_job)


def _seen(metric: str, *matchers: str) -> str:
    """A success before the exporter restarted counts too."""
    return f"last_over_time({of_job(metric, *matchers)}[$__range])"


def _each(expressions: dict[str, str]) -> str:
    return " or ".join(
        f'label_replace(max({one}), "expectation", "{name}", "", "")' for name, one in expressions.items()
    )
