"""The past of a job, which no single response contains. Pure: no clock, no I/O.

A slot has one run after another with one identity. This module detects the change from one run to the
next, gives a time to what the vendor does not date, and counts the runs that ended.

A run has ended only when the vendor says so, in one of three ways: the state is a result; the response
dates the end of this or an earlier run (``succeeded_at``, ``failed_at``); or the vendor's rules permit the
provider to conclude it from two reads (``unseen_end``). A change from one active state to another, of a
count or of an identifier is never an end by itself: a run whose end was not seen is not counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from exporter.model.job import ACTIVE, RESULTS, Items, State, Status

_GOOD = frozenset({State.SUCCEEDED, State.SUCCEEDED_WITH_ERRORS})
_NO_RUNS: Mapping[State, int] = MappingProxyType(dict.fromkeys(RESULTS, 0))
_NO_PROGRESS = ("", None, Items())
_WHOLE_MINUTE = 60.0
"""How much too early a time can be: some vendors write whole minutes."""


@dataclass(slots=True)
class _Newest:
    """When the newest run with a kind of result ended.

    ``dated``: the time as the vendor gave it. ``guessed``: the time is when the end was noticed.
    """

    at: float | None = None
    dated: float | None = None
    guessed: bool = False

    def ended(self, at: float | None, now: float, *, same_run: bool) -> None:
        """A run ended at ``at``, if the vendor dates it; ``same_run``: its end is known already."""
        if at is None:
            if not same_run:
                self.at, self.dated, self.guessed = now, None, True
        elif self.is_before(at, now) or (self.guessed and same_run):
            # If the vendor's clock is ahead, its time must not hide all later ends.
            self.at, self.dated, self.guessed = min(at, now), at, False

    def is_before(self, at: float, now: float) -> bool:
        """Whether the vendor's time ``at`` is that of a later end."""
        # The same time of a clock that is ahead is that of the same end, although it is later in each read.
        return self.at is None or (at != self.dated and min(at, now) > self.at)


