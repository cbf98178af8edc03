"""The command ``demo``."""

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
from rich.text import Text

from exporter import __version__, simulator
from exporter.cli import invocation, options, terminal
from exporter.cli.job_table import page
from exporter.cli.simulate import simulating
from exporter.cli.user_errors import user_errors
from exporter.metrics.exposition import Format
from exporter.runtime import logging as log
from exporter.service import Options, Service, stop_signals
from exporter.views import Filters, Selection, Unlisted, reports, select, unlisted

FIRST_READ_SECONDS = 10.0
READ_INTERVAL_SECONDS = 10.0
MIN_HEIGHT = 6
"""Lines of the table in a terminal that has not enough of them: it scrolls."""


@click.command("demo")
@options.option(
    "--web.listen-address", default="127.0.0.1:10072", metavar="A", help="Address of the exporter."
)
@options.option("--listen-address", default="127.0.0.1:10073", metavar="A", help="Address of the simulator.")
@options.speed
@options.seed
def command(web_listen_address: str, listen_address: str, speed: float, seed: int) -> None:
    """Runs simulator and exporter in one process, preconfigured.

    Exit codes: 0 ended by SIGTERM or SIGINT, 1 an address cannot be listened on, 2 wrong arguments.
    """
    # On the same terminal, the warnings about the simulated failures would hide what the table shows of them.
    log.setup("error" if sys.stderr.isatty() else "warning", "logfmt")
    with user_errors():
        asyncio.run(_demo(web_listen_address, listen_address, speed=speed, seed=seed))


async def _demo(listen: str, simulator_listen: str, *, speed: float, seed: int) -> None:
    async with contextlib.AsyncExitStack() as stack:
        stop = stack.enter_context(stop_signals())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        simulated = await stack.enter_async_context(simulating(simulator_listen, speed=speed, seed=seed))
        file = Path(folder) / "demo.yaml"
        file.write_text(simulator.config(simulated), encoding="utf-8")
        service = Service(file, Options(listen=(listen,), shutdown_timeout=1.0))
        await service.start()
        await service.collector.scrape(FIRST_READ_SECONDS, Format.TEXT)
        await _show(service, simulated)
        reading = asyncio.create_task(_keep_reading(service))
        await stop.wait()
        reading.cancel()
        await service.stop()


async def _keep_reading(service: Service) -> None:
    """Reads the jobs again and again, since a demo has no Prometheus: otherwise no page would change."""
    while True:
        await asyncio.sleep(READ_INTERVAL_SECONDS)
        await service.collector.collect(READ_INTERVAL_SECONDS)


async def _show(service: Service, simulated: str) -> None:
    console = terminal.console()
    selection = select(await reports(service.collector.records()), Filters())
    missing = unlisted(service.collector.listing_failures())
    # The prompt of the shell needs a line too.
    height = terminal.height(console, 1)
    terminal.show(
        console, first_screen(service.addresses[0], simulated, selection, missing, console.width, height)
    )


def first_screen(
    address: str,
    simulated: str,
    selection: Selection,
    missing: Sequence[Unlisted],
    width: int,
    height: int | None,
) -> list[Text]:
    """The table of jobs, and where to go on.

    Args:
        address, simulated: of the exporter and of the simulator.
        missing: systems whose jobs could not be listed.
        height: lines of the terminal; ``None`` for as many as there are jobs.
    """
    above = f"""\
Open {address}/jobs to see these jobs in a browser.
remote-job-exporter {__version__} reads the simulated systems. The first read:
"""
    below = f"""
Metrics: {address}/metrics
Config:  {simulated}/config.yaml
Live:    {invocation.command()} watch --url {address}
The demo reads the jobs every {READ_INTERVAL_SECONDS:g} s, as Prometheus would; Ctrl-C ends the demo.
"""
    head, foot = ([Text(line) for line in text.splitlines()] for text in (above, below))
    # A narrow terminal breaks these lines: addresses must stay whole.
    broken = sum(max(1, -(-line.cell_len // width)) for line in (*head, *foot))
    left = None if height is None else max(height - broken, MIN_HEIGHT)
    return [*head, *page(selection, missing, time.time(), width, left), *foot]
