"""The questions of `init` in their order, each tried as soon as that is possible."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click
from rich.cells import cell_len, set_cell_size

from exporter.cli import setup_json
from exporter.cli.asking import WIDTH, Asker, show
from exporter.cli.draft import Draft
from exporter.cli.trial import Trial, TrialError
from exporter.cli.user_errors import UserError
from exporter.guides import GUIDES, Guide, Question
from exporter.model.failure import Reason
from exporter.model.text import printable
from exporter.providers.base import Found

SHOWN = 12
"""Jobs that are shown by name."""
ALL = "all"
_ADDRESS, _CREDENTIAL, _JOBS, _WRITE = "address", "credential", "jobs", "write"
_PASSING = (Reason.RATE_LIMITED, Reason.SERVER_ERROR)
_CREDENTIAL_REASONS = (Reason.AUTH, Reason.UNAUTHORIZED, Reason.FORBIDDEN)


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
            UserError: it does not work, and there is no terminal.
            click.UsageError: a value is missing, and there is no terminal.
        """
        systems = {name: guide.title for name, guide in GUIDES.items()}
        provider = self._asker.pick("system", "Which system?", systems)
        draft = Draft(provider, GUIDES[provider], GUIDES[provider].name)
        self._repeat(self._name, draft)
        self._repeat(self._reach, draft)
        self._repeat(self._sign_in, draft)
        while True:
            try:
                if not draft.complete:
                    self._jobs(draft)
                draft.complete = False  # what cannot be loaded is not written
                self._trial.load(draft)
                draft.complete = True
                self._read(draft)
            except TrialError as error:
                self._show(error)
                if not self._again(draft, error.reason):
                    return draft
            else:
                return draft

    def _repeat(self, step: Callable[[Draft], None], draft: Draft) -> None:
        """Asks until the answers are accepted. Ends the command without a terminal."""
        while True:
            try:
                step(draft)
            except TrialError as error:
                self._show(error)
            else:
                return

    def _show(self, error: TrialError) -> None:
        if not self._asker.interactive:
            raise UserError(f"{error} Nothing is written; --offline writes without a trial") from None
        click.echo()
        show(str(error), "  ")

    def _again(self, draft: Draft, reason: Reason | None) -> bool:
        """Asks for what was wrong again; false if the draft is to be written as it is."""
        choices = {_CREDENTIAL: "enter another credential", _ADDRESS: "enter another address"}
        if draft.provider == "json" or draft.guide.listing != ():
            choices[_JOBS] = "enter again which jobs are read"
        if draft.complete:
            choices[_WRITE] = "write the configuration nevertheless"
        if reason in _PASSING and draft.complete:
            usual = _WRITE
        else:
            usual = _CREDENTIAL if reason in _CREDENTIAL_REASONS or _JOBS not in choices else _JOBS
        steps = {_CREDENTIAL: self._sign_in, _ADDRESS: self._reach}
        picked = self._asker.pick("again", "What next?", choices, usual)
        if picked in steps:
            self._repeat(steps[picked], draft)
        elif picked == _JOBS:
            draft.complete = False
        return picked != _WRITE

    def _name(self, draft: Draft) -> None:
        what = "Name of the system in the configuration"
        name = self._asker.text("name", what, default=draft.guide.name)
        self._trial.name(name)
        draft.name = name

    def _reach(self, draft: Draft) -> None:
        """Asks for the address, and whether a server responds there."""
        before = dict(draft.answers)
        self._ask(draft, draft.guide.system)
        draft.answers["base_url"] = draft.answers["base_url"].rstrip("/")
        try:
            self._trial.check(draft, "base_url")
        except TrialError:
            draft.answers = before  # an address that is not allowed is no default
            raise
        if self._offline:
            return
        self._trial.reach(draft.answers["base_url"])
        if self._asker.interactive:
            click.echo("  A server responds there.")

    def _sign_in(self, draft: Draft) -> None:
        """Asks for the credential."""
        guide, before = draft.guide, draft.auth
        kinds = {kind: sign_in.about for kind, sign_in in guide.sign_in.items()}
        usual = before if before in kinds else next(iter(kinds))
        draft.auth = self._asker.pick("auth", "Which credential?", kinds, usual)
        if before != draft.auth:
            draft.answers = {k: each for k, each in draft.answers.items() if not k.startswith("auth.")}
        self._ask(draft, guide.sign_in[draft.auth].questions)
        self._trial.check(draft, "auth")

    def _jobs(self, draft: Draft) -> None:
        """Asks for the jobs, or for what is needed to list them."""
        guide = draft.guide
        draft.discover, draft.jobs = None, []
        if draft.provider == "json":
            setup_json.ask(draft, self._asker, None if self._offline else self._trial)
        elif guide.listing is None:
            self._ask(draft, guide.job)
            draft.jobs = [_below(draft.answers, "job")]
        else:
            self._ask(draft, guide.listing)
            draft.discover = {**_below(draft.answers, "discover"), **guide.discover(draft.answers)}

    def _ask(self, draft: Draft, questions: Iterable[Question]) -> None:
        for question in questions:
            draft.answers[question.key] = self._asker.ask(question, draft.answers)

    def _read(self, draft: Draft) -> None:
        """Reads the system once and asks which jobs to watch."""
        if self._offline:
            self._choose(draft, None)
            self._trial.load(draft)
            return
        result = self._trial.read(draft)
        if not result.works:
            raise TrialError("The system cannot be read.", result.reason)
        if draft.discover is None:
            return
        self._choose(draft, next((each.found for each in result.attempts if each.found is not None), {}))
        if draft.jobs and not (result := self._trial.read(draft)).works:
            raise TrialError("A job cannot be read.", result.reason)

    def _choose(self, draft: Draft, found: Mapping[str, Found] | None) -> None:
        """Asks which of the found jobs to watch: all, also those that come later, or some.

        Args:
            found: by ``job_id``; ``None`` if nothing was listed.
        """
        if draft.discover is None:
            return
        jobs = draft.guide.jobs if found is None else f"{len(found)} {draft.guide.jobs}"
        if self._asker.interactive and found:
            _show_jobs(found)
        while True:
            answer = self._asker.text(
                "watch",
                f"{jobs}: watch all, or which (1,2 or ids)?",
                f"All means also {draft.guide.jobs} that appear later.",
                ALL,
            )
            try:
                chosen = _chosen(answer, draft.guide, found)
            except TrialError as error:
                self._show(error)
            else:
                break
        if chosen is not None:
            draft.discover, draft.jobs = None, chosen


