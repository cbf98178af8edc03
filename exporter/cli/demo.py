"""The command ``demo``."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

import click

from exporter import __version__, simulator
from exporter.cli import options
from exporter.cli.simulate import simulating
from exporter.cli.terminal import job_table
from exporter.cli.user_errors import user_errors
from exporter.metrics.exposition import Format
from exporter.runtime import logging as log
from exporter.service import Options, Service, stop_signals

FIRST_READ_SECONDS = 10.0


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
    log.setup("warning", "logfmt")
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
        address = service.addresses[0]
        click.echo(f"""remote-job-exporter {__version__} reads the simulated systems. The first read:

{job_table(service.collector.views())}

  {address}/metrics       the metrics
  {address}/              the landing page
  {simulated}/config.yaml   the configuration in use

Try:  curl -s {address}/metrics | grep '^remote_job_state{{' | grep ' 1$'
The jobs go on; Ctrl-C ends the demo.
""")
        await stop.wait()
        await service.stop()
