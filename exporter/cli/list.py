"""The command ``list``."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click

from exporter import config, service
from exporter.cli import options, watching
from exporter.cli.user_errors import load_plugins, query_errors, user_errors
from exporter.collector.explain_listing import explain_listings
from exporter.config.masked import secret_masks
from exporter.runtime import logging as log


@click.command("list")
@options.config_file
@options.option(
    "--first",
    type=click.IntRange(0, 100),
    default=3,
    metavar="N",
    help="How many entries to show, with what each expression finds in them (provider json).",
)
@options.option("--body", is_flag=True, help="Show the beginning of each body as well, masked.")
@watching.watch
@click.argument("words", nargs=-1, metavar="[F] SYSTEM")
def command(*, config_file: Path | None, first: int, body: bool, watch: bool, words: Sequence[str]) -> None:
    """Lists the jobs of a system once and explains the result.

    Prints the requests and responses, what each expression of the configuration finds in the first entries,
    which entries are skipped, and how many jobs are found. Secrets are masked. With --config.file, or its
    environment variable, the first argument is SYSTEM.

    Exit codes: 0 listed, 1 not listed, the configuration is wrong or a plug-in is broken, 2 wrong
    arguments.
    """
    hint = options.first_argument(config_file)
    file, words = options.config_and_words(config_file, words)
    if len(words) != 1:
        what = "more than SYSTEM is given" if words else "SYSTEM is missing"
        raise click.UsageError(f"{what}, the name of a system; {hint}")
    log.setup("error", "logfmt")
    registry, _ = load_plugins()

    def once() -> int:
        with user_errors(), query_errors("list"):
            return _list(file, words[0], registry, first=first, bodies=body)

    watching.run(file, once, repeat=watch)


def _list(file: Path, system: str, registry: config.Registry, *, first: int, bodies: bool) -> int:
    running = service.Service(file, service.Options(registry=registry))
    listings, loaded = asyncio.run(running.list_jobs(system))
    click.echo(explain_listings(listings, secret_masks(loaded, system), first=first, bodies=bodies), nl=False)
    return 0 if listings[-1].listed.failure is None else 1
