"""Which of the jobs that a listing names are watched."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from exporter.model.job import State, Status
from exporter.model.retention import too_old
from exporter.providers.base import Found


class Known(Protocol):
    """What is known of a job that a listing no longer names."""

    @property
    def status(self) -> Status | None:
        """The last status that was understood."""

    @property
    def state_since(self) -> float:
        """Since when it is in that state."""


def chosen(
    found: Mapping[str, Found],
    known: Mapping[str, Known],
    *,
    newer_than: Sequence[float | None],
    found_by: Mapping[str, int] = MappingProxyType({}),
    max_jobs: int,
    now: float,
) -> tuple[dict[str, Found | None], int]:
    """Which jobs are watched after a listing.

    Args:
        found: what the listing named.
        known: what is watched because of earlier listings.
        newer_than: of each listing: runs that ended more seconds ago are left out; failed ones stay for a
            day at least.
        found_by: the number of the listing that found a job, if it is not the first.

    Returns:
        The jobs by ``job_id``, ``None`` for one that is no longer listed but stays, and how many were
        left out because of ``max_jobs``: first of all those that ended longest ago.
    """
    ended: dict[str, float | None] = {}
    kept: dict[str, Found | None] = {}
    for job_id, each in found.items():
        end = _end(each.status)
        limit = newer_than[found_by.get(job_id, 0)]
        if each.status is None or not too_old(each.status.state, end, limit, now):
            kept[job_id], ended[job_id] = each, end
    longest = max((limit for limit in newer_than if limit is not None), default=0.0)
    for job_id, record in known.items():
        status = record.status
        if job_id in found or status is None or not status.final or status.state is not State.FAILED:
            continue
        # A vendor's time in the future would keep the run until then.
        end = min(status.result_at or now, record.state_since)
        if not too_old(State.FAILED, end, longest, now):
            kept[job_id], ended[job_id] = None, end
    if len(kept) <= max_jobs:
        return kept, 0

    def age(job_id: str) -> float:
        end = ended[job_id]
        return -1.0 if end is None else max(0.0, now - end)

    # Active runs first, then those that ended last; a stable sort keeps the listing's order.
    ranked = sorted(kept, key=age)
    return {job_id: kept[job_id] for job_id in ranked[:max_jobs]}, len(kept) - max_jobs


def _end(status: Status | None) -> float | None:
    """When a run ended for good; ``None`` if it has not, or if the vendor does not report it."""
    return status.result_at if status is not None and status.final else None
