"""The results of the expressions of one job, and how each is read."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from exporter.config_types import Expression
from exporter.expressions.budget import Budget, Exhausted, Misfit
from exporter.model.job import Items
from exporter.providers.fields import Fields
from exporter.providers.json.listing import MAX_INT, rejected
from exporter.providers.values import text


def results_of(expressions: Mapping[str, Expression], value: Any, budget: Budget) -> Fields:
    """The results of expressions for a value, each as a field with the key of its expression.

    Raises:
        Failure: one of them exceeds its limits, see `rejected`.
    """
    found: dict[str, Any] = {}
    results = Fields(found)
    for name, expression in expressions.items():
        try:
            found[name] = expression.find(value, budget)
        except Exhausted as error:
            raise rejected(name, error) from None
        except Misfit as error:
            results.note(name, f"its expression {error}")
    return results


def word(results: Fields, name: str) -> str:
    """A text; numbers and booleans as JSON writes them."""
    return results.read(name, _as_word, "text") or ""


def _as_word(found: Any) -> str | None:
    if isinstance(found, str):
        return text(found)
    return json.dumps(found) if isinstance(found, int | float) and abs(found) < MAX_INT else None


ITEMS = {"items": "total", **{f"items_{name}": name for name in Items.__struct_fields__[1:]}}
"""The counts by their key of the configuration, with their name in `Items`."""

_TIMES = "queued_at", "started_at", "ended_at", "reported_at", "state_since", "succeeded_at", "failed_at"

TEXTS = "step", "run", "name", "type", "level"

READERS: Mapping[str, Callable[[Fields, str], Any]] = {
    **dict.fromkeys(TEXTS, word),
    **dict.fromkeys(("run_number", *ITEMS), Fields.count),
    "progress": Fields.ratio,
    **dict.fromkeys(("items_sending_complete", "cancelable", "enabled"), Fields.flag),
    **dict.fromkeys(_TIMES, Fields.instant),
}
"""How the result of each expression except ``state`` is read."""
