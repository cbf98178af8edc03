"""Configurations of the provider ``json`` that are valid and probably not what is intended."""

from collections.abc import Iterator
from typing import Any

from exporter.config_types import Expression, Place, inside
from exporter.providers.json.discover_keys import JsonDiscover
from exporter.providers.json.results import TEXTS

_MINUS = 'write a name that contains a minus in quotes, as in "a-b", a subtraction with spaces, as in a - b'
_QUOTES = "write a text in single quotes, as in 'OK', and a name as this one without quotes"
_SLASH = (
    "write a name that contains / or another operator in quotes, as in "
    '"app.kubernetes.io/name", and a number that is meant as to_string(a / b)'
)


def doubts(system: Any) -> Iterator[tuple[Place, str]]:
    """Expressions that are valid, but find something else than what is probably intended.

    Args:
        system: all its validated keys.

    Returns:
        Each place in the keys, and a sentence.
    """
    for name in sorted(system.labels.keys() & system.read.labels_from.keys()):
        yield ("read", "labels_from", name), "is in labels of the system as well, which count; remove one"
    for place, listing in inside(system.discover, JsonDiscover, ("discover",)):
        if system.read.also and listing.state is not None and not listing.read_active:
            why = "jobs with this state are not read, so also adds nothing; add read_active: true"
            yield (*place, "state"), why
    # As in config_types.
    from exporter.expressions.tree import calculates_text, compiled, quoted_name, tight_minus  # noqa: PLC0415

    for place, expression in inside({"read": system.read, "discover": system.discover}, Expression):
        at = tight_minus(expression.source)
        if at is not None:
            yield place, f"the minus at character {at + 1} subtracts one field from another; {_MINUS}"
        elif _is_text(place) and calculates_text(compiled(expression.source)):
            yield place, f"calculates a number where a text belongs; {_SLASH}"
        if (at := quoted_name(expression.source)) is not None:
            yield place, f"the double quotes at character {at + 1} make a field; {_QUOTES}"


def _is_text(place: Place) -> bool:
    """Whether the expression at a place in ``read`` or ``discover`` should find a text."""
    names = [part for part in place if isinstance(part, str)]
    return names[1] in ("state", *TEXTS) or names[-2] in ("keys", "labels_from")
