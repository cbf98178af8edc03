"""Providers and credentials of other distributions, found by their entry points and checked.

An error is reported at the start, in one line that names the plug-in. Either all are loaded or none.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from exporter.auth import CREDENTIALS
from exporter.auth.credential import Credential
from exporter.config import BUILT_IN, Registry
from exporter.config.models import JobKeys, SystemKeys
from exporter.config_types import Keys
from exporter.providers import PROVIDERS
from exporter.providers.base import DiscoverKeys, Provider

PROVIDER_GROUP = "remote_job_exporter.providers"
AUTH_GROUP = "remote_job_exporter.auth"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
# Keys that every system and every job has; /probe has two more.
_OF_SYSTEMS = frozenset({*SystemKeys.model_fields, "provider", "auth", "discover", "jobs"})
_OF_JOBS = frozenset({*JobKeys.model_fields, "system", "debug"})
# Names in methods that register response hooks: the transport calls none.
_HOOKING = frozenset({"register_hook", "hooks", "HTTPDigestAuth"})


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point that was loaded.

    Args:
        what: ``provider`` or ``auth``.
        name: the value of ``provider:`` or ``auth.type``.
        distribution: the name of the installed distribution.
    """

    what: str
    name: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.what} {self.name} ({self.distribution} {self.version})"


class PluginError(Exception):
    """Plug-ins have errors; ``str()`` is one line for each."""


def load() -> tuple[Registry, tuple[Plugin, ...]]:
    """The registry with all plug-ins, and which these are. Raises a `PluginError` if some are broken."""
    providers, credentials = dict(PROVIDERS), dict(CREDENTIALS)
    plugins, errors = [], []
    groups: tuple[tuple[str, str, Callable[..., Any], dict[str, Any]], ...] = (
        ("provider", PROVIDER_GROUP, _provider, providers),
        ("auth", AUTH_GROUP, _credential, credentials),
    )
    found = entry_points()
    for what, group, checked, known in groups:
        for point in sorted(found.select(group=group), key=lambda point: (_distribution(point), point.name)):
            name, version = _distribution(point)
            try:
                known[point.name] = checked(point, known)
                plugins.append(Plugin(what, point.name, name, version))
            except _BrokenError as error:
                errors.append(f"plug-in {name} {version}, entry point {point.name} of {group}: {error}")
    if errors:
        raise PluginError("\n".join(errors))
    # The registry owns the models of its configuration, and to make them takes longer than to load a file.
    return Registry(providers, credentials) if plugins else BUILT_IN, tuple(plugins)


class _BrokenError(Exception):
    """Why an entry point cannot be loaded."""


def _distribution(point: EntryPoint) -> tuple[str, str]:
    if point.dist is None:
        return "?", "?"
    # With damaged metadata these are not strings, whatever typeshed states.
    return str(point.dist.name), str(point.dist.version)


def _provider(point: EntryPoint, known: Mapping[str, object]) -> type[Provider]:
    made: type[Provider] = _subclass(_loaded(point), Provider)
    _check_name(point, made, "name", known)
    for keys, reserved in (_keys(made, "Options"), _OF_SYSTEMS), (_keys(made, "JobKeys"), _OF_JOBS):
        if twice := sorted(reserved.intersection(keys.model_fields)):
            raise _BrokenError(f"its keys {', '.join(twice)} are reserved")
    if made.Discover is not None:
        _keys(made, "Discover", DiscoverKeys)
        if made.discover is Provider.discover:
            raise _BrokenError("has Discover but no method discover")
    _check_complete(made)
    return made


def _credential(point: EntryPoint, known: Mapping[str, object]) -> type[Credential]:
    made = _loaded(point)
    if isinstance(made, type) and _hooks(made):
        raise _BrokenError("registers response hooks, as Digest does, but hooks are never called")
    credential: type[Credential] = _subclass(made, Credential)
    if credential.__call__ is not Credential.__call__:
        raise _BrokenError("has its own __call__, but only apply is called")
    _check_name(point, credential, "kind", known)
    if "type" not in _keys(credential, "Keys").model_fields:
        raise _BrokenError(f'Keys has no key type: Literal["{point.name}"]')
    _check_complete(credential)
    return credential


def _loaded(point: EntryPoint) -> object:
    try:
        return point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the code of others can raise anything
        # Its text can contain anything, also secrets.
        raise _BrokenError(f"cannot be imported: {type(error).__name__}") from None


def _subclass(made: object, base: type, what: str = "") -> Any:
    if isinstance(made, type) and issubclass(made, base):
        return made
    raise _BrokenError(f"{what}is not a subclass of {base.__module__}.{base.__name__}")


def _keys(made: type, attribute: str, base: type[Keys] = Keys) -> type[Keys]:
    keys: type[Keys] = _subclass(getattr(made, attribute, None), base, f"its {attribute} ")
    try:
        keys.model_rebuild()
    except Exception as error:  # noqa: BLE001  # the code of others can raise anything
        raise _BrokenError(f"its {attribute} cannot be used: {type(error).__name__}") from None
    return keys


def _check_name(point: EntryPoint, made: type, attribute: str, known: Mapping[str, object]) -> None:
    name = getattr(made, attribute, None)
    if name is None:
        raise _BrokenError(f"has no {attribute}")
    if name != point.name:
        raise _BrokenError(f"its {attribute} differs from the name of the entry point")
    if not _NAME.fullmatch(point.name):
        raise _BrokenError(f"its {attribute} must be a letter, then at most 63 letters, digits, - and _")
    if known.get(name, made) is not made:
        raise _BrokenError(f"the {attribute} {name} is already in use")


def _check_complete(made: type) -> None:
    if left := sorted(getattr(made, "__abstractmethods__", ())):
        raise _BrokenError(f"does not define {', '.join(left)}")


def _hooks(made: type) -> bool:
    return any(
        _HOOKING.intersection(value.__code__.co_names)
        for base in made.__mro__
        for value in vars(base).values()
        if inspect.isfunction(value)
    )
