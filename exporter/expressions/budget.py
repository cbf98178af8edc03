"""What expressions may cost: steps, counted by the work that they do, and CPU time as a second limit.

A step is about half a microsecond of CPU: one part of an expression for one element of a list, one element
that a function reads or makes, `COMPARED` elements that ``contains`` compares, or `CHARACTERS` of a text.
Parts outside of loops are not counted: an expression has fewer of them than characters.
"""

import time
from collections.abc import Callable
from typing import Any

EXPRESSION_STEPS = 50_000
"""Of one expression for one value: about 25 ms, and 12,500 elements in a filter such as ``[?state == 'ok']``.
A response of 1 MiB has some 2,300 tasks of Airflow, whose recipe needs 18,000.
"""

READ_STEPS = 400_000
"""Of all expressions of one read together: about 0.2 s. The same recipe needs 55,000; that of Dagster, which
has the most filters, needs 40,000 for each 1,000 steps of a run.
"""

ENTRY_STEPS = 1_000
"""What each entry of a listing adds to the steps of that listing. The recipes need up to 150."""

READ_SECONDS = 2.0
"""CPU time of all expressions of one read: ten times what its steps need, since machines differ."""

LISTING_SECONDS = 5.0
"""The same of one listing, with all its pages: four times what the recipes need for 20,000 entries."""

CHARACTERS = 64
"""Characters of a text for one step. The texts of one expression so have at most 3 million characters."""

COMPARED = 8
"""Elements for one step that are compared with a value, but not copied."""

Find = Callable[..., Any]
"""A compiled expression: from a value and, if there is one, the budget of a read to the result."""

_CLOCK_STEPS = 1_000
"""Steps between two looks at the clock. An expression with fewer does not look at it."""


class Misfit(ValueError):
    """An expression cannot be evaluated for a value; the text does not quote the value."""


class Exhausted(Misfit):
    """An expression needs more steps or time than it may use.

    Args:
        of_read: the limit of the whole read or listing is reached, and not that of the expression alone.
    """

    def __init__(self, detail: str, *, of_read: bool) -> None:
        super().__init__(detail)
        self.of_read = of_read


class Budget:
    """What the expressions of one read or listing may still use. Each evaluation takes a part of it.

    Args:
        steps: of all evaluations together.
        seconds: of CPU time, of all evaluations together.
        clock: the CPU time of the thread that evaluates.
    """

    __slots__ = ("clock", "seconds", "steps")

    def __init__(
        self,
        steps: int = READ_STEPS,
        seconds: float = READ_SECONDS,
        clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self.steps = steps
        self.seconds = seconds
        self.clock = clock


class Evaluation:
    """The part of a budget that one evaluation of an expression uses."""

    __slots__ = ("_began", "_budget", "_clock_at", "_granted", "_left")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._left = self._granted = min(EXPRESSION_STEPS, budget.steps)
        self._clock_at = max(0, self._left - _CLOCK_STEPS)
        self._began: float | None = None

    def charge(self, steps: int) -> None:
        """Counts steps before they are done.

        Raises:
            Exhausted: they are too many, or the time is over.
        """
        self._left -= steps
        if self._left < self._clock_at:
            self._check()

    def close(self) -> None:
        """Subtracts what was used from the budget."""
        self._budget.steps -= self._granted - max(0, self._left)
        if self._began is not None:
            self._budget.seconds -= self._budget.clock() - self._began

    def _check(self) -> None:
        if self._left < 0:
            of_read = self._granted < EXPRESSION_STEPS
            need = "and the others together need too many" if of_read else f"needs over {EXPRESSION_STEPS:,}"
            raise Exhausted(f"{need} steps for this response", of_read=of_read)
        now = self._budget.clock()
        if self._began is None:
            self._began = now
        if now - self._began > self._budget.seconds:
            raise Exhausted("needs too much time for this response", of_read=True)
        self._clock_at = max(0, self._left - _CLOCK_STEPS)
