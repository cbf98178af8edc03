"""What a soak has measured, and whether that is good."""

import statistics
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.weight import Weight

GROWTH = 32.0
"""MiB by which memory may grow, from quiet to quiet and by the line that is fitted between.

Responses of up to 16 MiB come and go, and the allocator keeps some of what it got: memory wanders by up to
20 MiB without a trend. In an hour, a leak of 0.5 KiB for each request or of 80 KiB for each reload is more.
"""
MOST = 180.0
"""MiB that the exporter may use at any time: a soak of 40 minutes used up to 130."""
THREADS, FILES = 3, 16
"""How many more there may be at the end: how many connections to vendors are kept varies."""
FITTED = 600.0
"""Seconds that a line must be fitted through to be more than noise."""
LINES = 1.0
"""Log lines for each fault and reload, at most: one outage has two lines and many faults."""


@dataclass
class Report:
    """All figures.

    Args:
        seconds: how long it took.
        warm, end: the weight in the two quiet moments.
        course: times and weights between the two.
        scrapes: how long each took.
        prometheus: the same as Prometheus measured it.
    """

    timeout: float
    seconds: float = 0.0
    warm: Weight | None = None
    end: Weight | None = None
    course: list[tuple[float, Weight]] = field(default_factory=list)
    scrapes: list[float] = field(default_factory=list)
    prometheus: list[float] = field(default_factory=list)
    series: int = 0
    requests: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    clients: Counter[str] = field(default_factory=Counter)
    reloads: Counter[str] = field(default_factory=Counter)
    log: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    def verdicts(self) -> Iterator[str]:
        """What is wrong, a line each; nothing if all is right."""
        yield from (f"{number} x {what}" for what, number in sorted(self.wrong.items()))
        for whose, took in (("", self.scrapes), (" of Prometheus", self.prometheus)):
            if late := [each for each in took if each > self.timeout]:
                yield f"{len(late)} scrapes{whose} over {self.timeout:g} s, the longest {max(late):.1f} s"
        if self.warm and self.end and self.course:
            if self.end.memory > self.warm.memory + GROWTH:
                yield f"memory has grown by {self.end.memory - self.warm.memory:.1f} MiB"
            if (most := max(weight.memory for _, weight in self.course)) > MOST:
                yield f"memory was at {most:.0f} MiB"
            if self.end.threads > self.warm.threads + THREADS or self.end.files > self.warm.files + FILES:
                yield f"threads or files were left behind: {self.warm} became {self.end}"
        if self._measured() > FITTED and self.slope() > GROWTH:
            yield f"memory grows, by {self.slope():.1f} MiB in the time that was measured"
        events = self.faults.total() + sum(self.reloads.values())
        if self.log.total() > 100 + LINES * events:
            yield f"{self.log.total()} log lines for {events} faults and reloads"

    def _measured(self) -> float:
        return self.course[-1][0] - self.course[0][0] if self.course else 0.0

    def slope(self) -> float:
        """MiB that the fitted line through the memory rises from its begin to its end."""
        times = [time for time, _ in self.course]
        line = statistics.linear_regression(times, [weight.memory for _, weight in self.course])
        return line.slope * (times[-1] - times[0])

    def lines(self) -> Iterator[str]:
        """The report, at most 80 columns wide."""
        yield f"soak of {self.seconds / 60:.1f} minutes"
        yield _row("scrapes", _spread(self.scrapes, self.timeout))
        if self.prometheus:
            yield _row("of Prometheus", _spread(self.prometheus, self.timeout))
        yield _row("a page has", f"up to {self.series} series")
        yield _row("reloads", _counts(self.reloads))
        yield from _wrapped("clients", self.clients)
        yield _row("requests", f"{self.requests} to the vendors, {self.faults.total()} of them met a fault")
        yield from _wrapped("faults", self.faults)
        if self.warm and self.end and self.course:
            for name in ("memory", "threads", "files"):
                low, *_, high = sorted(getattr(weight, name) for _, weight in self.course)
                warm, end = getattr(self.warm, name), getattr(self.end, name)
                yield _row(name, f"{warm:.0f} -> {end:.0f}, between {low:.0f} and {high:.0f}")
            minutes = self._measured() / 60
            yield _row(
                "memory grows", f"{self.slope():+.1f} MiB in {minutes:.1f} minutes, by the fitted line"
            )
        yield _row("log", f"{self.log.total()} lines: {_counts(self.log)}")
        verdicts = list(self.verdicts())
        yield from (f"WRONG: {verdict}"[:80] for verdict in verdicts)
        yield f"{len(verdicts)} things are wrong" if verdicts else "all is as it should be"


def _row(name: str, text: str) -> str:
    return f"{name:<14} {text}"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counter.most_common())


def _wrapped(name: str, counter: Counter[str]) -> Iterator[str]:
    lines = textwrap.wrap(_counts(counter), 65, break_on_hyphens=False)
    for number, line in enumerate(lines):
        yield _row("" if number else name, line)


def _spread(seconds: Sequence[float], timeout: float) -> str:
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    middle, high = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    late = sum(each > timeout for each in seconds)
    return (
        f"{len(ordered)}, {late} late; median {middle:.2f} s, 99 % {high:.2f} s, longest {ordered[-1]:.2f} s"
    )
