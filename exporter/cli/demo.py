"""The simulator alone, or with an exporter that watches it, in one process."""

import tempfile
from pathlib import Path

import click

from exporter import __version__, simulator
from exporter.cli.terminal import job_table
from exporter.metrics.exposition import Format
from exporter.service import Options, Service, stop_signals
from exporter.web.server import Server

FIRST_READ_SECONDS = 10.0


async def simulate(listen: str, *, speed: float, seed: int) -> None:
    """Serves the simulated systems until SIGTERM or SIGINT.

    Args:
        speed: simulated lives run so many times faster than real ones.

    Raises:
        ListenError: the address cannot be listened on.
    """
    with stop_signals() as stop:
        server = await _simulator(listen, speed=speed, seed=seed)
        base = server.addresses[0]
        click.echo(f"""The systems, simulated at {base}

  {base}/              what is simulated
  {base}/config.yaml   a configuration that fits

Watch it from another terminal:

  curl -s {base}/config.yaml > simulated.yaml
  remote-job-exporter serve --config.file simulated.yaml
""")
        await stop.wait()
        await server.stop(1.0)


async def demo(listen: str, simulator_listen: str, *, speed: float, seed: int) -> None:
    """Serves the simulated systems and an exporter that watches them until SIGTERM or SIGINT.

    Raises:
        ListenError: an address cannot be listened on.
    """
    with stop_signals() as stop, tempfile.TemporaryDirectory() as folder:
        server = await _simulator(simulator_listen, speed=speed, seed=seed)
        simulated = server.addresses[0]
        file = Path(folder) / "demo.yaml"
        file.write_text(simulator.config(simulated), encoding="utf-8")
        service = Service(file, Options(listen=(listen,), shutdown_timeout=1.0))
        await service.start()
        await service.collector.scrape(FIRST_READ_SECONDS, Format.TEXT)
        address = service.addresses[0]
        click.echo(f"""remote-job-exporter {__version__} watches the simulated systems. It has just read:

{job_table(service.collector.views())}

  {address}/metrics       what Prometheus scrapes
  {address}/              the exporter's landing page
  {simulated}/config.yaml   the configuration in use

Try:  curl -s {address}/metrics | grep '^remote_job_state{{' | grep ' 1$'
Jobs go on living; Ctrl-C ends the demo.
""")
        await stop.wait()
        await service.stop()
        await server.stop(1.0)


async def _simulator(listen: str, *, speed: float, seed: int) -> Server:
    server = Server(simulator.create_app(speed=speed, seed=seed), (listen,))
    await server.start()
    return server
