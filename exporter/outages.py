"""Read failures of one system, logged as one event for each reason rather than one for each job."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from exporter.failure import Reason

_log = logging.getLogger(__name__)

LOG_AGAIN_SECONDS = 60.0
"""The shortest time between two lines that say that jobs fail for one reason."""
MUCH = 2
"""A number of jobs has changed much when it is so many times as large or as small as it was."""


@dataclass(frozen=True, slots=True)
class Example:
    """One of the jobs that cannot be read.

    Args:
        detail: why, in our own words.
        error: the exception behind the failure, where the fault is the exporter's.
    """

    job_id: str
    job_name: str
    detail: str
    error: BaseException | None = None


@dataclass(slots=True)
class _Outage:
    """What is known of one reason.

    Args:
        example: the job that was the last to fail for it.
        logged: the number of jobs that the log mentions; 0 while the log says nothing of it.
        log_from: monotonic time from which the log may mention it again.
    """

    example: Example
    jobs: int = 0
    logged: int = 0
    log_from: float = -inf

    @property
    def changed_much(self) -> bool:
        return self.jobs >= self.logged * MUCH or self.jobs * MUCH <= self.logged


class Outages:
    """Counts which jobs of a system cannot be read, by reason, and logs what has changed.

    Args:
        system: the system's name.

    Attributes:
        place: further fields of each line: the host that is asked, and the proxy if there is one.
    """

    def __init__(self, system: str) -> None:
        self.place: Mapping[str, str] = {}
        self._system = system
        self._outages: dict[Reason, _Outage] = {}

    def changed(self, before: Reason | None, after: Reason | None, example: Example) -> None:
        """One job fails for another reason than before; ``None`` is no failure."""
        if before is not None:
            self._outages[before].jobs -= 1
        if after is not None:
            outage = self._outages.setdefault(after, _Outage(example))
            outage.jobs += 1
            outage.example = example

    def log(self, now: float) -> None:
        """Logs what began, changed much or ended, at monotonic time ``now``."""
        for reason, outage in self._outages.items():
            if outage.jobs == 0:
                if outage.logged:
                    failing = sum(each.jobs for each in self._outages.values())
                    fields = {"system": self._system, "reason": reason, "jobs_failing": failing}
                    _log.info("read failures ended", extra=fields)
                outage.logged = 0
            elif outage.changed_much and now >= outage.log_from:
                self._warn(reason, outage)
                outage.logged, outage.log_from = outage.jobs, now + LOG_AGAIN_SECONDS

    def _warn(self, reason: Reason, outage: _Outage) -> None:
        example = outage.example
        fields = {
            "system": self._system,
            "reason": reason,
            "jobs": outage.jobs,
            **self.place,
            "job_id": example.job_id,
            "job_name": example.job_name,
            "detail": example.detail,
        }
        _log.warning("jobs cannot be read", extra=fields, exc_info=example.error)
