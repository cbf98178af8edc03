"""What is remembered of a job between reads, because no single answer tells it. Pure: no clock, no I/O.

A slot shows one run after another under one identity; this room tells them apart, dates what the
vendor does not date, and counts what ended.
"""

from dataclasses import dataclass, field

from exporter.job import Items, State, Status

RESULTS = (State.SUCCEEDED, State.SUCCEEDED_WITH_ERRORS, State.FAILED, State.CANCELED)
"""The states a run can end in: the values of the label ``result``."""

_ACTIVE = frozenset({State.QUEUED, State.RUNNING, State.CANCELING})
_GOOD = frozenset({State.SUCCEEDED, State.SUCCEEDED_WITH_ERRORS})
_NO_ITEMS = Items()


@dataclass(slots=True)
class History:
    """The past of one job, in Unix seconds.

    Args:
        watched_since: when this exporter first knew the job.
    """

    watched_since: float
    status: Status | None = None
    state_since: float = 0.0
    progress_changed: float | None = None
    last_success: float | None = None
    last_failure: float | None = None
    finished: dict[State, int] = field(default_factory=lambda: dict.fromkeys(RESULTS, 0))

    def observe(self, status: Status, now: float) -> None:
        """Takes in a status that was just understood, at Unix time ``now``."""
        before = self.status
        if status == before:
            return
        self.status = status
        self._date_state(before, status, now)
        self._date_progress(before, status, now)
        self._note_end(before, status, now)

    def _date_state(self, before: Status | None, status: Status, now: float) -> None:
        if status.state_since is not None:
            self.state_since = status.state_since
        elif before is None or before.state is not status.state or not _same_run(before, status):
            self.state_since = now

    def _date_progress(self, before: Status | None, status: Status, now: float) -> None:
        if not status.step and status.progress is None and status.items == _NO_ITEMS:
            self.progress_changed = None
        elif before is None or self.progress_changed is None:
            self.progress_changed = now if status.reported_at is None else min(status.reported_at, now)
        elif _progress(before) != _progress(status) or not _same_run(before, status):
            self.progress_changed = now

    def _note_end(self, before: Status | None, status: Status, now: float) -> None:
        """Dates the newest success and failure; counts a run only when it was seen to end."""
        if status.state in RESULTS:
            ended_before = before is not None and before.state in RESULTS and _same_run(before, status)
            corrected = ended_before and before is not None and before.state is not status.state
            if not ended_before or corrected or status.ended_at is not None:
                self._date_end(status.state, now if status.ended_at is None else status.ended_at)
            if before is not None and not ended_before:
                self.finished[status.state] += 1
            return
        for state, at in ((State.SUCCEEDED, status.succeeded_at), (State.FAILED, status.failed_at)):
            if at is not None:
                newest = self.last_success if state in _GOOD else self.last_failure
                if before is not None and (newest is None or at > newest):
                    self.finished[state] += 1
                self._date_end(state, at)
        # A slot that was at work and now waits again, without a word of a failure, has done its run.
        if (
            status.state is State.IDLE
            and status.succeeded_at is None
            and before is not None
            and before.state is State.RUNNING
        ):
            self.finished[State.SUCCEEDED] += 1
            self._date_end(State.SUCCEEDED, now)

    def _date_end(self, state: State, at: float) -> None:
        if state in _GOOD:
            self.last_success = at if self.last_success is None else max(self.last_success, at)
        elif state is State.FAILED:
            self.last_failure = at if self.last_failure is None else max(self.last_failure, at)


def _progress(status: Status) -> tuple[str, float | None, Items]:
    return status.step, status.progress, status.items


def _same_run(before: Status, status: Status) -> bool:
    """Whether two statuses of one job tell of the same run; where nothing tells them apart, they do."""
    if before.run and status.run:
        return before.run == status.run
    if before.run_number is not None and status.run_number is not None:
        return before.run_number == status.run_number
    if before.state in RESULTS and status.state in _ACTIVE:
        return False
    if before.started_at is not None and status.started_at is not None:
        return before.started_at == status.started_at
    if before.ended_at is not None and status.ended_at is not None:
        return before.ended_at == status.ended_at
    return True
