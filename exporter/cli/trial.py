"""Tries the draft of a configuration, as `check --online` and `list` do."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from exporter import config, service
from exporter.cli import online as tried
from exporter.cli.draft import Draft
from exporter.collector.online import Attempt, Online
from exporter.config import ConfigError, Finding, Registry
from exporter.config.masked import secret_masks
from exporter.config.models import SystemName
from exporter.config_types import HttpUrl
from exporter.model.failure import Failure, Reason
from exporter.model.http import Response
from exporter.transport.adapter import blocking_session
from exporter.upstream.masks import Masks
from exporter.upstream.recording import Recorder

MOST_SECONDS = 60.0


class TrialError(Exception):
    """A trial failed; the text is for people, in whole sentences and without a secret.

    Args:
        reason: of the failure; ``None`` if no request has failed.
    """

    def __init__(self, text: str, reason: Reason | None = None) -> None:
        super().__init__(text)
        self.reason = reason


class Trial:
    """Loads and reads drafts.

    Args:
        folder: for their files; only this user can read it, and the caller removes it.
    """

    def __init__(self, registry: Registry, folder: Path) -> None:
        self._registry = registry
        self._folder = folder

    def name(self, name: str) -> None:
        """Raises a `TrialError` unless this can be the name of a system."""
        _check(SystemName, name)

    def reach(self, url: str) -> None:
        """Raises a `TrialError` unless a server responds at an address, whatever the response."""
        _check(HttpUrl, url)
        try:
            with blocking_session() as session:
                session.get(url)
        except (Failure, OSError, ValueError) as error:
            detail = error.detail if isinstance(error, Failure) else "the request could not be sent"
            raise TrialError(f"{url} cannot be reached: {detail}.") from None

    def check(self, draft: Draft, key: str) -> None:
        """Raises a `TrialError` if this key has an error or a warning, whatever the others have."""
        place = f"systems.{draft.name}.{key}"
        # Warnings need a configuration without errors, such as one without any job.
        whole = replace(draft, discover=dict(draft.guide.discover(draft.answers)) or None)
        _raise(each for each in self._findings(whole) if each.path.startswith(place))

    def load(self, draft: Draft) -> None:
        """Raises a `TrialError` if the draft has an error or a warning as a configuration."""
        _raise(self._findings(draft))

    def _findings(self, draft: Draft) -> Sequence[Finding]:
        path = draft.write_trial(self._folder)
        try:
            return config.warnings(config.load(path, registry=self._registry))
        except ConfigError as error:
            return error.errors

    def read(self, draft: Draft) -> Online:
        """Reads listing and jobs of a draft that can be loaded."""
        result, loaded = self._read(draft)
        click.echo()
        for line in tried.lines(result, loaded.systems[0], "  "):
            click.echo(line)
        return result

    def words(self, draft: Draft) -> list[str]:
        """The vendor's words for states that occur now, without any other output."""
        result, _ = self._read(draft)
        statuses = (
            status
            for attempt in result.attempts
            for status in (attempt.status, *(each.status for each in (attempt.found or {}).values()))
        )
        return list(dict.fromkeys(status.raw for status in statuses if status is not None and status.raw))

    def response(self, draft: Draft) -> tuple[Response, Masks]:
        """The first response to the listing, or else to the job, of a draft; and what to mask in it.

        Whether the draft can make sense of it does not matter.

        Raises:
            TrialError: there is none with a status of success.
        """
        self.load(draft)
        running = service.Service(self._folder / Draft.FILE, service.Options(registry=self._registry))
        recorder = Recorder()
        if draft.discover is not None:
            [listing], loaded = asyncio.run(running.list_jobs(draft.name))
            recorder, failure = listing.recorder, listing.listed.failure
        else:
            pairs = [("system", draft.name), *draft.jobs[0].items()]
            probe, loaded = asyncio.run(running.probe(pairs, MOST_SECONDS, recorder))
            view = probe.record.view
            reason = view.reason if view is not None else None
            failure = None if reason is None else Failure(reason, probe.record.detail)
        response = recorder.responses().get(1)
        if response is None or not 200 <= response.status < 300:
            step = tried.next_step(Attempt("", failure=failure), loaded.systems[0])
            reason = failure.reason if failure is not None else None
            raise TrialError(f"There is no such response: {failure}. {step}", reason)
        recorder.add_issued(masks := secret_masks(loaded, draft.name))
        return response, masks

    def _read(self, draft: Draft) -> tuple[Online, config.Config]:
        path = draft.write_trial(self._folder)
        running = service.Service(path, service.Options(registry=self._registry))
        [result], loaded = asyncio.run(running.try_online())
        return result, loaded


def _raise(findings: Iterable[Finding]) -> None:
    if texts := [f"{each.path}: {each.text}." for each in findings]:
        raise TrialError(" ".join(texts))


def _check(kind: Any, value: str) -> None:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        texts = (str(each["ctx"]["error"]) if "ctx" in each else each["msg"] for each in error.errors())
        raise TrialError(f"This is not allowed: {'; '.join(texts)}.") from None
