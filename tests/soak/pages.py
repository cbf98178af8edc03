"""What must be true of every page of ``/metrics``, whatever the vendors do."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from exporter.model.failure import Reason
from tests.soak.configs import PASSING, SECRET, Configs

Labels = dict[str, str]
Series = tuple[str, frozenset[tuple[str, str]]]

SEVERAL = {
    "remote_job_state",
    "remote_job_expected_seconds",
    "remote_job_runs_finished_total",
    "remote_job_runs_finished_created",
    "remote_job_category_items",
    "remote_job_category_items_succeeded",
    "remote_job_category_items_failed",
}
"""Metrics with several series for each job; every other one has at most one."""
ALL = ("remote_job_up", "remote_job_info", "remote_job_watched_since_timestamp_seconds")
"""Metrics that every job has."""
READ = ("remote_job_read_timestamp_seconds", "remote_job_status_info", "remote_job_state_code")
"""Metrics that every job has that could be read, and those that could not lack but for the first."""
LIMITED = ("site", "campaigns")
"""The simulator itself refuses this job most of the time."""
REASONS = set(Reason) - {Reason.INTERNAL}


@dataclass
class Job:
    """The samples of one job on a page."""

    samples: list[tuple[str, Labels, float]] = field(default_factory=list)

    def is_read(self) -> bool:
        return any(value for name, _, value in self.samples if name == "remote_job_up")

    def count(self) -> Counter[str]:
        return Counter(name for name, _, _ in self.samples)

    def wrong(self) -> Iterator[str]:
        count = self.count()
        yield from (
            f"{number} series {name}" for name, number in count.items() if number > 1 and name not in SEVERAL
        )
        yield from (f"no {name}" for name in ALL if not count[name])
        if self.is_read():
            yield from (f"read, but no {name}" for name in READ if not count[name])
            states = sum(value for name, _, value in self.samples if name == "remote_job_state")
            if states != 1:
                yield f"{states:g} states"
            if count["remote_job_read_error_info"]:
                yield "read, and a reason why not"
        else:
            reasons = [
                labels["reason"] for name, labels, _ in self.samples if name.endswith("read_error_info")
            ]
            if len(reasons) != 1 or reasons[0] not in REASONS:
                yield f"not read for {reasons}"
            yield from (f"not read, but {name}" for name in READ[1:] if count[name])


@dataclass
class Pages:
    """Looks at one page after the other.

    Attributes:
        wrong: what should not have been, and how often.
        generation: the newest one that was seen.
        read: the jobs that were read on any page, until somebody empties it.
        unread: the jobs of the last page that are not in `read`.
        most: the largest number of series of one page.
    """

    configs: Configs
    wrong: Counter[str] = field(default_factory=Counter)
    generation: int = -1
    read: set[tuple[str, str]] = field(default_factory=set)
    unread: set[tuple[str, str]] = field(default_factory=set)
    most: int = 0
    _totals: dict[Series, float] = field(default_factory=dict)
    _discovered: set[str] = field(default_factory=set)

    def look(self, page: str, oldest: int, newest: int) -> None:
        """Checks one.

        Args:
            oldest: the generation that was applied before the scrape began.
            newest: the one that was written last when it had ended.
        """
        jobs: dict[tuple[str, str], Job] = defaultdict(Job)
        seen: set[Series] = set()
        totals: dict[Series, float] = {}
        generations: set[str] = set()
        if SECRET.search(page):
            self.wrong["a secret on a page"] += 1
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                series = sample.name, frozenset(sample.labels.items())
                if series in seen:
                    self.wrong[f"a doubled series: {sample.name}"] += 1
                seen.add(series)
                labels = sample.labels
                if "generation" in labels:
                    generations.add(labels["generation"])
                if "job_id" in labels:
                    jobs[labels["system"], labels["job_id"]].samples.append(
                        (sample.name, labels, sample.value)
                    )
                if sample.name.endswith("_total"):
                    kept = frozenset((key, value) for key, value in labels.items() if key != "generation")
                    totals[sample.name, kept] = sample.value
        self.most = max(self.most, len(seen))
        if len(generations) != 1 or not oldest <= (generation := int(next(iter(generations)))) <= newest:
            self.wrong[f"generations {sorted(generations)} between {oldest} and {newest}"] += 1
            return
        self.generation = generation
        self._jobs(jobs, generation)
        self._counters(totals)

    def _jobs(self, jobs: dict[tuple[str, str], Job], generation: int) -> None:
        for (system, name), job in jobs.items():
            for wrong in job.wrong():
                self.wrong[f"{system}: {wrong}"] += 1
                del name
                break
        shown: dict[str, set[str]] = defaultdict(set)
        for system, name in jobs:
            shown[system].add(name)
        for system, configured in self.configs.jobs(generation).items():
            if lost := configured - shown[system]:
                self.wrong[f"lost jobs of {system}"] += len(lost)
            if system not in self.configs.discovers(generation) and (more := shown[system] - configured):
                self.wrong[f"jobs of {system} that are not configured"] += len(more)
        self._listed(shown["own"])
        self.read |= {job for job, found in jobs.items() if found.is_read()}
        self.unread = {job for job in jobs if job not in self.read and job != LIMITED}

    def _listed(self, shown: set[str]) -> None:
        """A job that every listing has stays once it was seen, whether a listing fails or not."""
        if lost := self._discovered - shown:
            self.wrong["lost discovered jobs"] += len(lost)
        self._discovered |= {name for name in shown if re.fullmatch(r"d\d+", name)}

    def _counters(self, totals: dict[Series, float]) -> None:
        """No counter of the exporter, nor of a job that is always configured, goes down."""
        always = {(system, name) for system, names in self.configs.always().items() for name in names}
        for series, value in totals.items():
            labels = dict(series[1])
            of_job = labels.get("system", ""), labels.get("job_id", "")
            if of_job[0] == PASSING or (of_job[1] and of_job not in always):
                continue
            if value < self._totals.get(series, 0):
                self.wrong[f"{series[0]} went down"] += 1
            self._totals[series] = value
