"""Which jobs are shown, in which order, and how many there are in each state."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from exporter.model.job import State
from exporter.views.report import UNREAD, UNREADABLE, JobReport

_RANKS: Mapping[str, int] = {
    State.FAILED: 0,
    UNREADABLE: 1,
    State.STOPPED: 2,
    State.UNKNOWN: 2,
    State.SUCCEEDED_WITH_ERRORS: 3,
    State.CANCELING: 4,
    State.RUNNING: 5,
    State.QUEUED: 6,
}
"""Trouble first, then what is in progress. The dashboards have the same order."""
_REST = len(_RANKS)

STATES: tuple[str, ...] = (*_RANKS, State.SUCCEEDED, State.CANCELED, State.IDLE, UNREAD)
"""Every state of a job, in the order of the counts."""

MAX_FILTERS = 20
"""Values of all filters together."""
MAX_FILTER_LENGTH = 256
"""Characters of one value."""


class FilterError(ValueError):
    """A filter cannot be used; ``str()`` names it and what is allowed."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which jobs are shown: those that match all of them.

    Args:
        text: each word of it occurs in name, id, system, the vendor's word or the step, in any case.
        systems: one of these; all if there is none.
        states: the same.
        labels: each of these, as name and value.
    """

    text: str = ""
    systems: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, pairs: Sequence[tuple[str, str]]) -> "Filters":
        """The filters of a query: ``text=``, ``system=``, ``state=``, ``label=NAME=VALUE``.

        All but ``text`` can be repeated. Empty values are those of a form that was not filled in.

        Raises:
            FilterError: one cannot be used.
        """
        given = [(name, value) for name, value in pairs if value]
        if len(given) > MAX_FILTERS:
            raise FilterError(f"too many filters: allowed are {MAX_FILTERS}")
        found: dict[str, list[str]] = {"text": [], "system": [], "state": [], "label": []}
        for name, value in given:
            if name not in found:
                raise FilterError(f"unknown parameter; allowed are {', '.join(found)}")
            if len(value) > MAX_FILTER_LENGTH:
                raise FilterError(f"{name}: is too long; allowed are {MAX_FILTER_LENGTH} characters")
            found[name].append(value)
        if any(state not in STATES for state in found["state"]):
            raise FilterError(f"state: allowed are {', '.join(STATES)}")
        labels = [each.partition("=") for each in found["label"]]
        if not all(name and equals for name, equals, _ in labels):
            raise FilterError("label: allowed is NAME=VALUE")
        return cls(
            " ".join(found["text"]),
            tuple(dict.fromkeys(found["system"])),
            tuple(dict.fromkeys(found["state"])),
            tuple((name, value) for name, _, value in labels),
        )

    def pairs(self) -> list[tuple[str, str]]:
        """The query that `parse` turns into these filters."""
        return [
            *([("text", self.text)] if self.text else []),
            *(("system", system) for system in self.systems),
            *(("state", state) for state in self.states),
            *(("label", f"{name}={value}") for name, value in self.labels),
        ]

    def with_states(self, *states: str) -> "Filters":
        """The same with other states."""
        return replace(self, states=states)

    def match(self, job: JobReport) -> bool:
        """Whether a job matches all filters other than those by state."""
        if self.systems and job.system not in self.systems:
            return False
        if any(job.labels.get(name) != value for name, value in self.labels):
            return False
        if not self.text:
            return True
        text = f"{job.name}\n{job.job_id}\n{job.system}\n{job.word}\n{job.step}".casefold()
        return all(word in text for word in self.text.casefold().split())


@dataclass(frozen=True, slots=True)
class Selection:
    """The jobs that are shown.

    Args:
        jobs: trouble first.
        counts: jobs by state, of all that match the filters other than those by state, as in `STATES`.
        total: how many there are without filters.
    """

    jobs: list[JobReport]
    counts: Mapping[str, int]
    total: int


def select(jobs: Iterable[JobReport], filters: Filters) -> Selection:
    """The jobs that match, in order: trouble first, then in progress, then by system and name."""
    everything = [*jobs]
    matching = [job for job in everything if filters.match(job)]
    counts = Counter(job.state for job in matching)
    shown = [job for job in matching if job.state in filters.states] if filters.states else matching
    # One string for each: to compare 10,000 tuples takes too long at a stretch.
    shown.sort(key=_key)
    return Selection(shown, {state: counts[state] for state in STATES if counts[state]}, len(everything))


def _key(job: JobReport) -> str:
    return f"{_RANKS.get(job.state, _REST)}\0{job.system}\0{job.title.casefold()}\0{job.job_id}"
