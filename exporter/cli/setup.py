"""The questions of `init` in their order, each tried as soon as that is possible."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import click

from exporter import config, service
from exporter.cli import online as tried
from exporter.cli.asking import WIDTH, Asker, show
from exporter.cli.draft import Draft
from exporter.cli.user_errors import UserError
from exporter.collector.online import Attempt, Online
from exporter.config import ConfigError, Registry
from exporter.config.masked import secret_masks
from exporter.guides import GUIDES, Question
from exporter.guides.shape import Shape, shape_of, state_of
from exporter.model.failure import Failure
from exporter.model.http import Response
from exporter.model.job import State
from exporter.model.text import printable
from exporter.providers.base import Found
from exporter.runtime.logging import counted
from exporter.transport import blocking_session
from exporter.upstream.masks import Masks
from exporter.upstream.recording import Recorder

SHOWN = 12
"""Jobs that are shown by name."""
ALL = "all"


class Setup:
    """Makes a draft.

    Args:
        folder: for trials; only this user can read it, and the caller removes it.
        offline: no request is sent.
    """

    def __init__(self, asker: Asker, registry: Registry, folder: Path, *, offline: bool) -> None:
        self._asker = asker
        self._registry = registry
        self._folder = folder
        self._offline = offline

    def run(self) -> Draft:
        """The draft, once it works or is wanted nevertheless.

        Raises:
            UserError: it does not work, and nobody is there to be asked.
            click.UsageError: a value is missing, and nobody is there to be asked.
        """
        systems = {name: guide.title for name, guide in GUIDES.items()}
        provider = self._asker.pick("system", "Which system?", systems)
        guide = GUIDES[provider]
        draft = Draft(provider, guide, self._asker.text("name", "Name of it here", default=guide.name))
        while not self._reach(draft):
            pass
        while not self._sign_in(draft):
            pass
        return draft

    def _reach(self, draft: Draft) -> bool:
        """Asks for the address; whether a server responds there, or the address is wanted nevertheless."""
        self._ask(draft, draft.guide.system)
        url = draft.answers["base_url"] = draft.answers["base_url"].rstrip("/")
        if self._offline or not url.startswith(("http://", "https://")):
            return True
        try:
            with blocking_session() as session:
                session.get(url)
        except (Failure, OSError, ValueError) as error:
            detail = error.detail if isinstance(error, Failure) else "it is not a valid address"
            return not self._again(f"{url} cannot be reached: {detail}.", "Another address?")
        if self._asker.interactive:
            click.echo("  A server responds there.")
        return True

    def _sign_in(self, draft: Draft) -> bool:
        """Asks for the credential and the jobs; whether they work, or are wanted nevertheless."""
        guide = draft.guide
        kinds = {kind: sign_in.about for kind, sign_in in guide.sign_in.items()}
        before, draft.auth = (
            draft.auth,
            self._asker.pick("auth", "Which credential?", kinds, next(iter(kinds))),
        )
        if before != draft.auth:
            draft.answers = {key: value for key, value in draft.answers.items() if "auth." not in key}
        self._ask(draft, guide.sign_in[draft.auth].questions)
        draft.discover, draft.jobs = None, []
        if draft.provider == "json":
            return self._read_shape(draft)
        if guide.listing is None:
            self._ask(draft, guide.job)
            draft.jobs = [_below(draft.answers, "job")]
        else:
            self._ask(draft, guide.listing)
            draft.discover = {**_below(draft.answers, "discover"), **guide.discover(draft.answers)}
        return self._try(draft)

    def _ask(self, draft: Draft, questions: Iterable[Question]) -> None:
        for question in questions:
            draft.answers[question.key] = self._asker.ask(question, draft.answers)

    def _again(self, problem: str, what: str) -> bool:
        """Shows a problem; whether to ask again. Ends the command if nobody can be asked."""
        if not self._asker.interactive:
            raise UserError(f"{problem} Nothing is written; --offline writes what is given without a trial")
        click.echo()
        show(problem, "  ")
        return self._asker.confirm(what, default=True)

    def _loads(self, draft: Draft) -> str:
        """What is wrong with the draft as a configuration; empty if nothing."""
        path = draft.write_trial(self._folder)
        try:
            warnings = config.warnings(config.load(path, registry=self._registry))
        except ConfigError as error:
            return " ".join(f"{each.path}: {each.text}." for each in error.errors)
        return " ".join(f"{each.path}: {each.text}." for each in warnings)

    def _try(self, draft: Draft) -> bool:
        """Reads the system once and shows the result; then asks which jobs to watch."""
        if problem := self._loads(draft):
            return not self._again(problem, "Answer again?")
        if self._offline:
            self._choose(draft, None)
            return True
        result = self._online(draft)
        if not result.works:
            if self._asker.interactive:
                return not self._asker.confirm("Answer again?", default=True)
            raise UserError(
                "the system cannot be read, so nothing is written; --offline writes without a trial"
            )
        if draft.discover is None:
            return True
        found = next((each.found for each in result.attempts if each.found is not None), {})
        self._choose(draft, found)
        if not draft.jobs:
            return True
        return self._online(draft).works or not self._again("A job cannot be read.", "Answer again?")

    def _online(self, draft: Draft) -> Online:
        """Reads the system as `check --online` does, and shows the result."""
        path = draft.write_trial(self._folder)
        [result], loaded = asyncio.run(self._service(path).try_online())
        click.echo()
        for line in tried.lines(result, loaded.systems[0]):
            click.echo(f"  {line}")
        return result

    def _service(self, path: Path) -> service.Service:
        return service.Service(path, service.Options(registry=self._registry))

    def _choose(self, draft: Draft, found: Mapping[str, Found] | None) -> None:
        """Asks which of the found jobs to watch: all, also those that come later, or some.

        Args:
            found: by ``job_id``; ``None`` if nothing was listed.
        """
        jobs = f"{len(found)} {draft.guide.jobs}" if found is not None else draft.guide.jobs
        names = _names(found or {})
        if self._asker.interactive and names:
            _show_names(names)
        answer = self._asker.text(
            "watch",
            f"{jobs}: watch all, or which (numbers or ids with commas)?",
            f"All means also {draft.guide.jobs} that appear later.",
            ALL,
        )
        if answer == ALL or draft.discover is None:
            return
        by_number = {str(number): job_id for number, job_id in enumerate(names, 1)}
        chosen = [by_number.get(word.strip(), word.strip()) for word in answer.split(",") if word.strip()]
        if found is None:
            key = draft.guide.job[0].key.removeprefix("job.") if draft.guide.job else "id"
            draft.jobs = [{key: job_id} for job_id in chosen]
        elif unknown := [job_id for job_id in chosen if job_id not in found]:
            raise UserError(f"--watch: {', '.join(unknown)} is not among the {jobs} that were found")
        else:
            draft.jobs = [dict(found[job_id].keys) for job_id in chosen]
        draft.discover = None

    def _read_shape(self, draft: Draft) -> bool:
        """Finds out what a response of an unknown API means, and asks whether that is right."""
        asker = self._asker
        path = asker.text(
            "path",
            "Path",
            "Path of a response with the list of jobs, such as /api/jobs?limit=50, or of one job with "
            "{id} where its id goes, such as /api/jobs/{id}.",
        )
        one = "{id}" in path
        job_id = asker.text("id", "Id of a job") if one else ""
        shape = None
        if not self._offline:
            response, masks = self._fetch(draft, path, job_id)
            if response is None:
                return not asker.interactive or not asker.confirm("Answer again?", default=True)
            shape = _shape_in(response, one=one)
            if shape is None:
                problem = (
                    f"The response of {path} contains no {'object' if one else 'list of objects'} in JSON."
                )
                return not self._again(problem, "Answer again?")
            if asker.interactive:
                _show_shape(shape, masks)
        self._set_expressions(draft, path, job_id, shape)
        if not self._offline and not self._loads(draft):
            self._set_states(draft)
        return self._try(draft)

    def _fetch(self, draft: Draft, path: str, job_id: str) -> tuple[Response | None, Masks]:
        """The response at a path, whatever is in it, and what to mask in it.

        There is no response after an error, which is then shown.
        """
        request = _request(path)
        draft.found = {"read": {"path": "/{id}", "state": "'running'"}}
        draft.discover, draft.jobs = {**request, "items": "@", "keys": {"id": "id"}}, []
        if job_id:
            draft.found = {"read": {**request, "state": "'running'"}}
            draft.discover, draft.jobs = None, [{"id": job_id}]
        file = draft.write_trial(self._folder)
        try:
            loaded = config.load(file, registry=self._registry)
        except ConfigError as error:
            raise UserError(str(error)) from None
        recorder = Recorder()
        if job_id:
            pairs = [("system", draft.name), ("id", job_id)]
            probe, _ = asyncio.run(self._service(file).probe(pairs, 60.0, recorder))
            view = probe.record.view
            reason = view.reason if view is not None else None
            failure = None if reason is None else Failure(reason, probe.record.detail)
        else:
            [listing], _ = asyncio.run(self._service(file).list_jobs(draft.name))
            recorder, failure = listing.recorder, listing.listed.failure
        response = recorder.responses().get(1)
        if response is not None and 200 <= response.status < 300:
            recorder.add_issued(masks := secret_masks(loaded, draft.name))
            return response, masks
        step = tried.next_step(Attempt("", failure=failure), loaded.systems[0])
        problem = f"{path} cannot be read: {failure}. {step}"
        if not self._asker.interactive:
            raise UserError(problem)
        click.echo()
        show(problem, "  ")
        return None, Masks()

    def _set_expressions(self, draft: Draft, path: str, job_id: str, shape: Shape | None) -> None:
        """Asks where the values are, with what was found as the default."""
        asker, known = self._asker, shape or Shape("", 0, "id", "status", "", "", {})
        read: dict[str, Any] = {}
        if not job_id:
            items = asker.text("items", "The list", "Each is an expression (JMESPath).", known.items)
            key = asker.text("key", "Id, in an entry of the list", default=known.id)
        read["state"] = state = asker.text("state", "State", default=known.state)
        progress = asker.text("progress", "Progress, 0 to 1 (- for none)", default=known.progress or "-")
        if progress != "-":
            read["progress"] = progress
        if known.name:
            read["name"] = known.name
        if job_id:
            draft.found = {"read": {**_request(path), **read}}
            draft.discover, draft.jobs = None, [{"id": job_id}]
            return
        request = _request(path)
        draft.found = {"read": {"path": f"{request['path'].rstrip('/')}/{{id}}", **read}}
        draft.discover = {**request, "items": items, "keys": {"id": key}, "state": state}
        draft.jobs = []

    def _set_states(self, draft: Draft) -> None:
        """Asks what each word for a state means that was seen."""
        [result], _ = asyncio.run(self._service(draft.write_trial(self._folder)).try_online())
        words = dict.fromkeys(
            status.raw
            for attempt in result.attempts
            for status in (attempt.status, *(each.status for each in (attempt.found or {}).values()))
            if status is not None and status.raw
        )
        states, asked = _given_states(self._asker), False
        for word in words:
            if any(word.casefold() in map(str.casefold, each) for each in states.values()):
                continue
            state = state_of(word)
            if self._asker.interactive:
                about = "" if asked else f"What the words for a state mean: {', '.join(State)}."
                state, asked = self._mean(word, about, state), True
            if state and state != State.UNKNOWN:
                states.setdefault(state, []).append(word)
        if states:
            draft.found["read"]["states"] = states

    def _mean(self, word: str, about: str, guess: str) -> str:
        """The state that somebody says a word means."""
        while (
            state := self._asker.text("word", f"What does {word!r} mean?", about, guess or "unknown")
        ) not in set(State):
            about = f"Allowed: {', '.join(State)}."
        return state


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


def _given_states(asker: Asker) -> dict[str, list[str]]:
    states: dict[str, list[str]] = {}
    for given in asker.several("states"):
        state, mark, words = given.partition("=")
        if not mark or state not in set(State):
            raise click.UsageError(
                f"--states {given}: allowed is STATE=WORD,… with a state of {', '.join(State)}"
            )
        states.setdefault(state, []).extend(word.strip() for word in words.split(",") if word.strip())
    return states


def _below(answers: Mapping[str, Any], first: str) -> dict[str, Any]:
    """The answers whose keys begin with a name, without it."""
    return {
        key.removeprefix(f"{first}."): each for key, each in answers.items() if key.startswith(f"{first}.")
    }


def _request(path: str) -> dict[str, Any]:
    """A path with a query as the keys of a request."""
    path, _, query = path.partition("?")
    return {"path": f"/{path.lstrip('/')}", **({"query": dict(parse_qsl(query))} if query else {})}


def _shape_in(response: Response, *, one: bool) -> Shape | None:
    try:
        return shape_of(response.json(), one=one)
    except Failure:
        return None


def _show_shape(shape: Shape, masks: Masks) -> None:
    if shape.items:
        click.echo(f"\n  {counted(shape.entries, 'job')} at {shape.items}; the first:")
    for name, value in [*masks.json(dict(shape.first)).items()][:SHOWN]:
        line = f"    {name}: {json.dumps(value, ensure_ascii=False)}"
        click.echo(printable(line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"))
