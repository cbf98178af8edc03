"""Providers and credentials of other distributions, found by their entry points and checked.

What is wrong with one is told once, at the start, in one line that names it; nothing is half taken.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import FunctionType

from requests.auth import HTTPDigestAuth

from exporter.auth import CREDENTIALS
from exporter.auth.credential import Credential
from exporter.config import Registry
from exporter.config.models import JobKeys, SystemKeys
from exporter.config_types import Keys
from exporter.providers import PROVIDERS
from exporter.providers.base import DiscoverKeys, Provider

PROVIDER_GROUP = "remote_job_exporter.providers"
AUTH_GROUP = "remote_job_exporter.auth"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
# Every system and every job has these, and /probe two more.
_OF_SYSTEMS = frozenset({*SystemKeys.model_fields, "provider", "auth", "discover", "jobs"})
_OF_JOBS = frozenset({*JobKeys.model_fields, "system", "debug"})
# Names in methods that register response hooks: the transport calls none.
_HOOKING = frozenset({"register_hook", "hooks", HTTPDigestAuth.__name__})


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point that was taken.

    Args:
        what: ``provider`` or ``auth``.
        name: the value of ``provider:`` or ``auth.type``.
        distribution: the name of what was installed.
    """

    what: str
    name: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.what} {self.name} ({self.distribution} {self.version})"


class PluginError(Exception):
    """Plug-ins that cannot be used; ``str()`` is one line for each error."""


def load() -> tuple[Registry, tuple[Plugin, ...]]:
    """The registry with all plug-ins, and which these are.

    Raises:
        PluginError: some are broken.
    """
    providers, credentials = dict(PROVIDERS), dict(CREDENTIALS)
    plugins, errors = [], []
    found = entry_points()
    for point in sorted(found.select(group=PROVIDER_GROUP), key=_order):
        try:
            providers[point.name] = _provider(point, providers)
            plugins.append(_plugin("provider", point))
        except _BrokenError as error:
            errors.append(f"{_place(point)}: {error}")
    for point in sorted(found.select(group=AUTH_GROUP), key=_order):
        try:
            credentials[point.name] = _credential(point, credentials)
            plugins.append(_plugin("auth", point))
        except _BrokenError as error:
            errors.append(f"{_place(point)}: {error}")
    if errors:
        raise PluginError("\n".join(errors))
    return Registry(providers, credentials), tuple(plugins)


class _BrokenError(Exception):
    """Why one entry point cannot be used."""


def _distribution(point: EntryPoint) -> tuple[str, str]:
    if point.dist is None:
        return "?", "?"
    # Where the metadata are damaged, typeshed's promise of a text does not hold.
    return str(point.dist.name), str(point.dist.version)


def _order(point: EntryPoint) -> tuple[str, str, str]:
    return *_distribution(point), point.name


def _plugin(what: str, point: EntryPoint) -> Plugin:
    return Plugin(what, point.name, *_distribution(point))


def _place(point: EntryPoint) -> str:
    name, version = _distribution(point)
    return f"plug-in {name} {version}, entry point {point.name} of {point.group}"


def _provider(point: EntryPoint, taken: Mapping[str, object]) -> type[Provider]:
    made = _loaded(point)
    if not (isinstance(made, type) and issubclass(made, Provider)):
        raise _BrokenError("is no subclass of exporter.providers.base.Provider")
    _check_name(point, made, "name", taken)
    _check_keys(made, "Options")
    _check_keys(made, "JobKeys")
    _check_free(made.Options, _OF_SYSTEMS)
    _check_free(made.JobKeys, _OF_JOBS)
    if made.Discover is not None:
        _check_keys(made, "Discover", DiscoverKeys)
        if made.discover is Provider.discover:
            raise _BrokenError("has Discover and no method discover")
    _check_complete(made)
    return made


def _credential(point: EntryPoint, taken: Mapping[str, object]) -> type[Credential]:
    made = _loaded(point)
    if isinstance(made, type) and _hooks(made):
        raise _BrokenError("registers response hooks, as Digest does, and none are called")
    if not (isinstance(made, type) and issubclass(made, Credential)):
        raise _BrokenError("is no subclass of exporter.auth.credential.Credential")
    if made.__call__ is not Credential.__call__:
        raise _BrokenError("has its own __call__, and only apply is called")
    _check_name(point, made, "kind", taken)
    _check_keys(made, "Keys")
    if "type" not in made.Keys.model_fields:
        raise _BrokenError(f'Keys has no key type: Literal["{point.name}"]')
    _check_complete(made)
    return made


def _loaded(point: EntryPoint) -> object:
    try:
        made: object = point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever the code of others raises
        # Its text is not ours, and may hold anything.
        raise _BrokenError(f"cannot be imported: {type(error).__name__}") from None
    return made


def _check_name(point: EntryPoint, made: type, attribute: str, taken: Mapping[str, object]) -> None:
    name = getattr(made, attribute, None)
    if name is None:
        raise _BrokenError(f"has no {attribute}")
    if name != point.name:
        raise _BrokenError(f"its {attribute} is not that of the entry point")
    if not _NAME.fullmatch(point.name):
        raise _BrokenError(f"its {attribute} must be a letter, then letters, digits, - and _, 64 at most")
    if taken.get(name, made) is not made:
        raise _BrokenError(f"the {attribute} {name} is taken already")


def _check_keys(made: type, attribute: str, base: type[Keys] = Keys) -> None:
    keys = getattr(made, attribute, None)
    if not (isinstance(keys, type) and issubclass(keys, base)):
        raise _BrokenError(f"its {attribute} is no subclass of {base.__module__}.{base.__name__}")


def _check_free(keys: type[Keys], taken: frozenset[str]) -> None:
    if twice := sorted(taken.intersection(keys.model_fields)):
        raise _BrokenError(f"its keys {', '.join(twice)} have a meaning already")


def _check_complete(made: type) -> None:
    if left := sorted(getattr(made, "__abstractmethods__", ())):
        raise _BrokenError(f"does not define {', '.join(left)}")


def _hooks(made: type) -> bool:
    return any(
        _HOOKING.intersection(function.__code__.co_names)
        for base in made.__mro__
        for function in _functions(base)
    )


def _functions(base: type) -> Iterator[FunctionType]:
    yield from (value for value in vars(base).values() if inspect.isfunction(value))