@dataclass(slots=True)
class History:
    """The past of one job, in Unix seconds.

    Args:
        watched_since: when this exporter started to watch the job.

    Attributes:
        status: the last one.
        state_since: since when the job is in that state.
        progress_changed: when step, progress or a count last changed.
        finished: the runs that ended while the job was watched, by result.
    """

    watched_since: float
    status: Status | None = None
    state_since: float = 0.0
    progress_changed: float | None = None
    finished: Mapping[State, int] = field(default_factory=lambda: _NO_RUNS)
    _success: _Newest = field(default_factory=_Newest)
    _failure: _Newest = field(default_factory=_Newest)
    _seen: float = 0.0
    _active: Status | None = None
    _ended: Status | None = None
    _left: bool = False
    _latest: float = 0.0
    _mark: tuple[str, float | None, Items] | None = None

    def __post_init__(self) -> None:
        self._latest = self.watched_since

    @property
    def last_success(self) -> float | None:
        """End of the newest run known to have succeeded, with or without errors."""
        return self._success.at

    @property
    def last_failure(self) -> float | None:
        """End of the newest run known to have failed."""
        return self._failure.at

    def observe(self, status: Status, now: float, *, read_at: float | None = None) -> None:
        """Adds the status of a read at Unix time ``now``; ``read_at``: when the read began, if not then."""
        before, seen = self.status, self._seen
        self._latest = max(self._latest, now)
        # A slow response can be of any moment since the request.
        self._seen = now if read_at is None else read_at
        # Most reads bring nothing new, and thousands of jobs are read in each scrape.
        if status == before:
            return
        self.status = status
        self._date_state(before, status, now)
        self._date_progress(before, status, now)
        if before is not None and before.state in ACTIVE:
            self._note_unseen(status, now, since_seen=now - seen)
        if status.state in RESULTS:
            self._note_result(before, status, now)
        elif not _shows_no_run(status):
            self._left = True
        if status.state in ACTIVE:
            self._active = status
        self._note_other(before, status, now)

    def cap(self, now: float) -> bool:
        """Sets the times after ``now`` to it. None was in the future when it was noted: the clock was ahead.

        Returns:
            Whether there was one.
        """
        latest, self._latest = self._latest, now
        if now >= latest:
            return False
        newest = self._success, self._failure
        times = self.watched_since, self.state_since, self.progress_changed, *(each.at for each in newest)
        if all(at is None or at <= now for at in times):
            return False
        self.watched_since = min(self.watched_since, now)
        self.state_since = min(self.state_since, now)
        if self.progress_changed is not None:
            self.progress_changed = min(self.progress_changed, now)
        for each in newest:
            if each.at is not None:
                each.at = min(each.at, now)
        return True

    def _date_state(self, before: Status | None, status: Status, now: float) -> None:
        if status.state_since is not None:
            self.state_since = min(status.state_since, now)
        elif before is None or before.state is not status.state or not _same_run(before, status):
            self.state_since = now

    def _date_progress(self, before: Status | None, status: Status, now: float) -> None:
        same_run = before is not None and _same_run(before, status)
        mark = status.step, status.progress, status.items
        if mark == _NO_PROGRESS:
            # A response without progress is no change of progress.
            if not (same_run and status.state in ACTIVE):
                self._mark = self.progress_changed = None
        elif self._mark is None:
            # The first read after a start: the vendor's own time is the best guess.
            self.progress_changed = now if status.reported_at is None else min(status.reported_at, now)
            self._mark = mark
        elif not same_run or mark != self._mark:
            self.progress_changed, self._mark = now, mark

    def _note_result(self, before: Status | None, status: Status, now: float) -> None:
        """Handles a final state. A run whose end is reported repeatedly is counted once."""
        ended = self._ended
        same_run = ended is not None and _same_end(ended, status, left=self._left)
        if not same_run and self._is_earlier(status):
            if status.result_at is not None:
                self._newest(status.state).ended(status.result_at, now, same_run=False)
            return
        # The first status of a job is no event: the run may have ended days before the exporter started.
        if before is not None and not same_run and not self._ended_unwatched(before, status):
            self._count(status.state)
        if ended is not None and ended.state is not status.state:
            same_run = False  # corrected by the vendor, or another run: the end is new for this result
        at, other = status.result_at, self._success if status.state is State.FAILED else self._failure
        if before is not None and not same_run and at is not None and other.at is not None:
            # What a job shows is its newest end, also where the vendor's times are of whole minutes.
            at = at if at > other.at else now
        self._newest(status.state).ended(at, now, same_run=same_run)
        self._ended, self._left = status, False

    def _is_earlier(self, status: Status) -> bool:
        """Whether a run that has ended is an earlier one than a run that was shown before.

        The nodes of a system do not all know the newest run. A run that is shown again is no second end.
        """
        return any(_ended_before(status, shown) for shown in (self._ended, self._active) if shown is not None)

    def _ended_unwatched(self, before: Status, status: Status) -> bool:
        """Whether a run ended before the job was watched."""
        at = status.result_at
        if at is None or at >= self.watched_since - _WHOLE_MINUTE:
            return False
        # A run that was read while it ran has ended since, whatever the vendor's clock shows.
        return before.state is not State.RUNNING or (before.started_at is not None and before.started_at > at)

    def _note_other(self, before: Status | None, status: Status, now: float) -> None:
        """Handles the end of an earlier run that the same response reports."""
        shown = self._newest(status.state) if status.state in RESULTS else None
        for state, at in ((State.SUCCEEDED, status.succeeded_at), (State.FAILED, status.failed_at)):
            newest = self._newest(state)
            if at is not None and newest is not shown and newest.is_before(at, now):
                if before is not None:
                    self._count(state)
                newest.ended(at, now, same_run=False)

    def _note_unseen(self, status: Status, now: float, *, since_seen: float) -> None:
        """Handles the end of the run that was active in the status read ``since_seen`` seconds ago."""
        result, within = status.unseen_end, status.unseen_within
        # A clock that was set back makes the time between two reads unknown.
        if result is not None and (within is None or 0 <= since_seen <= within):
            self._count(result)
            self._newest(result).ended(None, now, same_run=False)

    def _count(self, state: State) -> None:
        # Another object for each value: jobs without an end share one.
        self.finished = {**self.finished, state: self.finished[state] + 1}

    def _newest(self, state: State) -> _Newest:
        if state in _GOOD:
            return self._success
        return self._failure if state is State.FAILED else _Newest()


def _same_run(before: Status, status: Status) -> bool:
    """Whether two statuses of one job are of the same run. They are, if nothing shows that they are not."""
    if status.unseen_end is not None:
        return False
    same = _identified(before, status)
    return same if same is not None else not (before.state in RESULTS and status.state in ACTIVE)


def _shows_no_run(status: Status) -> bool:
    """Whether the run that ended before may still be the newest one."""
    # Behind a word that is not in the table is any state. While a job is disabled, nothing starts.
    return status.state is State.UNKNOWN or (status.state is State.STOPPED and status.enabled is False)


def _ended_before(status: Status, shown: Status) -> bool:
    """Whether the run of ``status`` ended before that of ``shown`` ended or, if that is active, began."""
    # Times first: a number can begin again with 1.
    since = shown.result_at
    if since is None and shown.started_at is not None:
        since = shown.started_at - _WHOLE_MINUTE  # the end can be that of the active run itself
    times = status.result_at, since
    numbers = status.run_number, shown.run_number
    starts = status.started_at, shown.started_at
    for mine, theirs in (times, numbers, starts):
        if mine is not None and theirs is not None:
            return mine < theirs
    return False


def _same_end(ended: Status, status: Status, *, left: bool) -> bool:
    """Whether two final states are of the same run; ``left``: the job was in another state between them."""
    same = _identified(ended, status)
    return same if same is not None else not left


def _identified(one: Status, other: Status) -> bool | None:
    """Whether the vendor's fields identify two statuses as one run; ``None`` if there are no such fields."""
    # Best first: an identifier is certain, while two runs can start in the same second.
    for name in ("run", "run_number", "started_at", "result_at"):
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine not in (None, "") and theirs not in (None, ""):
            # Not all responses of a vendor have fractions of a second.
            return bool(mine == theirs) or (name.endswith("_at") and abs(mine - theirs) < 1)
    return None
