"""What a metric is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

Samples = tuple[tuple[tuple[str, ...], float | int], ...]
"""Of each sample the values of the metric's own labels, and the number."""

Type = Literal["gauge", "counter", "info", "stateset"]

View = TypeVar("View")


@dataclass(frozen=True, slots=True)
class Metric(Generic[View]):
    """One metric family.

    Args:
        name: of the family's samples, in both formats.
        get: a value, or for a metric with labels of its own all its samples; ``None`` and no samples
            are an absent series.
        labels: besides the identity that every series carries.
        kept: shown also while reads fail, because it is history or configuration rather than state.
        each_read: has another value after each read, whatever the read has found.
    """

    name: str
    help: str
    get: Callable[[View], Any]
    type: Type = "gauge"
    labels: tuple[str, ...] = ()
    kept: bool = False
    each_read: bool = False
    stability: Literal["stable", "experimental"] = "stable"


def samples(values: Iterable[tuple[str, float | None]]) -> Samples:
    """One sample for each value of the one label, without the values that are not known."""
    return tuple([((label,), value) for label, value in values if value is not None])


def because(reason: str | None) -> Samples:
    """The sample of an info metric with a reason, if there is one."""
    return (((str(reason),), 1),) if reason else ()
