"""The command ``serve``."""

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from exporter import service
from exporter.cli import options
from exporter.cli.user_errors import load_plugins, user_errors
from exporter.model.shard import Shard, ordinal
from exporter.runtime import logging as log


@click.command("serve")
@options.file
@options.config_file
@options.option(
    "--config.watch",
    is_flag=True,
    help="Reload the configuration when its files change (mounted ConfigMaps too).",
)
@options.option(
    "--web.listen-address",
    multiple=True,
    default=(":10072",),
    metavar="A",
    help="Address to listen on: :PORT, HOST:PORT, [IPV6]:PORT or unix:/PATH. Can be repeated.",
)
@options.option(
    "--web.systemd-socket",
    is_flag=True,
    help="Listen on the sockets of a systemd .socket unit instead of addresses.",
)
@options.web_config
@options.option(
    "--web.grafana-url",
    type=options.WebAddress(),
    default="",
    metavar="URL",
    help="Address of a Grafana with the dashboards of this project, for links from the page of a job.",
)
@options.option(
    "--web.timeout-offset",
    type=options.Seconds(0, 60),
    default=0.5,
    metavar="S",
    help="Time before the scrape timeout of Prometheus at which to respond: 0.5 (seconds) or 500ms.",
)
@options.option(
    "--web.shutdown-timeout",
    type=options.Seconds(0, 600),
    default=15.0,
    metavar="S",
    help="Time for scrapes under way to finish after SIGTERM: 15 (seconds) or 15s.",
)
@options.option(
    "--shard.index",
    default="0",
    metavar="I|auto",
    help="Index of this shard, from 0; auto uses the number at the end of the host name.",
)
@options.option(
    "--shard.count", type=int, default=1, metavar="N", help="Number of exporters that share the jobs."
)
@options.option(
    "--replica.count",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Number of exporters that should watch the same jobs, for the alert on a missing one.",
)
@options.log_options
def command(  # noqa: PLR0913  # one argument a flag
    *,
    file: Path | None,
    config_file: Path | None,
    config_watch: bool,
    web_listen_address: Sequence[str],
    web_systemd_socket: bool,
    web_config_file: Path | None,
    web_grafana_url: str,
    web_timeout_offset: float,
    web_shutdown_timeout: float,
    shard_index: str,
    shard_count: int,
    replica_count: int,
    log_level: str,
    log_format: log.Format,
) -> None:
    """Runs the exporter, which reads jobs when it is scraped.

    SIGHUP or POST /-/reload reload the configuration. Under systemd, the exporter reports readiness, reloads
    and its status, and pings the watchdog.

    Exit codes: 0 ended by SIGTERM or SIGINT, 1 the configuration is wrong, a plug-in is broken or an
    address cannot be listened on, 2 wrong arguments.
    """
    path = options.config_path(file, config_file)
    log.setup(log_level, log_format)
    source = click.get_current_context().get_parameter_source("web_listen_address")
    if web_systemd_socket and source is not ParameterSource.DEFAULT:
        raise click.UsageError("--web.systemd-socket and --web.listen-address exclude each other")
    registry, plugins = load_plugins()
    serving = service.Options(
        None if web_systemd_socket else web_listen_address,
        web_timeout_offset,
        web_shutdown_timeout,
        watch=config_watch,
        web_config=web_config_file,
        shard=_shard(shard_index, shard_count),
        replicas=replica_count,
        registry=registry,
        plugins=plugins,
        grafana=web_grafana_url,
    )
    with user_errors():
        asyncio.run(service.serve(path, serving))


def _shard(index: str, count: int) -> Shard:
    try:
        return Shard(ordinal(socket.gethostname()) if index == "auto" else int(index), count)
    except ValueError as error:
        raise click.UsageError(f"--shard.index {index} --shard.count {count}: {error}") from None
