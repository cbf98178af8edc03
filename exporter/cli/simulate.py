"""The command ``simulate``."""

import asyncio
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import click
import yaml
from starlette.types import ASGIApp

from exporter import simulator
from exporter.cli import invocation, options
from exporter.cli.user_errors import UserError, user_errors
from exporter.runtime import logging as log
from exporter.runtime.logging import counted
from exporter.service import stop_signals
from exporter.simulator import crafter
from exporter.web.server import Server


@click.command("simulate")
@options.option("--listen-address", default="127.0.0.1:10073", metavar="A", help="Address to listen on.")
@options.speed
@options.seed
@options.option(
    "--replay",
    type=options.PathType(),
    metavar="DIR",
    help="Replay the recording of probe --record in this folder instead, or all those in the folders in it.",
)
@options.log_options
def command(
    listen_address: str, speed: float, seed: int, replay: Path | None, log_level: str, log_format: log.Format
) -> None:
    """Simulates the vendors on one port, including credentials.

    A configuration for the exporter is at /config.yaml.

    Exit codes: 0 ended by SIGTERM or SIGINT, 1 the address cannot be listened on or a recording has an error,
    2 wrong arguments.
    """
    log.setup(log_level, log_format)
    with user_errors():
        if replay is None:
            asyncio.run(_simulate(listen_address, speed=speed, seed=seed))
        else:
            asyncio.run(_replay(listen_address, replay))


async def _simulate(listen: str, *, speed: float, seed: int) -> None:
    with stop_signals() as stop:
        async with simulating(listen, speed=speed, seed=seed) as base:
            click.echo(f"""The systems, simulated at {base}

  {base}/              the list of systems
  {base}/config.yaml   a configuration for the exporter

Start an exporter in another terminal:

  curl -s {base}/config.yaml > simulated.yaml
  {invocation.command()} serve --config.file simulated.yaml

Or write a first configuration; the token is {crafter.TOKEN}:

  {invocation.command()} init --system crafter --base-url {base}/crafter/studio
""")
            await stop.wait()


async def _replay(listen: str, folder: Path) -> None:
    try:
        recordings = simulator.load_recordings(folder)
    except simulator.RecordingError as error:
        raise UserError(str(error)) from None
    single = len(recordings) == 1
    with stop_signals() as stop:
        async with serving(simulator.create_replay(recordings, single=single), listen) as base:
            of = [base] if single else [f"{base}/{quote(each.name)}" for each in recordings]
            configs = "\n".join(f"  {each}/config.yaml" for each in of)
            click.echo(f"""{counted(len(recordings), "recording")} replayed at {base}

Each is read with this configuration for the exporter:

{configs}

Read a job as it was recorded, in another terminal:

  curl -s {of[0]}/config.yaml > replayed.yaml
  {invocation.command()} probe replayed.yaml {_example(recordings[0])}
""")
            await stop.wait()


@asynccontextmanager
async def simulating(listen: str, *, speed: float, seed: int) -> AsyncIterator[str]:
    """The simulator while it serves, as its address. Raises a ``ListenError`` if it cannot listen there."""
    async with serving(simulator.create_app(speed=speed, seed=seed), listen) as base:
        yield base


@asynccontextmanager
async def serving(app: ASGIApp, listen: str) -> AsyncIterator[str]:
    """An application while it serves, as its address. Raises a ``ListenError`` if it cannot listen there."""
    server = Server(app, (listen,))
    await server.start()
    try:
        yield server.addresses[0]
    finally:
        await server.stop(1.0)


def _example(recording: simulator.Recording) -> str:
    """The arguments of a probe that reads what is recorded."""
    try:
        name, system = next(iter(yaml.safe_load(recording.config)["systems"].items()))
        job = system["jobs"][0]
        keys = [shlex.quote(f"{key}={value}") for key, value in job.items() if isinstance(value, str | int)]
    except (yaml.YAMLError, LookupError, TypeError, AttributeError, StopIteration):
        return "SYSTEM KEY=VALUE"
    return " ".join([shlex.quote(str(name)), *keys])
