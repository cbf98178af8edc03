"""Microsoft CAPS / OpenPublishing: the newest publish of a docset, ``slot`` by nature.

Source: the CAPS help page "[GET] Get publish state info by bulidjobid". It shows only ``Succeeded``;
the other words are guesses, and any word that is not in the table becomes ``unknown``.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from exporter.config_types import Keys, KeyValue
from exporter.model.http import Request, Response
from exporter.model.job import ACTIVE, RESULTS, Category, Items, Job, Kind, State, Status
from exporter.model.json_body import parsed_text
from exporter.providers.base import Provider, StateOf, Steps, invalid, path
from exporter.providers.fields import Fields
from exporter.providers.values import text

MAX_CATEGORIES_LENGTH = 64 * 1024
MAX_CATEGORIES = 100
"""Each has up to three series."""

_STATES = {
    "succeeded": State.SUCCEEDED,
    "partiallysucceeded": State.SUCCEEDED_WITH_ERRORS,
    **dict.fromkeys(("queued", "pending", "notstarted", "waiting"), State.QUEUED),
    **dict.fromkeys(("running", "inprogress", "processing", "building", "started"), State.RUNNING),
    **dict.fromkeys(("failed", "error"), State.FAILED),
    **dict.fromkeys(("canceling", "cancelling"), State.CANCELING),
    **dict.fromkeys(("canceled", "cancelled"), State.CANCELED),
}


class CapsOptions(Keys):
    """CAPS needs no keys of its own."""


class CapsJob(Keys):
    """One docset's publish to one target in one locale."""

    project_id: KeyValue = Field(description="id of the project that the docset belongs to")
    build_job_id: KeyValue = Field(
        description="id of the docset and of the kind of publish: DOCSET--promote (live) or DOCSET--publish "
        "(staging)"
    )
    locale: KeyValue = Field(description="language of the publish, such as en-US")


class Caps(Provider):
    """Reads ``GET v1/Projects/{project}/BuildJobs/{job}/properties?locale={locale}``."""

    name: ClassVar[str] = "caps"
    Options: ClassVar[type[Keys]] = CapsOptions
    JobKeys: ClassVar[type[Keys]] = CapsJob
    states: ClassVar[Mapping[str, State]] = _STATES

    @classmethod
    def identify(cls, keys: Mapping[str, str]) -> tuple[str, Kind]:
        """A slot: the same three keys show run after run."""
        return f"{keys['project_id']}/{keys['build_job_id']}/{keys['locale']}", Kind.SLOT

    def read(self, job: Job, previous: Status | None) -> Steps:
        """One request."""
        keys = job.keys
        segments = ("v1", "Projects", keys["project_id"], "BuildJobs", keys["build_job_id"], "properties")
        response = yield Request(path(*segments, locale=keys["locale"]))
        return _status(response, self.state_of)


def _status(response: Response, state_of: StateOf) -> Status:
    body = Fields(response.object())
    raw = body.text("job_status")
    if not raw:
        raise invalid(response, "job_status is missing or is not text")
    items = Items(**_counts(body))
    state = state_of(raw)
    if state is State.SUCCEEDED and items.failed:
        state = State.SUCCEEDED_WITH_ERRORS
    started, ended = _times(body, state)
    # The start identifies a run. The blob does so only where there is no start: it may be set at another
    # moment, and each change of an identity counts one more end.
    return Status(
        state=state,
        raw=raw,
        run=_blob(body) if started is None else "",
        # The progress of a queued job is that of the run before.
        progress=None if state is State.QUEUED else body.ratio("job_progress"),
        items=items,
        categories=_categories(body),
        cancelable=body.flag("cancelable"),
        started_at=started,
        ended_at=ended,
        state_since=ended if state in RESULTS else started if state is State.RUNNING else None,
        name=body.text("name"),
        type=body.text("job_type"),
        level=body.text("job_level"),
        notes=body.notes,
    )


def _blob(body: Fields) -> str:
    """``latest_blob_id``, which is over 2^53 and so no float."""
    blob = body.raw.get("latest_blob_id")
    return text(str(blob)) if type(blob) is int else body.text("latest_blob_id")


def _times(body: Fields, state: State) -> tuple[float | None, float | None]:
    """Start and end of the newest run."""
    started, ended = body.instant("started_at"), body.instant("ended_at")
    in_order = started is not None and ended is not None and started <= ended
    if state in ACTIVE:
        # An active run has not ended. An end after the start is, like the start, of the run before.
        return None if in_order else started, None
    # An end before the start is of another run.
    return started, ended if in_order or started is None else None


def _categories(body: Fields) -> dict[str, Category]:
    """``categorized_count``: JSON inside a string. If it is invalid, only the categories are left out."""
    allowed = f"a JSON object of at most {MAX_CATEGORIES} categories"
    categories = body.read("categorized_count", _object, allowed) or {}
    found = {}
    for name, value in categories.items():
        # The name is text of the response, which belongs into no note.
        counts = body.inside(value, "categorized_count.*")
        if not isinstance(value, dict):
            body.note("categorized_count.*", "the value is not an object")
        elif label := text(name):
            found[label] = Category(**_counts(counts))
    return found


def _object(value: object) -> dict[str, Any] | None:
    if isinstance(value, str) and len(value) <= MAX_CATEGORIES_LENGTH:
        try:
            value = parsed_text(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) and len(value) <= MAX_CATEGORIES else None


def _counts(body: Fields) -> dict[str, int | None]:
    names = {"total": "total_count", "succeeded": "successful_count", "failed": "failed_count"}
    return {name: body.count(theirs) for name, theirs in names.items()}
