"""The command ``probe``."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import click
from rich.text import Text

from exporter import config, service
from exporter.cli import options, recording, terminal, watching
from exporter.cli.job_table import notes, table
from exporter.cli.user_errors import load_plugins, query_errors, user_errors
from exporter.collector.explain import explain
from exporter.collector.explain_expressions import expression_lines
from exporter.collector.probed import Probe
from exporter.collector.query import Pairs
from exporter.config.masked import MaskedConfig, secret_masks
from exporter.runtime import logging as log
from exporter.upstream.recording import Recorder
from exporter.views import report

# More than the longest timeout that a configuration allows.
PROBE_SECONDS = 600.0


@click.command("probe")
@options.config_file
@options.option(
    "--record",
    type=options.PathType(),
    metavar="DIR",
    help="Write what was asked and answered into this new or empty folder, masked.",
)
@options.option("--samples", is_flag=True, help="Show the samples of the job as well, as on /metrics.")
@watching.watch
@click.argument("words", nargs=-1, metavar="[F] SYSTEM [KEY=VALUE]...")
def command(
    *, config_file: Path | None, record: Path | None, samples: bool, watch: bool, words: Sequence[str]
) -> None:
    """Reads one job of a system once and explains the result.

    Prints the state of the job, the fields that were read, what each expression of the configuration finds
    (provider json), then the requests and responses. Secrets are masked. The keys are those
    of jobs: in the configuration. With --config.file, or its environment variable, the first argument is
    SYSTEM.

    A recording (--record) can be attached to a bug report and replayed with simulate --replay.

    Exit codes: 0 read, 1 not read or not recorded, the configuration is wrong or a plug-in is broken,
    2 wrong arguments.
    """
    hint = options.first_argument(config_file)
    file, words = options.config_and_words(config_file, words)
    if watch and record is not None:
        raise click.UsageError("--watch and --record exclude each other: a recording is one read")
    if not words or "=" in words[0]:
        raise click.UsageError(f"SYSTEM is missing, the name of a system; {hint}")
    system, *keys = words
    if odd := [number for number, pair in enumerate(keys, 1) if "=" not in pair]:
        raise click.UsageError(f"argument {odd[0]} after SYSTEM is not KEY=VALUE; {hint}")
    log.setup("error", "logfmt")
    registry, _ = load_plugins()
    pairs = [("system", system), *(pair.split("=", 1) for pair in keys)]

    def once() -> int:
        with user_errors(), query_errors("probe"):
            if record is not None:
                recording.check_folder(record)
            return _probe(file, [(name, value) for name, value in pairs], registry, record, samples=samples)

    watching.run(file, once, repeat=watch)


def _probe(file: Path, pairs: Pairs, registry: config.Registry, record: Path | None, *, samples: bool) -> int:
    running = service.Service(file, service.Options(registry=registry))
    recorder = Recorder()
    probed, loaded = asyncio.run(running.probe(pairs, PROBE_SECONDS, recorder))
    job = probed.record.job
    masks = secret_masks(loaded, job.system)
    recorder.add_issued(masks)
    provider = next(system.provider for system in loaded.systems if system.name == job.system)
    _show(probed)
    expressions = expression_lines(provider.explain(recorder.responses()), masks)
    click.echo(explain(probed, expressions, samples=samples), nl=False)
    if record is not None:
        click.echo(recording.write(record, MaskedConfig(loaded, job), recorder))
    return 0 if probed.success else 1


def _show(probed: Probe) -> None:
    """The verdict: the job as in every other table, and what to do if it cannot be read."""
    console = terminal.console()
    job = report(probed.record)
    lines = [*table([job], time.time(), console.width), *notes([job], (), console.width)]
    if job.problem is not None:
        lines.append(Text(f"  {job.problem.docs}"))
    terminal.show(console, [*lines, Text()])
