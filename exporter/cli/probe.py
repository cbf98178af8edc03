"""The command ``probe``."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from exporter import config, service
from exporter.cli import COMMAND, options
from exporter.cli.user_errors import load_plugins, user_errors
from exporter.collector.explain import explain
from exporter.collector.query import Pairs, QueryError
from exporter.runtime import logging as log

# More than the longest timeout that a configuration allows.
PROBE_SECONDS = 600.0


@click.command("probe")
@options.config_file
@click.argument("words", nargs=-1, metavar="[F] SYSTEM [KEY=VALUE]...")
def command(config_file: Path | None, words: Sequence[str]) -> None:
    """Reads one job of a system once and explains the result.

    Prints the requests, the responses and the fields that were read. Secrets are masked. The keys are those
    of jobs: in the configuration. With --config.file, or its environment variable, the first argument is
    SYSTEM.

    Exit codes: 0 read, 1 not read, the configuration is wrong or a plug-in is broken, 2 wrong arguments.
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
        _probe(file, [(name, value) for name, value in pairs], registry)


def _probe(file: Path, pairs: Pairs, registry: config.Registry) -> None:
    running = service.Service(file, service.Options(registry=registry))
    try:
        probed = asyncio.run(running.probe(pairs, PROBE_SECONDS))
    except QueryError as error:
        for line in error.lines:
            click.echo(f"{COMMAND} probe: {line}", err=True)
        sys.exit(2)
    click.echo(explain(probed), nl=False)
    sys.exit(0 if probed.success else 1)
