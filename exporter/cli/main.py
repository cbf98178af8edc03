"""Commands and flags; what they do lives in other rooms."""

import asyncio
import json
import math
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from exporter import __version__, config, plugins, service
from exporter.cli import demo, reference
from exporter.collector.explain import explain
from exporter.collector.query import Pairs, QueryError
from exporter.config import ConfigError, Finding, Registry, SystemConfig
from exporter.config_types import parse_duration
from exporter.model.shard import Shard, ordinal
from exporter.runtime import files
from exporter.runtime import logging as log
from exporter.runtime.logging import counted
from exporter.web import config as web_config
from exporter.web.server import ListenError

_COMMAND = "remote-job-exporter"
_ENV = "REMOTE_JOB_EXPORTER_"
# More than the longest timeout that a config may set.
PROBE_SECONDS = 600.0


class _Path(click.Path):
    """The name of a file or folder; whether it can be read is for its reader to say."""

    def __init__(self) -> None:
        super().__init__(readable=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":  # for pathlib the current folder
            self.fail("must not be empty", param, ctx)
        return super().convert(value, param, ctx)


_PATH = _Path()

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class _Number(click.FloatRange):
    """A number in a range; "nan" is in none, though click lets it through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail("nan is not a number", param, ctx)
        return number


class _Seconds(_Number):
    """A time in a range of seconds: a number of them, or a duration as in the configuration."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = parse_duration(value)
        except ValueError:
            try:
                seconds = float(value)
            except ValueError:
                self.fail("allowed are seconds such as 0.5 and durations such as 500ms or 1m30s", param, ctx)
        return super().convert(seconds, param, ctx)


class _Level(click.Choice[str]):
    """A level of log lines in upper or lower case; ``warn`` is ``warning``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        level: str = super().convert("warning" if value.casefold() == "warn" else value, param, ctx)
        return level


def _option(flag: str, argument: str = "", **settings: Any) -> Callable[[F], F]:
    """A flag in Prometheus's style that is also read from the environment."""
    name = flag.removeprefix("--").replace(".", "_").replace("-", "_")
    return click.option(
        flag, argument or name, envvar=_ENV + name.upper(), show_envvar=True, show_default=True, **settings
    )


def _log_options(command: F) -> F:
    level = _option(
        "--log.level",
        type=_Level(["debug", "info", "warning", "error"], case_sensitive=False),
        default="info",
        help="Least severe log lines to print.",
    )
    format_ = _option(
        "--log.format",
        type=click.Choice(["logfmt", "json"]),
        default="logfmt",
        help="How log lines are written to stderr.",
    )
    return level(format_(command))


_config_file = _option(
    "--config.file",
    type=_PATH,
    metavar="F",
    help="The configuration: a YAML file, or a folder whose *.yaml and *.yml files are one. Same as the "
    "argument F.",
)
_file = click.argument("file", required=False, type=_PATH, metavar="[F]")
_listen = _option(
    "--web.listen-address",
    multiple=True,
    default=(":10072",),
    metavar="A",
    help="Where to listen: :PORT, HOST:PORT, [IPV6]:PORT or unix:/PATH. May be given more than once.",
)
_systemd_socket = _option(
    "--web.systemd-socket",
    is_flag=True,
    help="Listen on the sockets that a systemd .socket unit passes, in place of addresses.",
)
_web_config = _option(
    "--web.config.file",
    type=_PATH,
    metavar="W",
    help="Certificates and users: a YAML file with the keys of the Prometheus exporter toolkit.",
)
_watch = _option(
    "--config.watch",
    is_flag=True,
    help="Read the configuration again whenever its files change (mounted ConfigMaps too).",
)
_offset = _option(
    "--web.timeout-offset",
    type=_Seconds(0, 60),
    default=0.5,
    metavar="S",
    help="How long before Prometheus's scrape timeout to be ready, as in 0.5 (seconds) or 500ms.",
)
_shutdown = _option(
    "--web.shutdown-timeout",
    type=_Seconds(0, 600),
    default=15.0,
    metavar="S",
    help="How long scrapes under way have to finish after SIGTERM, as in 15 (seconds) or 15s.",
)
_shard_index = _option(
    "--shard.index",
    default="0",
    metavar="I|auto",
    help="Which shard this is, from 0; auto takes the number at the end of the host name.",
)
_shard_count = _option(
    "--shard.count", type=int, default=1, metavar="N", help="How many exporters share the jobs."
)
_speed = _option(
    "--speed",
    type=_Number(0.01, 1000),
    default=1.0,
    metavar="N",
    help="Let simulated jobs live so many times faster.",
)
_seed = _option("--seed", type=int, default=0, metavar="N", help="Another seed, other lives.")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 it did not work, 2 wrong use.",
)
@click.version_option(__version__, prog_name=_COMMAND)
def cli() -> None:
    """Exposes the state of jobs that run elsewhere to Prometheus."""


