"""The types of flags, and the flags and arguments that several commands have."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from exporter.config_types import parse_duration

ENVIRONMENT = "REMOTE_JOB_EXPORTER_"

F = TypeVar("F", bound=Callable[..., Any])


class PathType(click.Path):
    """The name of a file or folder; errors are reported when it is used."""

    def __init__(self) -> None:
        super().__init__(readable=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        if value == "":  # pathlib reads it as the current folder
            self.fail("must not be empty", param, ctx)
        return super().convert(value, param, ctx)


class _Number(click.FloatRange):
    """A number in a range. Click accepts "nan", which is in no range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail("nan is not a number", param, ctx)
        return number


class Seconds(_Number):
    """A time in a range: a number of seconds, or a duration as in the configuration."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The time in seconds."""
        try:
            seconds = parse_duration(value)
        except ValueError:
            try:
                seconds = float(value)
            except ValueError:
                self.fail("allowed are seconds such as 0.5 and durations such as 500ms or 1m30s", param, ctx)
        return super().convert(seconds, param, ctx)


class WebAddress(click.ParamType[str]):
    """The address of a server that pages link to: without user, query and fragment."""

    name = "URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The address without a slash at its end."""
        if not value:
            return ""
        address = urlsplit(value) if value.isprintable() and " " not in value else urlsplit("")
        allowed = address.scheme in ("http", "https") and address.hostname and "@" not in address.netloc
        if not allowed or address.query or address.fragment:
            self.fail("allowed is http://HOST or https://HOST, with a port and a path if needed", param, ctx)
        return address.geturl().rstrip("/")


class _Level(click.Choice[str]):
    """A level of log lines in upper or lower case; ``warn`` is ``warning``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        level: str = super().convert("warning" if value.casefold() == "warn" else value, param, ctx)
        return level


def option(flag: str, argument: str = "", **settings: Any) -> Callable[[F], F]:
    """A flag as Prometheus names them, with an environment variable of the same name."""
    name = flag.removeprefix("--").replace(".", "_").replace("-", "_")
    return click.option(
        flag,
        argument or name,
        envvar=ENVIRONMENT + name.upper(),
        show_envvar=True,
        show_default=True,
        **settings,
    )


def log_options(command: F) -> F:
    """The flags ``--log.level`` and ``--log.format``."""
    levels = _Level(["debug", "info", "warning", "error"], case_sensitive=False)
    formats = click.Choice(["logfmt", "json"])
    level = option("--log.level", type=levels, default="info", help="Lowest level of log lines.")
    format_ = option("--log.format", type=formats, default="logfmt", help="Format of log lines on stderr.")
    return level(format_(command))


config_file = option(
    "--config.file",
    type=PathType(),
    metavar="F",
    help="The configuration: a YAML file, or a folder whose *.yaml and *.yml files are read as one. Same as "
    "the argument F.",
)
file = click.argument("file", required=False, type=PathType(), metavar="[F]")
web_config = option(
    "--web.config.file",
    type=PathType(),
    metavar="W",
    help="Certificates and users: a YAML file with the keys of the Prometheus exporter toolkit.",
)
speed = option(
    "--speed",
    type=_Number(0.01, 1000),
    default=1.0,
    metavar="N",
    help="Factor by which simulated jobs are faster than real ones.",
)
seed = option(
    "--seed",
    type=int,
    default=0,
    metavar="N",
    help="Seed of the simulation: another seed results in other jobs.",
)


def first_argument(config_file: Path | None) -> str:
    """Which argument comes first, for an error of use."""
    if config_file is None:
        return "without --config.file the first argument is F"
    return "with --config.file the first argument is SYSTEM"


def config_and_words(config_file: Path | None, words: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """The configuration and the other arguments: without ``--config.file`` the first one is F."""
    if config_file is not None:
        return config_file, words
    return config_path(next(map(Path, words), None), None), words[1:]


def config_path(file: Path | None, config_file: Path | None) -> Path:
    """The configuration's file or folder, from the argument or the flag; the environment comes last."""
    source = click.get_current_context().get_parameter_source("config_file")
    if source is ParameterSource.COMMANDLINE and file not in (None, config_file):
        raise click.UsageError("F and --config.file name two configurations; give one of them")
    path = file or config_file
    if path is None:
        raise click.UsageError(
            "the configuration is missing: give it as F or as --config.file F; init writes a first one"
        )
    return path
