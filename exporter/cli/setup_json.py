"""The questions of `init` about an unknown API: what a response means."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import click

from exporter.cli.asking import WIDTH, Asker, show
from exporter.cli.draft import Draft
from exporter.cli.trial import Trial, TrialError
from exporter.guides.shape import Shape, shape_of, state_of
from exporter.model.failure import Failure
from exporter.model.job import State
from exporter.model.text import printable
from exporter.upstream.masks import Masks

SHOWN = 12
"""Fields that are shown."""
NONE = "-"
_ABOUT_STATES = f"What the words for a state mean: {', '.join(State)}."
_NOTHING = Shape(id="id", state="status")


def ask(draft: Draft, asker: Asker, trial: Trial | None) -> None:
    """Asks for the keys of ``read`` and ``discover``, with what a response probably means as the defaults.

    Args:
        trial: ``None`` if no request may be sent.

    Raises:
        TrialError: there is no such response, or no job in it.
    """
    path = asker.text(
        "path",
        "Path",
        "Path of the list of jobs, such as /api/jobs?limit=50. If there is no list: of one job, with {id} "
        "where its id goes, such as /api/jobs/{id}.",
        draft.known.get("path", ""),
    ).removeprefix(draft.answers["base_url"])
    one = "{id}" in path
    job_id = asker.text("id", "Id of a job", default=draft.known.get("id", "")) if one else ""
    draft.known |= {"path": path, "id": job_id}
    shape = _NOTHING
    if trial is not None:
        _set(draft, path, job_id, _NOTHING, {"state": "'unknown'"})
        response, masks = trial.response(draft)
        try:
            found = shape_of(response.json(), one=one)
        except Failure as failure:
            raise TrialError(f"The response of {path} cannot be used: {failure.detail}.") from None
        if found is None:
            what = "object" if one else "list of objects"
            raise TrialError(f"The response of {path} contains no {what}.")
        shape = found
        if asker.interactive:
            _show(shape, masks)
    shape, read = _answers(asker, shape, one=one)
    _set(draft, path, job_id, shape, read)
    words = []
    if trial is not None:
        trial.load(draft)
        words = trial.words(draft)
    if states := _states(asker, words):
        draft.found["read"]["states"] = states


def _answers(asker: Asker, shape: Shape, *, one: bool) -> tuple[Shape, dict[str, Any]]:
    """Where the values are: list and id as a shape, and the keys of ``read``."""
    items, key = "", shape.id
    if not one:
        items = asker.text(
            "items", "The list", "Where is what? Each is a field, or an expression (JMESPath).", shape.items
        )
        key = asker.text("key", "Id, in an entry of the list", default=shape.id)
    read = {"state": asker.text("state", "State", default=shape.state)}
    progress = asker.text("progress", f"Progress, 0 to 1 ({NONE} for none)", default=shape.progress or NONE)
    if progress != NONE:
        read["progress"] = progress
    found = {**({"name": shape.name} if shape.name else {}), **shape.times}
    if asker.interactive and found:
        show(f"Also found: {', '.join(f'{name}: {field}' for name, field in found.items())}.", "  ")
    return replace(shape, items=items, id=key), read | found


def _set(draft: Draft, path: str, job_id: str, shape: Shape, read: dict[str, Any]) -> None:
    """Sets ``read`` and ``discover``, or ``jobs``, of a draft."""
    path, _, query = path.partition("?")
    path = f"/{path.lstrip('/')}"
    request: dict[str, Any] = {"path": path}
    if query:
        values = parse_qs(query, keep_blank_values=True)
        request["query"] = {name: each if len(each) > 1 else each[0] for name, each in values.items()}
    if job_id:
        draft.found = {"read": {**request, **read}}
        draft.discover, draft.jobs = None, [{"id": job_id}]
    else:
        draft.found = {"read": {"path": f"{path.rstrip('/')}/{{id}}", **read}}
        listing = {"items": shape.items or "@", "keys": {"id": shape.id}, "state": read["state"]}
        draft.discover, draft.jobs = {**request, **listing}, []


def _states(asker: Asker, words: list[str]) -> dict[str, list[str]]:
    """The words for each state: those of the flag, and what each word means that occurs now."""
    states = _given(asker)
    about = _ABOUT_STATES
    for word in words:
        if any(word.casefold() == each.casefold() for known in states.values() for each in known):
            continue
        state = usual = state_of(word)
        while asker.interactive:
            state = asker.text("word", f"What does {word!r} mean?", about, usual or State.UNKNOWN)
            about = "" if state in set(State) else _ABOUT_STATES
            if not about:
                break
        if state and state != State.UNKNOWN:
            states.setdefault(state, []).append(word)
    return states


def _given(asker: Asker) -> dict[str, list[str]]:
    states: dict[str, list[str]] = {}
    for given in asker.several("states"):
        state, mark, words = given.partition("=")
        if not mark or state not in set(State):
            allowed = f"allowed is STATE=WORD,… with a state of {', '.join(State)}"
            raise click.UsageError(f"--states {given}: {allowed}")
        states.setdefault(state, []).extend(word.strip() for word in words.split(",") if word.strip())
    return states


def _show(shape: Shape, masks: Masks) -> None:
    if shape.items:
        click.echo(f"\n  A list of {shape.entries} at {shape.items}; its first entry:")
    for name, value in [*masks.json(dict(shape.first)).items()][:SHOWN]:
        line = f"    {name}: {json.dumps(value, ensure_ascii=False)}"
        click.echo(printable(line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"))