@cli.command()
@_file
@_config_file
@_watch
@_listen
@_systemd_socket
@_web_config
@_offset
@_shutdown
@_shard_index
@_shard_count
@_log_options
def serve(  # noqa: PLR0913  # one argument a flag
    *,
    file: Path | None,
    config_file: Path | None,
    config_watch: bool,
    web_listen_address: Sequence[str],
    web_systemd_socket: bool,
    web_config_file: Path | None,
    web_timeout_offset: float,
    web_shutdown_timeout: float,
    shard_index: str,
    shard_count: int,
    log_level: str,
    log_format: log.Format,
) -> None:
    """The exporter: asks the configured jobs whenever it is scraped.

    SIGHUP or POST /-/reload make it read its configuration again. Where systemd asks for it, it is told
    what goes on, and pings its watchdog.

    Exit codes: 0 ended by SIGTERM or SIGINT, 1 the configuration is wrong, a plug-in is broken or an
    address cannot be listened on, 2 wrong use.
    """
    path = _config(file, config_file)
    log.setup(log_level, log_format)
    if web_systemd_socket and _given("web_listen_address"):
        raise click.UsageError("--web.systemd-socket and --web.listen-address exclude each other")
    registry, found = _plugins()
    options = service.Options(
        None if web_systemd_socket else web_listen_address,
        web_timeout_offset,
        web_shutdown_timeout,
        watch=config_watch,
        web_config=web_config_file,
        shard=_shard(shard_index, shard_count),
        registry=registry,
        plugins=found,
    )
    _fail_in_one_line(lambda: asyncio.run(service.serve(path, options)))


@cli.command()
@_file
@_config_file
@_web_config
@_option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    help="How errors and warnings are printed.",
)
@_option(
    "--no-secrets",
    is_flag=True,
    help="Leave out what only the exporter's host has: secrets in files and variables, and the files of tls. "
    "The files that --web.config.file names are still read.",
)
def check(
    *,
    file: Path | None,
    config_file: Path | None,
    web_config_file: Path | None,
    format_: str,
    no_secrets: bool,
) -> None:
    """Validates the configuration without touching the network.

    Prints every error on its own line: F:LINE: path.to.key: what is wrong, what is allowed. Where there is
    none, lines that begin with "warning: " show what is allowed and surely not meant.

    Exit codes: 0 no errors, 1 errors or a broken plug-in, 2 wrong use.
    """
    path = _config(file, config_file)
    registry, _ = _plugins()
    errors: list[Finding] = []
    warnings: list[Finding] = []
    systems: tuple[SystemConfig, ...] = ()
    try:
        loaded = config.load(path, host=not no_secrets, registry=registry)
        systems, warnings = loaded.systems, config.warnings(loaded, host=not no_secrets)
    except ConfigError as error:
        errors += error.errors
    try:
        if web_config_file:
            web_config.load(web_config_file)
    except ConfigError as error:
        errors += error.errors
    jobs = sum(len(system.jobs) for system in systems)
    counts = {} if errors else {"systems": len(systems), "jobs": jobs}
    if format_ == "json":
        found = {"errors": errors, "warnings": warnings}
        listed = {name: [each.as_dict() for each in several] for name, several in found.items()}
        lines = [json.dumps({**listed, **counts})]
    else:
        lines = [*map(str, errors), *(f"warning: {warning}" for warning in warnings)]
        if not errors:
            more = f", {counted(len(warnings), 'warning')}" if warnings else ""
            there = f"{counted(len(systems), 'system')}, {counted(jobs, 'job')}"
            lines.append(f"{files.shown(path)}: {there}, no errors{more}")
            lines += [f"{files.shown(web_config_file)}: no errors"] if web_config_file else []
    click.echo("\n".join(lines))
    sys.exit(1 if errors else 0)


@cli.command()
@_config_file
@click.argument("words", nargs=-1, metavar="[F] SYSTEM [KEY=VALUE]...")
def probe(config_file: Path | None, words: Sequence[str]) -> None:
    """Asks one job of a system once and explains the answer.

    Prints what was asked, answered and understood. Secrets are masked. The keys are those of jobs: in the
    configuration. With --config.file, or its environment variable, the first argument is SYSTEM.

    Exit codes: 0 read, 1 not read, the configuration is wrong or a plug-in is broken, 2 wrong use.
    """
    file, hint = config_file, "with --config.file the first argument is SYSTEM"
    if file is None:
        hint = "without --config.file the first argument is F"
        file, words = _config(next(map(Path, words), None), None), words[1:]
    if not words or "=" in words[0]:
        raise click.UsageError(f"SYSTEM is missing, the name of a system; {hint}")
    system, *keys = words
    if odd := [number for number, pair in enumerate(keys, 1) if "=" not in pair]:
        raise click.UsageError(f"argument {odd[0]} after SYSTEM is not KEY=VALUE; {hint}")
    log.setup("error", "logfmt")
    registry, _ = _plugins()
    pairs = [("system", system), *(pair.split("=", 1) for pair in keys)]
    _fail_in_one_line(lambda: _probe(file, [(name, value) for name, value in pairs], registry))


