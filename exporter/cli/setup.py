"""The questions of `init` in their order, each tried as soon as that is possible."""

from collections.abc import Iterable, Mapping
from typing import Any

import click

from exporter.cli import setup_json
from exporter.cli.asking import WIDTH, Asker, show
from exporter.cli.draft import Draft
from exporter.cli.trial import Trial, TrialError
from exporter.cli.user_errors import UserError
from exporter.guides import GUIDES, Question
from exporter.model.text import printable
from exporter.providers.base import Found

SHOWN = 12
"""Jobs that are shown by name."""
ALL = "all"
AGAIN = "Answer again? With n it is written as it is."


class Setup:
    """Makes a draft.

    Args:
        offline: no request is sent.
    """

    def __init__(self, asker: Asker, trial: Trial, *, offline: bool) -> None:
        self._asker = asker
        self._trial = trial
        self._offline = offline

    def run(self) -> Draft:
        """The draft, once it works or is wanted nevertheless.

        Raises:
            UserError: it does not work, and nobody is there to be asked.
            click.UsageError: a value is missing, and nobody is there to be asked.
        """
        systems = {name: guide.title for name, guide in GUIDES.items()}
        provider = self._asker.pick("system", "Which system?", systems)
        draft = Draft(provider, GUIDES[provider], GUIDES[provider].name)
        while not self._works(lambda: self._name(draft)):
            pass
        while True:
            while not self._works(lambda: self._reach(draft)):
                pass
            try:
                self._sign_in(draft)
            except TrialError as error:
                self._show(error)
                if draft.complete and not self._asker.confirm(AGAIN, default=True):
                    return draft
            else:
                return draft

    def _works(self, step: Any) -> bool:
        """Whether a step succeeds; shows why not. Ends the command if nobody can be asked."""
        try:
            step()
        except TrialError as error:
            self._show(error)
            return False
        return True

    def _show(self, error: TrialError) -> None:
        if not self._asker.interactive:
            raise UserError(f"{error} Nothing is written; --offline writes without a trial") from None
        click.echo()
        show(str(error), "  ")

    def _name(self, draft: Draft) -> None:
        draft.name = self._asker.text("name", "Name of it here", default=draft.guide.name)
        self._trial.name(draft.name)

    def _reach(self, draft: Draft) -> None:
        """Asks for the address, and whether a server responds there."""
        self._ask(draft, draft.guide.system)
        draft.answers["base_url"] = draft.answers["base_url"].rstrip("/")
        if self._offline:
            return
        self._trial.reach(draft.answers["base_url"])
        if self._asker.interactive:
            click.echo("  A server responds there.")

    def _sign_in(self, draft: Draft) -> None:
        """Asks for the credential and the jobs, and tries them."""
        guide, before = draft.guide, draft.auth
        kinds = {kind: sign_in.about for kind, sign_in in guide.sign_in.items()}
        usual = before if before in kinds else next(iter(kinds))
        draft.auth = self._asker.pick("auth", "Which credential?", kinds, usual)
        if before != draft.auth:
            draft.answers = {k: each for k, each in draft.answers.items() if not k.startswith("auth.")}
        self._ask(draft, guide.sign_in[draft.auth].questions)
        draft.complete, draft.discover, draft.jobs = False, None, []
        if draft.provider == "json":
            setup_json.ask(draft, self._asker, None if self._offline else self._trial)
        elif guide.listing is None:
            self._ask(draft, guide.job)
            draft.jobs = [_below(draft.answers, "job")]
        else:
            self._ask(draft, guide.listing)
            draft.discover = {**_below(draft.answers, "discover"), **guide.discover(draft.answers)}
        draft.complete = True
        self._read(draft)

    def _ask(self, draft: Draft, questions: Iterable[Question]) -> None:
        for question in questions:
            draft.answers[question.key] = self._asker.ask(question, draft.answers)

    def _read(self, draft: Draft) -> None:
        """Reads the system once and asks which jobs to watch."""
        if self._offline:
            self._choose(draft, None)
            self._trial.load(draft)
            return
        self._trial.load(draft)
        result = self._trial.read(draft)
        if not result.works:
            raise TrialError("The system cannot be read.")
        if draft.discover is None:
            return
        self._choose(draft, next((each.found for each in result.attempts if each.found is not None), {}))
        if draft.jobs and not self._trial.read(draft).works:
            raise TrialError("A job cannot be read.")

    def _choose(self, draft: Draft, found: Mapping[str, Found] | None) -> None:
        """Asks which of the found jobs to watch: all, also those that come later, or some.

        Args:
            found: by ``job_id``; ``None`` if nothing was listed.
        """
        if draft.discover is None:
            return
        jobs = f"{len(found)} {draft.guide.jobs}" if found is not None else draft.guide.jobs
        names = _names(found or {})
        if self._asker.interactive and names:
            _show_names(names)
        answer = self._asker.text(
            "watch",
            f"{jobs}: watch all, or which (1,2 or ids)?",
            f"All means also {draft.guide.jobs} that appear later.",
            ALL,
        )
        if answer == ALL:
            return
        by_number = {str(number): job_id for number, job_id in enumerate(names, 1)}
        chosen = [by_number.get(word.strip(), word.strip()) for word in answer.split(",") if word.strip()]
        if found is None:
            key = draft.guide.job[0].key.removeprefix("job.") if draft.guide.job else "id"
            draft.jobs = [{key: job_id} for job_id in chosen]
        elif unknown := [job_id for job_id in chosen if job_id not in found]:
            raise TrialError(f"--watch: {', '.join(unknown)} is not among the {jobs} that were found.")
        else:
            draft.jobs = [dict(found[job_id].keys) for job_id in chosen]
        draft.discover = None


def _below(answers: Mapping[str, Any], first: str) -> dict[str, Any]:
    """The answers whose keys begin with a name, without it."""
    return {
        key.removeprefix(f"{first}."): each for key, each in answers.items() if key.startswith(f"{first}.")
    }


def _names(found: Mapping[str, Found]) -> dict[str, str]:
    """The name of each job, by ``job_id``."""
    return {
        job_id: each.name or (each.status.name if each.status is not None else "") or ""
        for job_id, each in found.items()
    }


def _show_names(names: Mapping[str, str]) -> None:
    click.echo()
    for number, (job_id, name) in enumerate([*names.items()][:SHOWN], 1):
        line = f"  {number:>4}  {job_id}  {name}".rstrip()
        click.echo(printable(line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"))
    if len(names) > SHOWN:
        click.echo(f"        and {len(names) - SHOWN} more")