def _chosen(answer: str, guide: Guide, found: Mapping[str, Found] | None) -> list[dict[str, Any]] | None:
    """The keys of the jobs that an answer names; ``None`` for all."""
    if answer == ALL:
        return None
    by_number = {str(number): job_id for number, job_id in enumerate(found or (), 1)}
    chosen = [by_number.get(word.strip(), word.strip()) for word in answer.split(",") if word.strip()]
    if found is None:
        key = guide.job[0].key.removeprefix("job.") if guide.job else "id"
        return [{key: job_id} for job_id in chosen]
    if unknown := [job_id for job_id in chosen if job_id not in found]:
        raise TrialError(
            f"--watch: {', '.join(unknown)} is not among the {len(found)} {guide.jobs} that were found."
        )
    names = {job_id: _title(job_id, found[job_id]) for job_id in chosen}
    return [{**found[job_id].keys, **({"name": name} if name else {})} for job_id, name in names.items()]


def _below(answers: Mapping[str, Any], first: str) -> dict[str, Any]:
    """The answers whose keys begin with a name, without it."""
    return {
        key.removeprefix(f"{first}."): each for key, each in answers.items() if key.startswith(f"{first}.")
    }


def _title(job_id: str, found: Found) -> str:
    """The name that the listing has for a job; empty if it is only the id."""
    name = found.name or (found.status.name if found.status is not None else "") or ""
    return name if name != job_id else ""


def _show_jobs(found: Mapping[str, Found]) -> None:
    """The first jobs, each with its state and its name, as far as the listing has them."""
    rows = []
    for number, (job_id, each) in enumerate([*found.items()][:SHOWN], 1):
        state = "unreadable" if each.failure is not None else each.status.state if each.status else ""
        rows.append([f"{number:>4}", *map(printable, (job_id, state, _title(job_id, each)))])
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    click.echo()
    for row in rows:
        cells = (set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True))
        click.echo(set_cell_size("  ".join(cell for cell in cells if cell), WIDTH).rstrip())
    if len(found) > SHOWN:
        click.echo(f"      and {len(found) - SHOWN} more")