def _probe(file: Path, pairs: Pairs, registry: Registry) -> None:
    running = service.Service(file, service.Options(registry=registry))
    try:
        probed = asyncio.run(running.probe(pairs, PROBE_SECONDS))
    except QueryError as error:
        for line in error.lines:
            click.echo(f"{_COMMAND} probe: {line}", err=True)
        sys.exit(2)
    click.echo(explain(probed), nl=False)
    sys.exit(0 if probed.success else 1)


@cli.command()
@_option("--listen-address", default="127.0.0.1:10073", metavar="A", help="Where to listen.")
@_speed
@_seed
@_log_options
def simulate(listen_address: str, speed: float, seed: int, log_level: str, log_format: log.Format) -> None:
    """The systems, simulated on one port, with their credentials.

    A configuration that fits is at /config.yaml.

    Exit codes: 0 ended by SIGTERM or SIGINT, 1 the address cannot be listened on, 2 wrong use.
    """
    log.setup(log_level, log_format)
    _fail_in_one_line(lambda: asyncio.run(demo.simulate(listen_address, speed=speed, seed=seed)))


@cli.command("demo")
@_option("--web.listen-address", default="127.0.0.1:10072", metavar="A", help="Where the exporter listens.")
@_option(
    "--listen-address",
    default="127.0.0.1:10073",
    metavar="A",
    help="Where the simulator listens.",
)
@_speed
@_seed
def demo_(web_listen_address: str, listen_address: str, speed: float, seed: int) -> None:
    """Simulator and exporter in one process, nothing to configure.

    Exit codes: 0 ended by SIGTERM or SIGINT, 1 an address cannot be listened on, 2 wrong use.
    """
    log.setup("warning", "logfmt")
    _fail_in_one_line(
        lambda: asyncio.run(demo.demo(web_listen_address, listen_address, speed=speed, seed=seed))
    )


@cli.command()
def schema() -> None:
    """Prints the JSON Schema of the configuration file, for editors.

    Exit codes: 0 done, 1 a plug-in is broken, 2 wrong use.
    """
    registry, _ = _plugins()
    click.echo(json.dumps(config.json_schema(registry), indent=2))


@cli.command()
@click.argument("table", type=click.Choice(["metrics", "config", "cli"]))
def docs(table: str) -> None:
    """Prints a reference table as Markdown, made from the code.

    Exit codes: 0 done, 1 a plug-in is broken, 2 wrong use.
    """
    registry, _ = _plugins()
    match table:
        case "metrics":
            text = reference.metrics()
        case "config":
            text = config.reference(registry)
        case _:
            text = reference.commands(cli)
    click.echo(text, nl=False)


def _config(file: Path | None, config_file: Path | None) -> Path:
    """The configuration's file or folder, from the argument or the flag; the environment comes last."""
    source = click.get_current_context().get_parameter_source("config_file")
    if source is ParameterSource.COMMANDLINE and file not in (None, config_file):
        raise click.UsageError("F and --config.file name two configurations; give one of them")
    path = file or config_file
    if path is None:
        raise click.UsageError("the configuration is missing: give it as F or as --config.file F")
    return path


def _given(name: str) -> bool:
    """Whether an argument of this command comes from its user."""
    return click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT


def _shard(index: str, count: int) -> Shard:
    try:
        return Shard(ordinal(socket.gethostname()) if index == "auto" else int(index), count)
    except ValueError as error:
        raise click.UsageError(f"--shard.index {index} --shard.count {count}: {error}") from None


def _plugins() -> tuple[Registry, tuple[plugins.Plugin, ...]]:
    return _fail_in_one_line(plugins.load)


def _fail_in_one_line(run: Callable[[], T]) -> T:
    """Ends with exit code 1 and a line on stderr for what a user can mend."""
    try:
        return run()
    except (ConfigError, ListenError, plugins.PluginError) as error:
        for line in str(error).splitlines():
            click.echo(f"{_COMMAND}: {line}", err=True)
        sys.exit(1)


def main() -> None:
    """Runs the command line; errors of use are one line on stderr and exit code 2."""
    try:
        sys.exit(cli.main(prog_name=_COMMAND, standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else _COMMAND
        message = " ".join(error.format_message().split())
        click.echo(f"{command}: {message} (see {command} --help)", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
