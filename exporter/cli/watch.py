"""The command ``watch``."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import click
from click.core import ParameterSource
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from exporter.cli import options, terminal
from exporter.cli.job_table import page
from exporter.cli.user_errors import UserError, load_plugins, user_errors
from exporter.cli.watched import Login, Seen, Watched, base_address, configured, password_of, running
from exporter.runtime import descriptors
from exporter.runtime import logging as log
from exporter.service import stop_signals
from exporter.views import FilterError, Filters, ago

DRAW_SECONDS = 1.0
"""The table is drawn again this often: the durations in it grow."""
PASSWORD_VARIABLE = f"{options.ENVIRONMENT}PASSWORD"


@click.command("watch")
@options.file
@options.config_file
@options.option("--url", metavar="URL", help="Show the jobs of the exporter that runs at this address.")
@options.option("--username", metavar="NAME", help="The user name for --url.")
@options.option(
    "--password-file",
    type=options.PathType(),
    metavar="P",
    help=f"The file with the password for --url; without it, {PASSWORD_VARIABLE} is used.",
)
@options.option(
    "--ca-file", type=options.PathType(), metavar="C", help="The CA certificates for --url, as a PEM file."
)
@options.option(
    "--interval",
    type=options.Seconds(1, 3600),
    default=10.0,
    metavar="S",
    help="Time between two reads: 10 (seconds) or 10s. Pacing of the configuration still applies.",
)
@options.option("--once", is_flag=True, help="Read once, print the table and end.")
@options.option("--text", metavar="WORDS", help="Show jobs with these words in name, id, system or status.")
@options.option("--system", multiple=True, metavar="NAME", help="Show jobs of this system. Can be repeated.")
@options.option("--state", multiple=True, metavar="STATE", help="Show jobs in this state. Can be repeated.")
@options.option(
    "--label", multiple=True, metavar="NAME=VALUE", help="Show jobs with this label. Can be repeated."
)
def command(  # noqa: PLR0913  # one argument a flag
    *,
    file: Path | None,
    config_file: Path | None,
    url: str | None,
    username: str | None,
    password_file: Path | None,
    ca_file: Path | None,
    interval: float,
    once: bool,
    text: str | None,
    system: Sequence[str],
    state: Sequence[str],
    label: Sequence[str],
) -> None:
    """Shows all jobs as a live table, trouble first.

    Reads the jobs of the configuration as serve does, without a web server; or, with --url, shows what a
    running exporter has read. In a pipe it prints the table after each read.

    Exit codes: 0 shown, also when it ends by SIGTERM or SIGINT; 1 the configuration is wrong, a plug-in is
    broken or the exporter at --url does not respond to --once; 2 wrong arguments.
    """
    filters = _filters(text, system, state, label)
    console = terminal.console()
    live = console.is_terminal and not console.is_dumb_terminal and not once
    # Log lines would break the live table, which shows what they report of jobs.
    log.setup("critical" if live and sys.stderr.isatty() else "error" if once else "warning", "logfmt")
    with user_errors():
        watched: AbstractAsyncContextManager[Watched]
        if url is not None:
            _check_without_config(file)
            watched = running(_login(url, username, password_file, ca_file), filters)
        else:
            path = options.config_path(file, config_file)
            watched = configured(path, load_plugins()[0], filters)
            descriptors.raise_limit()
        asyncio.run(_watch(watched, console, interval, once=once, live=live))


def _filters(
    text: str | None, systems: Sequence[str], states: Sequence[str], labels: Sequence[str]
) -> Filters:
    given = {"text": [text or ""], "system": systems, "state": states, "label": labels}
    try:
        return Filters.parse([(name, value) for name, values in given.items() for value in values])
    except FilterError as error:
        raise click.UsageError(f"--{error}") from None


def _check_without_config(file: Path | None) -> None:
    source = click.get_current_context().get_parameter_source("config_file")
    if file is not None or source is ParameterSource.COMMANDLINE:
        raise click.UsageError("--url and a configuration exclude each other; give one of them")


def _login(url: str, username: str | None, password_file: Path | None, ca_file: Path | None) -> Login:
    try:
        address = base_address(url)
    except ValueError as error:
        raise click.UsageError(f"--url: {error}") from None
    password = password_of(password_file) if password_file else os.environ.get(PASSWORD_VARIABLE, "")
    return Login(address, username or "", password, ca_file)


class _Screen:
    """What the terminal shows."""

    def __init__(self, title: str) -> None:
        self._title = title
        self.seen = Seen()

    def lines(self, width: int, height: int | None = None) -> list[Text]:
        """The lines: where the jobs are from, whether that is the newest, and the table."""
        seen = self.seen
        newest = max((job.read_at for job in seen.selection.jobs if job.read_at is not None), default=None)
        age = "no job is read yet" if newest is None else f"read {ago(newest, seen.now)}"
        title = Text(f"{self._title} ({age})", "bold")
        title.truncate(width, overflow="ellipsis")
        head = [title, *(Text(line, "bold red") for line in textwrap.wrap(seen.error, width))]
        if not seen.now:
            return head
        left = None if height is None else height - len(head)
        return [*head, *page(seen.selection, seen.unlisted, seen.now, width, left)]

    def __rich_console__(self, console: Console, size: ConsoleOptions) -> RenderResult:
        """The same for rich, in the size that the terminal has now."""
        yield from self.lines(size.max_width, console.height)


async def _watch(
    watching: AbstractAsyncContextManager[Watched],
    console: Console,
    interval: float,
    *,
    once: bool,
    live: bool,
) -> None:
    async with watching as watched:
        screen = _Screen(watched.title)
        if once:
            await watched.read()
            screen.seen = await watched.seen()
            terminal.show(console, screen.lines(console.width, terminal.height(console, 1)))
            return
        show = _show_live if live else _print
        with stop_signals() as stop:
            showing = asyncio.create_task(show(watched, screen, console, interval))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({showing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in (showing, stopping):
                task.cancel()
            with suppress(asyncio.CancelledError):
                await showing


async def _print(watched: Watched, screen: _Screen, console: Console, interval: float) -> None:
    """Prints the table after each read."""
    while True:
        await _read(watched)
        screen.seen = await watched.seen()
        terminal.show(console, [*screen.lines(console.width), Text()])
        await asyncio.sleep(interval)


async def _show_live(watched: Watched, screen: _Screen, console: Console, interval: float) -> None:
    """Shows the table on a screen of its own, also while jobs are being read, until it is cancelled."""

    async def keep_reading() -> None:
        while True:
            await _read(watched)
            await asyncio.sleep(interval)

    async with asyncio.TaskGroup() as group:
        group.create_task(keep_reading())
        with Live(screen, console=console, screen=True, auto_refresh=False, redirect_stderr=False) as live:
            asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, live.refresh)
            while True:
                screen.seen = await watched.seen()
                live.refresh()
                await asyncio.sleep(DRAW_SECONDS)


async def _read(watched: Watched) -> None:
    with suppress(UserError):  # the table shows it
        await watched.read()
