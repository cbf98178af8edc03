"""The life of a simulated job: a pure function of seed, job and clock, so that no state is needed.

A life is a sequence of cycles of one length. Each cycle starts a new run. A generator seeded with
(seed, job, cycle) gives how long it waits and works and how it ends. Cycles are counted in *simulated
seconds* since `EPOCH`, which are ``speed`` times as fast as the clock; responses contain wall-clock time.
Jobs that are runs start again with the same id, which no real one does, so that a demo never ends.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from math import floor
from typing import Any

EPOCH = 1_735_689_600.0  # 2025-01-01T00:00:00Z; clocks before it give run numbers below 1
MINUTE, HOUR = 60.0, 3600.0


class Phase(Enum):
    """How far a run is. ``ENDING`` is between the decision (cancel, failure) and the end."""

    UNBORN = auto()
    QUEUED = auto()
    RUNNING = auto()
    ENDING = auto()
    ENDED = auto()


class End(Enum):
    """The result of a run; ``ODD`` has a word that the exporter does not know."""

    SUCCEEDED = auto()
    WITH_ERRORS = auto()
    FAILED = auto()
    TIMED_OUT = auto()
    CANCELED = auto()
    ODD = auto()


Ends = tuple[tuple[End, int], ...]
FINE: Ends = ((End.SUCCEEDED, 1),)
MOSTLY_FINE: Ends = ((End.SUCCEEDED, 84), (End.WITH_ERRORS, 7), (End.FAILED, 6), (End.CANCELED, 3))
_CUT_SHORT = frozenset({End.FAILED, End.TIMED_OUT, End.CANCELED})


@dataclass(frozen=True, slots=True)
class Life:
    """The parameters of every run of a job; all durations in simulated seconds.

    Args:
        every: from one run's beginning to the next.
        queue, work: shortest and longest time a run waits and works.
        ends: how runs end, with weights.
        lag: where in the cycle this job is, 0 to 1, against others with the same ``every``; None
            leaves it to the seed.
        ahead: how much of a run is already over when its cycle begins; with more than queue and
            work together every run that is read has ended.
        hang: the phase that no run leaves.
    """

    every: float = 14 * MINUTE
    queue: tuple[float, float] = (5.0, 40.0)
    work: tuple[float, float] = (MINUTE, 6 * MINUTE)
    ends: Ends = MOSTLY_FINE
    lag: float | None = None
    ahead: float = 0.0
    hang: Phase | None = None


def ended(end: End, every: float = 4 * HOUR) -> Life:
    """A run now and then; at any time the newest one has ended like this some time ago."""
    return Life(every, ends=((end, 1),), ahead=30 * MINUTE)


def hanging(phase: Phase, end: End = End.CANCELED) -> Life:
    """Never leaves a phase; every two days the next run replaces it and hangs too."""
    return Life(48 * HOUR, ends=((end, 1),), ahead=40 * MINUTE, hang=phase)


@dataclass(frozen=True, slots=True)
class Moment:
    """One run at this moment. Times are Unix seconds, ``None`` if it is not that far.

    ``done`` is the share of the work that is done, 0 to 1; ``key`` identifies the run; ``work`` is how many
    seconds all of the work takes.
    """

    key: str
    run: int
    phase: Phase
    end: End
    done: float
    work: float
    now: float
    queued_at: float | None
    started_at: float | None
    ended_at: float | None

    def at(self, share: float) -> float:
        """The time at which this share of the work is done, for a run that has started."""
        return (self.started_at or 0.0) + share * self.work

    def draw(self, what: str) -> random.Random:
        """A generator for other values of a run, which gives the same ones each time."""
        return random.Random(f"{self.key}/{what}")

    def word(self, ends: Mapping[End, str]) -> str:
        """The status in one capitalized word, as several vendors have it."""
        if self.phase is Phase.ENDED:
            return ends[self.end]
        if self.phase is Phase.ENDING and self.end is End.CANCELED:
            return "Canceling"
        return "Queued" if self.started_at is None else "Running"

    @property
    def items(self) -> tuple[int, int, int]:
        """Items in all, succeeded so far, failed so far."""
        total = self.draw("items").randint(40, 900)
        processed = int(total * self.done)
        share = {End.WITH_ERRORS: 0.04, End.FAILED: 0.25, End.TIMED_OUT: 0.02}.get(self.end, 0.0)
        failed = int(processed * share)
        if self.phase is Phase.ENDED and share:
            failed = max(failed, 1)
        return total, processed - failed, failed


@dataclass(frozen=True, slots=True)
class World:
    """All that the simulated systems are a function of.

    Args:
        speed: how many times faster than the clock simulated time is.
        seed: another seed gives other runs of the same jobs.
        clock: Unix seconds.
        base_url: the address of the simulator; ``None``: as in each request.
    """

    speed: float
    seed: int
    clock: Callable[[], float]
    base_url: str | None = None

    def random(self, *words: object) -> random.Random:
        """A generator that depends on the seed and the words alone."""
        return random.Random("/".join(map(str, (self.seed, *words))))

    def moment(self, job: str, life: Life, number: int | None = None) -> Moment | None:
        """The newest run of a job, or the one with this number; None if there is none such."""
        simulated = (self.clock() - EPOCH) * self.speed
        lag = (self.random(job) if life.lag is None else self.random()).random() + (life.lag or 0.0)
        newest = floor(simulated / life.every - lag % 1) + 2  # so that the first after EPOCH is 1 or 2
        run = newest if number is None else number
        if not 1 <= run <= newest:
            return None
        begin = (run - 2 + lag % 1) * life.every - life.ahead
        if run < newest:
            return self._look(job, run, replace(life, hang=None), begin, simulated + life.every)
        return self._look(job, run, life, begin, simulated)

    def _look(self, job: str, run: int, life: Life, begin: float, simulated: float) -> Moment:
        rng = self.random(job, run)
        queue, work = rng.uniform(*life.queue), rng.uniform(*life.work)
        (end,) = rng.choices([end for end, _ in life.ends], [weight for _, weight in life.ends])
        stops_early = end in _CUT_SHORT or life.hang is Phase.RUNNING
        reach = rng.uniform(0.35, 0.85) if stops_early else 1.0
        ending = rng.uniform(15, 40) if end in _CUT_SHORT else 0.0
        started = begin + queue
        decided = started + work * reach
        over = decided + ending
        phase = _phase(simulated, started, decided, over, life.hang)
        begun = phase not in (Phase.UNBORN, Phase.QUEUED)
        return Moment(
            key=f"{self.seed}/{job}/{run}",
            run=run,
            phase=phase,
            end=end,
            done=min(reach, (simulated - started) / work) if begun else 0.0,
            work=work / self.speed,
            now=self.clock(),
            queued_at=None if phase is Phase.UNBORN else self._wall(begin),
            started_at=self._wall(started) if begun else None,
            ended_at=self._wall(over) if phase is Phase.ENDED else None,
        )

    def window(self, name: str, *lengths: float) -> tuple[int, float]:
        """The current one of windows that repeat without end, and the time until the next.

        Args:
            name: of the windows; the seed shifts them.
            lengths: of the windows, in simulated seconds.

        Returns:
            Its index in ``lengths``, and wall-clock seconds until the next.
        """
        total = sum(lengths)
        place = ((self.clock() - EPOCH) * self.speed + self.random(name).random() * total) % total
        for index, length in enumerate(lengths):
            if place < length:
                return index, (length - place) / self.speed
            place -= length
        return 0, lengths[0] / self.speed  # rounding at the very end of the last window

    def _wall(self, simulated: float) -> float:
        return EPOCH + simulated / self.speed


def _phase(now: float, started: float, decided: float, over: float, hang: Phase | None) -> Phase:
    if hang is Phase.UNBORN:
        return Phase.UNBORN
    ends = ((Phase.QUEUED, started), (Phase.RUNNING, decided), (Phase.ENDING, over))
    return next((phase for phase, end in ends if now < end or hang is phase), Phase.ENDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One job of a simulated system: what people call it, how it lives, what the config adds."""

    name: str
    life: Life
    labels: Mapping[str, str] = field(default_factory=dict)
    expect: Mapping[str, str] = field(default_factory=dict)

    def entry(self, **keys: object) -> dict[str, Any]:
        """Its entry under ``jobs:`` of an exporter's config."""
        more = {"labels": dict(self.labels), "expect": dict(self.expect)}
        return {**keys, "name": self.name, **{key: value for key, value in more.items() if value}}
