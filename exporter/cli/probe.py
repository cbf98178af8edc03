"""The command ``probe``."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from exporter import config, service
from exporter.cli import COMMAND, options, recording
from exporter.cli.user_errors import load_plugins, user_errors
from exporter.collector.explain import explain
from exporter.collector.query import Pairs, QueryError
from exporter.config.masked import MaskedConfig
from exporter.runtime import logging as log
from exporter.upstream.recording import Recorder
from exporter.upstream.trace import Trace

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
@click.argument("words", nargs=-1, metavar="[F] SYSTEM [KEY=VALUE]...")
def command(config_file: Path | None, record: Path | None, words: Sequence[str]) -> None:
    """Reads one job of a system once and explains the result.

    Prints the requests, the responses and the fields that were read. Secrets are masked. The keys are those
    of jobs: in the configuration. With --config.file, or its environment variable, the first argument is
    SYSTEM.

    A recording (--record) can be attached to a bug report and replayed with simulate --replay.

    Exit codes: 0 read, 1 not read or not recorded, the configuration is wrong or a plug-in is broken,
    2 wrong arguments.
    """
    file, hint = config_file, "with --config.file the first argument is SYSTEM"
    if file is None:
        hint = "without --config.file the first argument is F"
        file, words = options.config_path(next(map(Path, words), None), None), words[1:]
    if not words or "=" in words[0]:
        raise click.UsageError(f"SYSTEM is missing, the name of a system; {hint}")
    system, *keys = words
    if odd := [number for number, pair in enumerate(keys, 1) if "=" not in pair]:
        raise click.UsageError(f"argument {odd[0]} after SYSTEM is not KEY=VALUE; {hint}")
    log.setup("error", "logfmt")
    registry, _ = load_plugins()
    pairs = [("system", system), *(pair.split("=", 1) for pair in keys)]
    with user_errors():
        if record is not None:
            recording.check_folder(record)
        _probe(file, [(name, value) for name, value in pairs], registry, record)


def _probe(file: Path, pairs: Pairs, registry: config.Registry, record: Path | None) -> None:
    running = service.Service(file, service.Options(registry=registry))
    recorder = Recorder()
    try:
        probed, loaded = asyncio.run(
            running.probe(pairs, PROBE_SECONDS, recorder if record is not None else Trace())
        )
    except QueryError as error:
        for line in error.lines:
            click.echo(f"{COMMAND} probe: {line}", err=True)
        sys.exit(2)
    click.echo(explain(probed), nl=False)
    if record is not None:
        click.echo(recording.write(record, MaskedConfig(loaded, probed.record.job), recorder))
    sys.exit(0 if probed.success else 1)
