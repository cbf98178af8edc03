"""The command ``init``."""

import contextlib
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from exporter.cli import invocation, options
from exporter.cli.asking import Asker, show
from exporter.cli.draft import Draft, write
from exporter.cli.setup import Setup
from exporter.cli.trial import Trial
from exporter.cli.user_errors import UserError, load_plugins, user_errors
from exporter.guides import GUIDES, Question
from exporter.model.text import printable
from exporter.runtime import logging as log

F = TypeVar("F", bound=Callable[..., Any])

CONFIG = Path("config.yaml")


def _questions() -> Iterator[tuple[str, Question]]:
    """Every question of every guide, with the system it is about."""
    for name, guide in GUIDES.items():
        signing = (question for sign_in in guide.sign_in.values() for question in sign_in.questions)
        jobs = guide.job if guide.listing is None else guide.listing
        for question in (*guide.system, *signing, *jobs):
            yield name, question


def _question_flags(command: F) -> F:
    """A flag for each question; for a secret two, since a secret itself is never a flag."""
    found: dict[str, tuple[Question, dict[str, None]]] = {}
    for system, question in _questions():
        found.setdefault(question.option, (question, {}))[1][system] = None
    for flag, (question, systems) in reversed(found.items()):
        of = f"{question.text} ({', '.join(systems)})"
        if question.secret:
            command = options.option(f"--{flag}.file", metavar="F", help=f"{of}: file with it.")(command)
            command = options.option(f"--{flag}.env", metavar="NAME", help=f"{of}: variable with it.")(
                command
            )
        else:
            kind = click.Choice(list(question.choices)) if question.choices else None
            command = options.option(f"--{flag}", type=kind, metavar="V", help=f"{of}.")(command)
    return command


@click.command("init")
@options.option("--system", type=click.Choice(list(GUIDES)), help="Which system the configuration is for.")
@options.option("--name", metavar="V", help="Name of the system in the configuration.")
@options.option(
    "--auth",
    type=click.Choice(list(dict.fromkeys(kind for guide in GUIDES.values() for kind in guide.sign_in))),
    help="Kind of credential.",
)
@_question_flags
@options.option("--path", metavar="P", help="Path of the list of jobs, or of one job with {id} (json).")
@options.option("--items", metavar="E", help="Expression for the list in the response (json).")
@options.option("--key", metavar="E", help="Expression for the id of a job (json).")
@options.option("--state", metavar="E", help="Expression for the state of a job (json).")
@options.option("--progress", metavar="E", help="Expression for its progress, 0 to 1 (json).")
@options.option(
    "--states", metavar="STATE=WORD,…", multiple=True, help="Words for a state; repeatable (json)."
)
@options.option("--id", metavar="ID", help="Id of the one job (json).")
@options.option("--watch", metavar="all|ID,…", help="Which of the jobs that were found to watch.")
@options.option("--offline", is_flag=True, help="Send no request: write what is given.")
@options.option("--overwrite", is_flag=True, help="Replace files that exist.")
@options.option("--yes", is_flag=True, help="Ask nothing: a missing value is an error or has its default.")
@click.argument("file", required=False, type=options.PathType(), metavar="[F]")
def command(*, file: Path | None, offline: bool, overwrite: bool, yes: bool, **flags: Any) -> None:
    """Writes a first configuration: asks for each value and tries it.

    It says where each value is found at the vendor, and writes config.yaml if F is not given. Secrets go to
    files that only this user can read, or stay in variables and files that exist. Nothing is written before
    the end. Without a terminal, or with --yes, it asks nothing and needs the flags.

    Exit codes: 0 written, 1 a value does not work and nothing is written, 2 wrong arguments, 130 Ctrl-C.
    """
    log.setup("error", "logfmt")
    registry, _ = load_plugins()
    target = file or CONFIG
    interactive = not yes and is_terminal()
    given = {name.replace("_env", ".env").replace("_file", ".file"): value for name, value in flags.items()}
    asker = Asker(
        {name.replace("_", "-"): value for name, value in given.items() if value not in (None, ())},
        interactive=interactive,
    )
    with user_errors(), _nothing_written():
        overwrite = _may_write(target, asker, overwrite=overwrite)
        if interactive:
            show(f"This writes {printable(str(target))}. Enter accepts the value in brackets.")
            show("Ctrl-C ends it; nothing is written before the last answer.")
        with tempfile.TemporaryDirectory(prefix="remote-job-exporter-") as folder:
            draft = Setup(asker, Trial(registry, Path(folder)), offline=offline).run()
        for name in () if overwrite else draft.secrets():
            _may_write(target.parent / name, asker, overwrite=False)
        secrets = write(draft, target, registry)
    _report(target, secrets, draft)


def is_terminal() -> bool:
    """Whether a user can answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _may_write(path: Path, asker: Asker, *, overwrite: bool) -> bool:
    """Whether a file may be replaced; ends the command if it exists and may not."""
    if overwrite or not path.exists():
        return overwrite
    if asker.interactive and asker.confirm(f"{path} exists. Overwrite it?", default=False):
        return True
    raise UserError(f"{path} exists; give another file, or --overwrite")


@contextlib.contextmanager
def _nothing_written() -> Iterator[None]:
    """Says after Ctrl-C that no file is left; the end of the terminal and SIGTERM count as Ctrl-C."""
    ends = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, _interrupt) for number in ends]
    try:
        yield
    except (click.Abort, KeyboardInterrupt):
        with contextlib.suppress(OSError):  # the terminal may have gone
            click.echo("\nNothing was written.", err=True)
        raise click.Abort from None
    finally:
        for number, handler in zip(ends, before, strict=True):
            signal.signal(number, handler)


def _interrupt(number: int, frame: object) -> None:
    del number, frame
    raise KeyboardInterrupt


def _report(target: Path, secrets: list[Path], draft: Draft) -> None:
    click.echo(f"\nWritten: {target}")
    for path in secrets:
        click.echo(f"         {path} (only you can read it)")
    variables = [
        each["env"] for each in draft.answers.values() if isinstance(each, Mapping) and "env" in each
    ]
    if variables:
        show(f"serve needs these variables too: {', '.join(variables)}.")
    command = invocation.command()
    file = shlex.quote(str(target))
    click.echo(f"\nSee the jobs here:  {command} watch {file}")
    click.echo(f"Run the exporter:   {command} serve {file}")
    click.echo("  Its pages:        http://127.0.0.1:10072/jobs (all jobs)")
    click.echo("                    http://127.0.0.1:10072/     (how Prometheus scrapes it)")
