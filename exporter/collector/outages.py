"""Read failures of one system, logged as one event for each reason rather than one for each job."""

import logging
from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from math import inf

from exporter.model.failure import Reason

_log = logging.getLogger(__name__)

LOG_AGAIN_SECONDS = 60.0
"""The shortest time between two lines about one reason."""
MUCH = 2
"""A line is logged again when the number of jobs has grown or shrunk by this factor."""


@dataclass(frozen=True, slots=True)
class Example:
    """One of the jobs that cannot be read.

    Args:
        detail: why, in one line.
    """

    job_id: str
    job_name: str
    detail: str


@dataclass(slots=True)
class _Outage:
    """What is known of one reason.

    Args:
        failing: the jobs that fail for it, newest last.
        error: the exception behind the newest failure; released once logged, as it refers to what was read.
        logged: the number of jobs in the last line; 0 if there is none.
        log_from: monotonic time from which another line may be logged.
    """

    failing: dict[Hashable, Example] = field(default_factory=dict)
    error: BaseException | None = None
    logged: int = 0
    log_from: float = -inf

    @property
    def changed_much(self) -> bool:
        jobs = len(self.failing)
        return jobs >= self.logged * MUCH or jobs * MUCH <= self.logged


class Outages:
    """Which jobs of a system cannot be read, by reason; logs changes.

    Args:
        system: the system's name.

    Attributes:
        place: further fields of each line: the host of the system, and the proxy if there is one.
    """

    def __init__(self, system: str) -> None:
        self.place: Mapping[str, str] = {}
        self._system = system
        self._outages: defaultdict[Reason, _Outage] = defaultdict(_Outage)

    def move(self, place: Mapping[str, str]) -> None:
        """Sets the fields of each further line."""
        self.place = place

    def began(
        self, job: Hashable, reason: Reason, example: Example, error: BaseException | None = None
    ) -> None:
        """A job fails for this reason from now on.

        Args:
            error: the exception behind an internal failure.
        """
        outage = self._outages[reason]
        outage.failing[job], outage.error = example, error

    def ended(self, job: Hashable, reason: Reason) -> None:
        """A job does not fail for this reason any more."""
        self._outages[reason].failing.pop(job, None)

    def has(self, reason: Reason) -> bool:
        """Whether a job fails for this reason now."""
        return reason in self._outages and bool(self._outages[reason].failing)

    def log(self, now: float) -> None:
        """Logs failures that began, grew or shrank much, or ended, at monotonic time ``now``."""
        for reason, outage in self._outages.items():
            if not outage.failing:
                if outage.logged:
                    failing = sum(len(each.failing) for each in self._outages.values())
                    fields = {"system": self._system, "reason": reason, "jobs_failing": failing}
                    _log.info("read failures ended", extra=fields)
                outage.logged = 0
            # A job more or less is no news in an outage of a thousand.
            elif outage.changed_much and now >= outage.log_from:
                self._warn(reason, outage)
                outage.logged, outage.log_from = len(outage.failing), now + LOG_AGAIN_SECONDS

    def _warn(self, reason: Reason, outage: _Outage) -> None:
        example = outage.failing[next(reversed(outage.failing))]
        fields = {
            "system": self._system,
            "reason": reason,
            "jobs": len(outage.failing),
            **self.place,
            "job_id": example.job_id,
            "job_name": example.job_name,
            "detail": example.detail,
        }
        _log.warning("jobs cannot be read", extra=fields, exc_info=outage.error)
        outage.error = None
