"""What a metric is, and how the values of many are computed together."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any, Generic, Literal, TypeVar

from msgspec import defstruct

Samples = tuple[tuple[tuple[str, ...], float | int], ...]
"""Of each sample the values of the metric's own labels, and the number."""

Type = Literal["gauge", "counter", "info", "stateset"]

View = TypeVar("View")


@dataclass(frozen=True, slots=True, eq=False)
class Metric(Generic[View]):
    """One metric family.

    Args:
        name: of the family's samples, in both formats.
        value: where in a view the value is, such as ``status.items.sent``; it is ``None`` while ``status``
            is. Or a function that returns it.
        show: makes of a value what is shown, if that is not the value itself. It is called only when the
            value has changed. A metric with labels of its own shows all its samples, others a number;
            ``None`` and no samples are an absent series.
        labels: besides the identity that every series carries.
        kept: shown also while reads fail, because it is history or configuration rather than state.
        shared: has few different samples, so that jobs share what is in their lines beside the identity.
        each_read: has another value after each read, whatever the read has found.
    """

    name: str
    help: str
    value: str | Callable[[View], Any]
    type: Type = "gauge"
    labels: tuple[str, ...] = ()
    kept: bool = False
    each_read: bool = False
    shared: bool = False
    show: Callable[[Any], Any] | None = None
    stability: Literal["stable", "experimental"] = "stable"


class Values(Generic[View]):
    """Computes the values of some metrics of a table.

    Attributes that belong to the same part of a view are read in one call: most metrics are such attributes.

    Args:
        metrics: by their place in the table.

    Attributes:
        metrics: with their places, in this order.
    """

    def __init__(self, metrics: Mapping[int, Metric[View]]) -> None:
        self.metrics = (*metrics.items(),)
        attributes: dict[str, dict[int, str]] = {}
        functions: dict[int, Callable[[View], Any]] = {}
        for place, metric in metrics.items():
            if callable(metric.value):
                functions[place] = metric.value
            else:
                part, dot, attribute = metric.value.partition(".")
                attributes.setdefault(part if dot else "", {})[place] = attribute or part
        self._functions = (*functions.values(),)
        self._parts = [
            (part, _several(attrgetter, *each.values()), (None,) * len(each))
            for part, each in attributes.items()
        ]
        order = [*chain(*attributes.values(), functions)]
        self._sort = _several(itemgetter, *map(order.index, metrics))

    def of(self, view: View) -> tuple[Any, ...]:
        """The values of the metrics, in their order."""
        values: list[Any] = []
        for part, get, absent in self._parts:
            owner = getattr(view, part) if part else view
            values += absent if owner is None else get(owner)
        values += [function(view) for function in self._functions]
        return self._sort(values)


def _several(
    getter: Callable[..., Callable[[Any], Any]], *keys: str | int
) -> Callable[[Any], tuple[Any, ...]]:
    """The values of all keys as a tuple, which the getters of `operator` return only for two or more."""
    if len(keys) > 1:
        return getter(*keys)
    gets = [getter(key) for key in keys]
    return lambda owner: tuple([get(owner) for get in gets])


class Table(Generic[View]):
    """Metrics, in the order of a page.

    Attributes:
        all_values: computes all values.
        read_values: computes those that are another after each read.
        cells: a struct with one field for each metric. Garbage collection does not scan it. Tuples in its
            place, of all jobs that are read in a tenth of a second, would take 10 ms.
    """

    def __init__(self, *metrics: Metric[View]) -> None:
        places = dict(enumerate(metrics))
        self.all_values = Values(places)
        self.read_values = Values({place: each for place, each in places.items() if each.each_read})
        self.cells = defstruct("Cells", [f"cell_{place}" for place in places], frozen=True, gc=False)
        self._metrics = metrics

    def __len__(self) -> int:
        return len(self._metrics)

    def __iter__(self) -> Iterator[Metric[View]]:
        return iter(self._metrics)


def samples(values: Iterable[tuple[str, float | None]]) -> Samples:
    """One sample for each value of the one label, without the values that are not known."""
    return tuple([((label,), value) for label, value in values if value is not None])


def because(reason: str | None) -> Samples:
    """The sample of an info metric with a reason, if there is one."""
    return (((str(reason),), 1),) if reason else ()
