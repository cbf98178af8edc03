"""The reference tables of metrics and commands as Markdown, made from the code."""

from collections.abc import Iterable, Sequence
from typing import Any

import click

from exporter.failure import Reason
from exporter.job import State
from exporter.meters import Meters
from exporter.metrics import IDENTITY, JOB_METRICS, SYSTEM_METRICS, Metric


def metrics() -> str:
    """Every metric: name, type, labels, meaning; as users find it on ``/metrics``."""
    own = Meters("").registry.collect()
    return "\n\n".join(
        (
            "# Metrics",
            "Made by `remote-job-exporter docs metrics`.",
            "## Of a job",
            (
                f"Every series carries {_code(IDENTITY)} and the labels that the configuration gives the "
                "system and the job. While reads fail only the rows marked *kept* are shown: no zeros, no "
                "old values."
            ),
            _table(("metric", "type", "labels", "kept", "meaning"), map(_row, JOB_METRICS)),
            f"`remote_job_state` is one of {_code(State)}.",
            f"`reason` is one of {_code(Reason)}.",
            "## Of a system",
            "Every series carries `system` and the labels that the configuration gives the system.",
            _table(
                ("metric", "type", "labels", "meaning"),
                ((*_row(metric)[:3], metric.help) for metric in SYSTEM_METRICS),
            ),
            "## Of the exporter",
            _table(
                ("metric", "type", "meaning"),
                (
                    (f"`{family.name}{_SUFFIXES.get(family.type, '')}`", family.type, family.documentation)
                    for family in own
                ),
            ),
            "`process_…` are those of every Prometheus client, where the platform tells them.\n",
        )
    )


_SUFFIXES = {"counter": "_total", "info": "_info"}


def _row(metric: Metric[Any]) -> tuple[str, ...]:
    kept = "kept" if metric.kept else ""
    return f"`{metric.name}`", metric.type, _code(metric.labels), kept, metric.help


def commands(group: click.Group) -> str:
    """Every command with its flags, the environment variables they are read from, and defaults."""
    parts = [
        "# Command line",
        "Made by `remote-job-exporter docs cli`. Secrets are never flags.",
    ]
    for name, command in sorted(group.commands.items()):
        context = click.Context(command, info_name=f"remote-job-exporter {name}")
        usage = command.get_usage(context).removeprefix("Usage: ")
        parts += [f"## {name}", f"`{' '.join(usage.split())}`", command.help or ""]
        flags = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        if flags:
            parts.append(_table(("flag", "environment", "default", "meaning"), map(_flag, flags)))
    return "\n\n".join(parts) + "\n"


def _flag(option: click.Option) -> tuple[str, ...]:
    default = option.default
    if isinstance(default, tuple):
        default = ", ".join(map(str, default))
    shown = f"`{default}`" if not option.required and default not in (None, "") else ""
    kind = "|".join(option.type.choices) if isinstance(option.type, click.Choice) else option.metavar or ""
    meaning = (option.help or "") + (" Required." if option.required else "")
    return f"`{option.opts[0]} {kind}`", f"`{option.envvar}`" if option.envvar else "", shown, meaning


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
