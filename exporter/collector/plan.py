"""What is watched of one system, as its configuration says."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from exporter.model.job import Job
from exporter.model.pacing import Rules
from exporter.providers.base import DiscoverKeys
from exporter.upstream.reading import Upstream


@dataclass(frozen=True, slots=True)
class Plan:
    """One system as it is to be watched.

    Args:
        origin: the provider and address of the jobs; a job keeps its history while origin and id stay.
        labels: on every series of the system itself; those of its jobs are in the jobs.
        concurrency: reads of this system at a time.
        job: makes the job with the keys and the name that a listing reports.
        current_only: of ``remote_job_state`` show only the series that is 1.
        discover: the keys of each listing that finds jobs.
        max_jobs: how many jobs are watched; configured jobs are watched in any case.
        key_names: of a job's keys.
        counted: the system can count its jobs by state.
    """

    name: str
    origin: Hashable
    upstream: Upstream
    jobs: Sequence[Job]
    rules: Rules
    labels: Mapping[str, str]
    concurrency: int
    job: Callable[[Mapping[str, str], str], Job]
    current_only: bool = False
    discover: tuple[DiscoverKeys, ...] = ()
    max_jobs: int = 0
    key_names: frozenset[str] = frozenset()
    counted: bool = False
