"""When a job may be read again. Pure: the clock (monotonic seconds) is passed in.

The last result is shown instead of a new read only if a rule here applies. docs/understand/pacing.md has the
same rules in words.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import inf

from exporter.model.failure import Failure, Reason
from exporter.model.job import Status

MAX_RETRY_AFTER = 900.0
DUE_TOLERANCE = 1.0


class Why(StrEnum):
    """Why a read was skipped: the values of the label ``why``."""

    PACING = "pacing"
    FINAL = "final"
    FRESH = "fresh"


@dataclass(frozen=True, slots=True)
class Rules:
    """Intervals that the configuration and the vendor set, in seconds.

    Args:
        min_interval: a job that was read this recently is not read again, whether the read worked or not.
        final_interval: how often a run that has ended for good is read again.
        steps: the vendor's own intervals between reads; the first again when progress changes.
    """

    min_interval: float
    final_interval: float
    steps: tuple[float, ...] = ()


@dataclass(slots=True)
class Pace:
    """When one source was read and may be read again."""

    rules: Rules
    asked_at: float = -inf
    not_before: float = -inf
    step: int = -1
    final: bool = False

    def why_not(self, now: float) -> Why | None:
        """Why the source may not be read at ``now``, or ``None`` if it may."""
        age = now - self.asked_at
        if self.final and age < self.rules.final_interval:
            return Why.FINAL
        if age < self.rules.min_interval:
            return Why.FRESH
        return Why.PACING if now < self.not_before else None

    def due_in(self, now: float, not_before: float = -inf) -> tuple[Why | None, float]:
        """Why the source may not be read, by the rule that forbids it the longest, and seconds until it may.

        Args:
            not_before: monotonic time until which the system accepts no request.
        """
        waits = [
            (self.asked_at + self.rules.min_interval - now, Why.FRESH),
            (max(self.not_before, not_before) - now, Why.PACING),
        ]
        if self.final:
            waits.append((self.asked_at + self.rules.final_interval - now, Why.FINAL))
        seconds, why = max(waits)
        return (why, seconds) if seconds > 0 else (None, 0.0)

    def asked(self, now: float) -> None:
        """A read begins."""
        self.asked_at = now
        self.not_before = -inf

    def read(self, before: Status | None, status: Status) -> None:
        """The last read was understood; ``before`` is the status before it."""
        self.final = status.final
        if not self.rules.steps:
            return
        changed = before is None or (before.state, before.progress) != (status.state, status.progress)
        self.step = 0 if changed else min(self.step + 1, len(self.rules.steps) - 1)
        # Prometheus does not scrape to the millisecond: a step that is due within a second is due.
        self.not_before = self.asked_at + self.rules.steps[self.step] - DUE_TOLERANCE

    def hold(self, moment: float) -> None:
        """The vendor wants no read before a monotonic time, although it answered the last one."""
        self.not_before = max(self.not_before, moment)

    def failed(self, now: float, failure: Failure) -> None:
        """The last read failed at ``now``."""
        self.final = False
        wait = retry_after(failure)
        if wait is not None:
            self.not_before = now + wait


def retry_after(failure: Failure) -> float | None:
    """Seconds that the vendor asked to wait (429 and 503 only), a quarter of an hour at most."""
    if failure.retry_after is None:
        return None
    if failure.reason is Reason.RATE_LIMITED or failure.status == 503:
        return bounded(failure.retry_after)
    return None


def bounded(seconds: float) -> float:
    """A time to wait, a quarter of an hour at most."""
    return min(seconds, MAX_RETRY_AFTER)
