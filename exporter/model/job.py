"""The one vocabulary for jobs and their status, the same for every system.

Everything here is frozen and knows no vendor. Times are Unix seconds (float, UTC), durations
seconds, ratios 0 to 1. ``None``: the vendor does not report it. It becomes an absent series, never a zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from msgspec import Struct

EMPTY: Mapping[str, Any] = MappingProxyType({})
"""No labels, no categories: one object for all jobs that have none."""


class State(StrEnum):
    """The ten states, each a value of the label ``remote_job_state``."""

    # The position, from 0, is the value of remote_job_state_code: a new state goes to the end.
    IDLE = "idle"
    QUEUED = "queued"
    RUNNING = "running"
    CANCELING = "canceling"
    SUCCEEDED = "succeeded"
    SUCCEEDED_WITH_ERRORS = "succeeded_with_errors"
    FAILED = "failed"
    CANCELED = "canceled"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


ACTIVE = frozenset({State.QUEUED, State.RUNNING, State.CANCELING})
"""The states of a run that has not ended."""

RESULTS = (State.SUCCEEDED, State.SUCCEEDED_WITH_ERRORS, State.FAILED, State.CANCELED)
"""The states in which a run can end: the values of the label ``result``."""


class Kind(StrEnum):
    """A ``slot`` has one identity for run after run; a ``run`` ends once."""

    SLOT = "slot"
    RUN = "run"


class Expect(Struct, frozen=True, gc=False):
    """What the configuration expects of a job, in seconds; ``None`` is no expectation."""

    start_within: float | None = None
    progress_within: float | None = None
    run_within: float | None = None
    success_within: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One configured or discovered job.

    ``id`` is the label ``job_id``: stable for the life of the slot or run. ``keys`` are the
    provider's own, as strings, in the order that makes up ``id``. ``link`` is the address of a page about it.
    """

    system: str
    id: str
    kind: Kind
    provider: str
    keys: Mapping[str, str]
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    expect: Expect = field(default_factory=Expect)
    link: str = ""


class Items(Struct, frozen=True, gc=False):
    """Item counts of the current run, as far as the vendor reports them."""

    total: int | None = None
    sent: int | None = None
    additional_sent: int | None = None
    processed: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    skipped: int | None = None
    deleted: int | None = None
    acknowledged: int | None = None


class Category(Struct, frozen=True, gc=False):
    """Item counts of one category of a run."""

    total: int | None = None
    succeeded: int | None = None
    failed: int | None = None


class Status(Struct, frozen=True):
    """The status of a job, from one read or one entry of a listing.

    Structs are made and compared several times as fast as dataclasses; these are made in each read.

    Args:
        state: in the words of the vocabulary.
        raw: the vendor's own word for it, shown in ``remote_job_status_info``.
        final: the run has ended and this status will not change. Set by the provider, never
            derived from the state, and never true for a slot.
        step: the vendor's word for the step of the run.
        run: identifies the run, if the vendor has anything that differs from run to run; never a label.
        run_number: a number that grows with every run.
        progress: 0 to 1; only if the denominator is final.
        cancelable, enabled, sending_complete: as reported.
        queued_at, started_at, ended_at: of the current or newest run.
        reported_at: when the vendor last updated this status.
        state_since: since when the job is in this state, if the vendor reports it.
        succeeded_at, failed_at: end of this or an *earlier* run, reported in addition to the state (a slot
            that waits again and has the time of its last success).
        unseen_end: how the run ended that was active in the previous status of the job and is over in this
            one, although neither shows the end. Set only where the vendor's rules permit to conclude it.
        unseen_within: ``unseen_end`` is certain only if the previous status was read at most so many seconds
            before; else the run is over and how it ended is not known. ``None``: it is certain.
        memory: what the provider keeps of this status for the next read; it means nothing to anybody else.
        name, type, level: the vendor's words for what the job is; they do not change in its life.
        labels: labels that the configuration takes from the response.
        notes: the fields that were left out because of their value: one line for each, with the reason and
            without any text of the response.
    """

    state: State
    raw: str = ""
    final: bool = False
    step: str = ""
    run: str = ""
    run_number: int | None = None
    progress: float | None = None
    items: Items = Items()
    categories: Mapping[str, Category] = EMPTY
    cancelable: bool | None = None
    enabled: bool | None = None
    sending_complete: bool | None = None
    queued_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    reported_at: float | None = None
    state_since: float | None = None
    succeeded_at: float | None = None
    failed_at: float | None = None
    unseen_end: State | None = None
    unseen_within: float | None = None
    memory: object = None
    name: str = ""
    type: str = ""
    level: str = ""
    labels: Mapping[str, str] = EMPTY
    notes: tuple[str, ...] = ()

    @property
    def result_at(self) -> float | None:
        """When the run that is shown ended: ``ended_at``, else the time that the vendor gives its result."""
        if self.ended_at is not None or self.state not in RESULTS:
            return self.ended_at
        if self.state is State.FAILED:
            return self.failed_at
        return None if self.state is State.CANCELED else self.succeeded_at
