"""The command ``simulate``."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click

from exporter import simulator
from exporter.cli import options
from exporter.cli.user_errors import user_errors
from exporter.runtime import logging as log
from exporter.service import stop_signals
from exporter.web.server import Server


@click.command("simulate")
@options.option("--listen-address", default="127.0.0.1:10073", metavar="A", help="Address to listen on.")
@options.speed
@options.seed
@options.log_options
def command(listen_address: str, speed: float, seed: int, log_level: str, log_format: log.Format) -> None:
    """Simulates the vendors on one port, including credentials.

    A configuration for the exporter is at /config.yaml.

    Exit codes: 0 ended by SIGTERM or SIGINT, 1 the address cannot be listened on, 2 wrong arguments.
    """
    log.setup(log_level, log_format)
    with user_errors():
        asyncio.run(_simulate(listen_address, speed=speed, seed=seed))


async def _simulate(listen: str, *, speed: float, seed: int) -> None:
    with stop_signals() as stop:
        async with simulating(listen, speed=speed, seed=seed) as base:
            click.echo(f"""The systems, simulated at {base}

  {base}/              the list of systems
  {base}/config.yaml   a configuration for the exporter

Start an exporter in another terminal:

  curl -s {base}/config.yaml > simulated.yaml
  remote-job-exporter serve --config.file simulated.yaml
""")
            await stop.wait()


@asynccontextmanager
async def simulating(listen: str, *, speed: float, seed: int) -> AsyncIterator[str]:
    """The simulator while it serves, as its address. Raises a ``ListenError`` if it cannot listen there."""
    server = Server(simulator.create_app(speed=speed, seed=seed), (listen,))
    await server.start()
    try:
        yield server.addresses[0]
    finally:
        await server.stop(1.0)
