"""Jobs that are found, not listed by hand: what a system's listings have named, and which are watched."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from exporter.collector.record import Read, Watched
from exporter.model.failure import Failure
from exporter.model.job import State, Status
from exporter.model.pacing import Pace, Rules, Why
from exporter.providers.base import DiscoverKeys, Found
from exporter.upstream.client import Listed

FAILED_STAYS = 86400.0
"""Seconds that a discovered run which failed stays after its end, also when nothing tells of it."""


@dataclass(eq=False, slots=True)
class Discovery:
    """The listing of one system and the jobs that are watched because of it.

    Args:
        keys: the system's ``discover:``.
        max_jobs: how many jobs are watched at most, hand-written ones included.
        pace: when the listing was asked and may be asked again.

    Attributes:
        take: does what follows from a listing that was read; ``None`` once the config has no use for it.
        jobs: what is watched because of a listing, by ``job_id``.
        former: jobs that were dropped and keep their past, since the next listing or config may name them.
        waiting_since: monotonic time since which a first listing by these keys is waited for.
        listed: what the last listing that was understood named; ``None`` until there is one.
        read: the listing that is under way.
        failure: why the last listing failed.
        dropped: jobs over `max_jobs`.
        unserved: no scrape has shown yet what the last listing brought.
        tells_states: the last listing had states of jobs, so it is read at each scrape.
    """

    keys: DiscoverKeys
    max_jobs: int
    pace: Pace
    take: Callable[[Listed, Read], None] | None = None
    waiting_since: float | None = None
    jobs: dict[str, Watched] = field(default_factory=dict)
    former: dict[str, Watched] = field(default_factory=dict)
    listed: Listed | None = None
    read: Read | None = None
    failure: Failure | None = None
    dropped: int = 0
    unserved: bool = False
    tells_states: bool = True

    def under(self, keys: DiscoverKeys, max_jobs: int, rules: Rules, *, same_way: bool) -> "Discovery":
        """What a changed config leaves of this one; the jobs are for the system to carry over.

        Args:
            same_way: the same connections and credentials are used. With the same keys the listing then
                goes on, one under way too.

        Returns:
            The same, or one whose listing is due at once, unless the vendor asked to wait. What was listed
            before counts as long as the keys name the same jobs.
        """
        self.pace.rules, self.max_jobs = rules, max_jobs
        if keys == self.keys and (same_way or self.read is None):
            return self
        new = Discovery(keys, max_jobs, self.pace, failure=self.failure)
        self.pace.asked_at = -inf
        if keys.names_the_jobs_of(self.keys):
            new.listed, new.dropped, new.waiting_since = self.listed, self.dropped, self.waiting_since
            new.tells_states, new.unserved = self.tells_states, self.unserved
        return new

    def why_not(self, now: float) -> Why | None:
        """Why the listing may not be asked at ``now``, or ``None`` if it may.

        One that only names jobs is asked at its own interval, as nothing in it is urgent.
        """
        if self.waiting_since is None:
            self.waiting_since = now
        if self.unserved:
            self.unserved = False
            return Why.FRESH  # it came too late for the scrape that asked, and serves this one
        if not self.tells_states and now - self.pace.asked_at < getattr(self.keys, "interval", 0.0):
            return Why.FRESH
        return self.pace.why_not(now)

    def failed(self, now: float, failure: Failure) -> None:
        """The listing that was asked last was not understood."""
        self.failure = failure
        self.pace.failed(now, failure)

    def succeeded(self, listed: Listed) -> None:
        """The listing that was asked last was understood."""
        self.failure, self.listed = None, listed
        if listed.found:
            self.tells_states = any(each.status is not None for each in listed.found.values())

    def late(self, seconds: float) -> None:
        """A scrape's deadline passed before the listing was read.

        That concerns the jobs which only the listing tells of; how one ended for good stays true.
        """
        for watched in self.jobs.values():
            if watched.listed and not (watched.known and watched.known.final):
                watched.late(seconds)


class Known(Protocol):
    """What is known of a job that a listing may have forgotten."""

    @property
    def known(self) -> Status | None:
        """The last status that was understood."""

    @property
    def state_since(self) -> float:
        """Since when it is in that state."""


def chosen(
    found: Mapping[str, Found],
    known: Mapping[str, Known],
    *,
    newer_than: float | None,
    max_jobs: int,
    now: float,
) -> tuple[dict[str, Found | None], int]:
    """Which jobs are watched after a listing.

    Args:
        found: what the listing named.
        known: what is watched because of earlier listings.
        newer_than: runs that ended more seconds ago are left out; failed ones stay for a day at least.

    Returns:
        The jobs by ``job_id``, ``None`` for one that is no longer listed but stays, and how many were
        left out because of ``max_jobs``: first of all those that ended longest ago.
    """
    ended: dict[str, float | None] = {}
    kept: dict[str, Found | None] = {}
    for job_id, each in found.items():
        end = _end(each.status)
        window = _window(each.status, newer_than)
        if end is None or window is None or now - end <= window:
            kept[job_id], ended[job_id] = each, end
    for job_id, watched in known.items():
        status = watched.known
        if job_id in found or status is None or not status.final or status.state is not State.FAILED:
            continue
        end = status.ended_at or watched.state_since
        if now - end <= max(newer_than or 0.0, FAILED_STAYS):
            kept[job_id], ended[job_id] = None, end
    if len(kept) <= max_jobs:
        return kept, 0
    # What goes on comes first, then what ended last; a stable sort keeps the listing's order.
    ranked = sorted(kept, key=lambda job_id: -(ended[job_id] or now + 1))
    return {job_id: kept[job_id] for job_id in ranked[:max_jobs]}, len(kept) - max_jobs


def _end(status: Status | None) -> float | None:
    """When a run ended for good; ``None`` while it goes on or where nobody says."""
    return status.ended_at if status is not None and status.final else None


def _window(status: Status | None, newer_than: float | None) -> float | None:
    failed = status is not None and status.state is State.FAILED
    return max(newer_than, FAILED_STAYS) if failed and newer_than is not None else newer_than
