"""Asks for values: from flags, at a terminal, or not at all, where a missing value is an error."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from exporter.guides import Question
from exporter.runtime.secret import Secret, SecretError

WIDTH = 80
_SOURCES = {"env": "an environment variable of the exporter", "file": "a file that exists"}


def show(text: str, indent: str = "") -> None:
    """Prints a text in lines that fit a terminal."""
    click.echo(
        textwrap.fill(
            text,
            WIDTH,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
            break_long_words=False,
        )
    )


class Pasted(str):
    """The value of a secret that was pasted, to be written to a file."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Pasted(***)"


class Asker:
    """Gets each value from its flag, else from the person at the terminal, else from its default.

    Args:
        flags: the values of the flags by name without dashes; ``None`` for those that are not given.
        interactive: a user is at the terminal.
    """

    def __init__(self, flags: Mapping[str, Any], *, interactive: bool) -> None:
        self._flags = dict(flags)
        self.interactive = interactive

    def ask(self, question: Question, answers: Mapping[str, Any]) -> Any:
        """The answer to a question: text, for a secret its source as in the configuration, or a `Pasted`.

        Args:
            answers: those before it by key, for defaults; its own is what was answered before.

        Raises:
            click.UsageError: it is missing, and there is no terminal.
        """
        if question.secret:
            return self._secret(question, answers)
        default = question.default(answers) if callable(question.default) else question.default
        default = str(answers.get(question.key, default))
        if question.choices:
            choices = dict.fromkeys(question.choices, "")
            return self.pick(question.option, question.text, choices, default, question.where)
        return self.text(question.option, question.text, question.where, default)

    def text(self, flag: str, what: str, where: str = "", default: str = "") -> str:
        """The value of one flag. Fails as `ask`."""
        given = self._take(flag)
        if given is not None:
            return str(given)
        if not self.interactive:
            return default or self._missing(f"--{flag}", what, where)
        if where:
            click.echo()
            show(where, "  ")
        return _prompt(what, default)

    def pick(
        self, flag: str, what: str, choices: Mapping[str, str], default: str = "", where: str = ""
    ) -> str:
        """One of several choices, each with a text; by its number or by its name. Fails as `ask`."""
        given = self._take(flag)
        if given is not None:
            return str(given)
        if len(choices) == 1:
            return next(iter(choices))
        if not self.interactive:
            return default or self._missing(f"--{flag}", what, f"Allowed: {', '.join(choices)}.")
        click.echo()
        if where:
            show(where, "  ")
        wide = max(map(len, choices))
        for number, (name, about) in enumerate(choices.items(), 1):
            click.echo(f"  {number}  {name.ljust(wide)}  {about}".rstrip())
        names = {str(number): name for number, name in enumerate(choices, 1)}
        shown = next((number for number, name in names.items() if name == default), "")
        while True:
            answer = _prompt(f"{what} (number)", shown)
            name = names.get(answer, answer)
            if name in choices:
                return name
            # The answer is not quoted: it may be a secret that was pasted too early.
            show(f"Allowed: a number from 1 to {len(choices)}, or a name of this list.", "  ")

    def several(self, flag: str) -> tuple[str, ...]:
        """The values of a flag that can be repeated."""
        return tuple(self._flags.get(flag, ()))

    def confirm(self, what: str, *, default: bool) -> bool:
        """Yes or no; the default without a terminal."""
        return click.confirm(f"\n  {what}", default=default) if self.interactive else default

    def _secret(self, question: Question, answers: Mapping[str, Any]) -> Any:
        flag = question.option
        if (variable := self._take(f"{flag}.env")) is not None:
            return {"env": str(variable)}
        if (file := self._take(f"{flag}.file")) is not None:
            return {"file": str(Path(file).resolve())}
        if not self.interactive:
            return answers.get(question.key) or self._missing(
                f"--{flag}.env or --{flag}.file", question.text, question.where
            )
        click.echo()
        if question.where:
            show(question.where, "  ")
        show("Paste it; it is not shown. Only Enter: use a variable or a file instead.", "  ")
        value = click.prompt(f"  {question.text}", default="", show_default=False, hide_input=True).strip()
        return Pasted(value) if value else self._source(question.text)

    def _source(self, what: str) -> Mapping[str, str]:
        """The variable or the file that contains a secret."""
        while True:
            if self.pick("", f"{what}: where from?", _SOURCES) == "env":
                source = {"env": _prompt("Name of the variable")}
            else:
                source = {"file": str(Path(_prompt("Path of the file")).expanduser().resolve())}
            if not (problem := _unreadable(source)):
                return source
            show(f"{problem[0].upper()}{problem[1:]}.", "  ")

    def _take(self, flag: str) -> Any:
        """The value of a flag, once: a person is asked for another one if it does not work."""
        return self._flags.pop(flag, None) if self.interactive else self._flags.get(flag)

    def _missing(self, flag: str, what: str, where: str) -> Any:
        raise click.UsageError(f"{flag} is missing: {what}. {where}".rstrip())


def _prompt(what: str, default: str = "") -> str:
    """The line that a person answers with, without spaces around it; only Enter selects the default."""
    while True:
        answer = str(click.prompt(f"  {what}", default=default, show_default=bool(default))).strip()
        if answer:
            return answer
        show("A value is needed.", "  ")


def _unreadable(source: Mapping[str, str]) -> str:
    """Why a secret cannot be read, without its value; empty if it can."""
    try:
        if "env" in source:
            Secret.env(source["env"])
        else:
            Secret.file(Path(source["file"]))
    except SecretError as error:
        return str(error)
    return ""
