"""What a vendor writes down of who asked it when, and what the rules of pacing then allow."""

from dataclasses import dataclass, field
from math import inf

from exporter.model.pacing import Rules

QUARTER_HOUR = 900.0


@dataclass(frozen=True)
class Told:
    """One answer to a read.

    Args:
        mark: state and progress; None where the read failed.
        final: it has ended for good.
        wait: what Retry-After said, in seconds.
    """

    mark: object = None
    final: bool = False
    wait: float | None = None


@dataclass
class Book:
    """One job as the vendor knows it: every read with its answer, newest last."""

    rules: Rules
    reads: list[tuple[float, float, Told]] = field(default_factory=list)

    def write(self, began: float, ended: float, told: Told) -> None:
        self.reads.append((began, ended, told))

    @property
    def asked_at(self) -> float:
        return self.reads[-1][0] if self.reads else -inf

    def due_at(self) -> float:
        """When the job may be, and has to be, asked next."""
        if not self.reads:
            return -inf
        began, ended, told = self.reads[-1]
        due = began + self.rules.min_interval
        if told.wait is not None:
            due = max(due, ended + min(told.wait, QUARTER_HOUR))
        if told.final:
            due = max(due, began + self.rules.final_interval)
        if told.mark is not None and self.rules.steps:
            # What is due within a second is due.
            due = max(due, began + self.rules.steps[self._unchanged()] - 1)
        return due

    def _unchanged(self) -> int:
        """Which step holds: how often the newest answer has been given again, failures left out."""
        marks = [told.mark for _, _, told in reversed(self.reads) if told.mark is not None]
        same = next((number for number, mark in enumerate(marks) if mark != marks[0]), len(marks))
        return min(same, len(self.rules.steps)) - 1
