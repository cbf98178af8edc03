"""The reference tables of metrics and commands as Markdown, made from the code."""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import click
from prometheus_client.metrics_core import Metric as Family

from exporter.metrics import IDENTITY, JOB_METRICS, PROBE_METRICS, SYSTEM_METRICS, Metric
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.failure import Reason
from exporter.model.history import RESULTS
from exporter.model.job import State
from exporter.model.pacing import Why


def metrics() -> str:
    """Every metric: name, type, labels, meaning; as users find it on ``/metrics``."""
    return "\n\n".join(
        (
            "# Metrics",
            "Made by `remote-job-exporter docs metrics`. Times are Unix seconds, durations seconds.",
            "## Of a job",
            (
                f"Every series carries {_code(IDENTITY)} and the labels that the configuration gives the "
                "system and the job. While reads fail only the rows marked *kept* are shown: no zeros, no "
                "old values."
            ),
            table(("metric", "type", "labels", "kept", "meaning"), map(_row, JOB_METRICS)),
            f"`remote_job_state` is one of {_code(State)}: see [states](../states.md).",
            f"`reason` is one of {_code(Reason)}: see [troubleshooting](../troubleshooting.md).",
            f"`result` is one of {_code(RESULTS)}.",
            "## Of a system",
            "Every series carries `system` and the labels that the configuration gives the system.",
            table(
                ("metric", "type", "labels", "meaning"),
                ((*_row(metric)[:3], _meaning(metric)) for metric in SYSTEM_METRICS),
            ),
            "## Of a probe",
            "On `/probe` only, beside the metrics of the one job; see [one job by /probe](../probe.md).",
            table(
                ("metric", "type", "labels", "meaning"),
                ((*_row(metric)[:3], _meaning(metric)) for metric in PROBE_METRICS),
            ),
            "## Of the exporter",
            table(
                ("metric", "type", "labels", "meaning"),
                (
                    (f"`{_sample(family)}`", family.type, _code(_labels(family)), family.documentation)
                    for family in _own()
                ),
            ),
            f"`why` is one of {_code(Why)}: see [pacing](../pacing.md).",
            "Beside them stand the usual `process_…` metrics, as far as the platform tells them.\n",
        )
    )


def compact() -> str:
    """One table of all metrics, for a first page: name with labels, meaning."""
    rows = [(metric.name, metric.labels, _meaning(metric)) for metric in JOB_METRICS]
    rows += [(metric.name, metric.labels, _meaning(metric)) for metric in SYSTEM_METRICS]
    rows += [(metric.name, metric.labels, _meaning(metric)) for metric in PROBE_METRICS]
    rows += [(_sample(family), _labels(family), family.documentation) for family in _own()]
    return table(("metric", "meaning"), ((_series(name, labels), help_) for name, labels, help_ in rows))


def _series(name: str, labels: Sequence[str]) -> str:
    return f"`{name}{{{', '.join(labels)}}}`" if labels else f"`{name}`"


_SUFFIXES = {"counter": "_total", "info": "_info"}


def _own() -> Iterator[Family]:
    """The exporter's own metrics, with a sample of each that has labels."""
    instrumentation = Instrumentation("")
    system = instrumentation.of("docs")
    system.answered(200, 0.0)
    system.watching(0)
    instrumentation.scrapes.labels("")
    # Which of the `process_…` there are is the platform's choice.
    return (family for family in instrumentation.registry.collect() if family.name.startswith("remote_job_"))


def _sample(family: Family) -> str:
    return family.name + _SUFFIXES.get(family.type, "")


def _labels(family: Family) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for sample in family.samples for name in sample.labels if name != "le"))


def _meaning(metric: Metric[Any]) -> str:
    return metric.help if metric.stability == "stable" else f"{metric.help} Experimental: may change."


def _row(metric: Metric[Any]) -> tuple[str, ...]:
    kept = "kept" if metric.kept else ""
    return f"`{metric.name}`", metric.type, _code(metric.labels), kept, _meaning(metric)


def commands(by_name: Mapping[str, click.Command]) -> str:
    """Every command with its flags, the environment variables they are read from, and defaults."""
    parts = [
        "# Command line",
        (
            "Made by `remote-job-exporter docs cli`. Where an environment variable is named, it may stand in "
            "for the flag, which wins over it. Secrets are never flags."
        ),
    ]
    for name, command in by_name.items():
        context = click.Context(command, info_name=f"remote-job-exporter {name}")
        usage = command.get_usage(context).removeprefix("Usage: ")
        parts += [f"## {name}", f"`{' '.join(usage.split())}`", inspect.cleandoc(command.help or "")]
        flags = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        if flags:
            parts.append(table(("flag", "environment", "default", "meaning"), map(_flag, flags)))
    return "\n\n".join(parts) + "\n"


def _flag(option: click.Option) -> tuple[str, ...]:
    # Not `option.default`, which from click 8.3 on is a mark of its own where there is none.
    default = option.to_info_dict()["default"]
    if isinstance(default, tuple):
        default = ", ".join(map(str, default))
    plain = option.required or option.is_flag or default in (None, "")
    shown = "" if plain else f"`{default}`"
    kind = "|".join(option.type.choices) if isinstance(option.type, click.Choice) else option.metavar or ""
    meaning = (option.help or "") + (" Required." if option.required else "")
    flag = f"`{' '.join(filter(None, (option.opts[0], kind)))}`"
    return flag, f"`{option.envvar}`" if option.envvar else "", shown, meaning


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
