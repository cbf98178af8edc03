"""The query of ``/probe`` and the arguments of the command ``probe``: which job they name.

The rules are those of ``jobs:`` in the configuration. Errors name keys and never quote values.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from exporter.config.errors import shown, translate
from exporter.providers.base import Provider

MAX_PARAMETERS = 50
MAX_NAMES = 50

Pairs = Sequence[tuple[str, str]]
"""Names and values in the order given; ``system`` is one of the names."""


class QueryError(ValueError):
    """The query names no job; each line is one error and what is allowed."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


def wants_debug(pairs: Pairs) -> bool:
    """Whether the query asks for the explanation instead of samples."""
    return ("debug", "true") in pairs


def keys_of(pairs: Pairs, systems: Mapping[str, Provider]) -> tuple[str, dict[str, str]]:
    """The system and the keys of the job that a query names.

    Args:
        systems: the providers of the configured systems; no other system can be read.

    Raises:
        QueryError: with every error.
    """
    if len(pairs) > MAX_PARAMETERS:
        raise QueryError([f"more than {MAX_PARAMETERS} parameters"])
    given = dict(pairs)
    lines = [
        f"{shown((name,))}: is given more than once; allowed is once"
        for name, times in Counter(name for name, _ in pairs).items()
        if times > 1
    ]
    # Arguments of a command may contain bytes that are no text.
    lines += [f"{shown((name,))}: is not UTF-8 text" for name, value in given.items() if not _is_text(value)]
    if given.pop("debug", "true") not in ("true", "false"):
        lines.append("debug: allowed are true and false")
    system = given.pop("system", None)
    keys: dict[str, str] = {}
    if system is None:
        lines.append(f"system: is missing; {_allowed(systems)}")
    elif system not in systems:
        lines.append(f"system: is not configured; {_allowed(systems)}")
    else:
        keys, errors = _checked(given, systems[system])
        lines += errors
    if lines or system is None:
        raise QueryError(lines)
    return system, keys


def _checked(given: dict[str, str], provider: Provider) -> tuple[dict[str, str], list[str]]:
    names, fields = provider.key_names(), provider.JobKeys.model_fields
    missing = [name for name in names if name not in given and name not in fields]
    lines = [f"{name}: is missing; {_allowed(names)}" for name in missing]
    lines += [
        f"{shown((name,))}: unknown parameter; {_allowed(['system', 'debug', *names])}"
        for name in given
        if name not in names
    ]
    own: dict[str, Any] = {}
    try:
        own = dict(provider.JobKeys.model_validate({name: given[name] for name in names if name in given}))
    except ValidationError as error:
        lines += _explained(error, provider)
    keys = {name: str(own[name]) for name in names if name in own}
    if not lines:
        lines += [f"{name}: {text}" for name, text in provider.check_keys(keys)]
    return keys, lines


def _explained(error: ValidationError, provider: Provider) -> Iterator[str]:
    for place, text in translate(error.errors(include_url=False), provider.JobKeys):
        yield f"{shown(place)}: {text}"


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_system(system: str, known: Iterable[str]) -> None:
    """Raises a `QueryError` for a system that is not configured."""
    if system not in known:
        raise QueryError([f"system: is not configured; {_allowed(known)}"])


def _allowed(names: Iterable[str]) -> str:
    listed = list(names)
    more = ["…"] if len(listed) > MAX_NAMES else []
    return f"allowed: {', '.join([*listed[:MAX_NAMES], *more])}"
