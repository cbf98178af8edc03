"""Loads a configuration from a file or folder: read, checked and with all defaults applied."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporter.config.cross_checks import Check, sections
from exporter.config.errors import ConfigError, Finding, bounded
from exporter.config.models import Defaults
from exporter.config.read import File, config_files, read
from exporter.config.registry import BUILT_IN, Registry
from exporter.config.system_config import SystemConfig, system_config
from exporter.config.yaml import line_of
from exporter.config_types import Place
from exporter.model.clock import SYSTEM_CLOCK, Clock
from exporter.model.text import printable


@dataclass(frozen=True, slots=True)
class Config:
    """All that is configured, by the files that were read at ``path``, a file or folder."""

    systems: tuple[SystemConfig, ...]
    path: Path
    files: tuple[File, ...] = field(repr=False, compare=False)


def load(
    path: Path,
    clock: Clock = SYSTEM_CLOCK,
    *,
    host: bool = True,
    registry: Registry = BUILT_IN,
    digests: dict[Path, bytes] | None = None,
) -> Config:
    """Loads a file, or all ``*.yaml`` and ``*.yml`` files of a folder as one configuration, without network.

    Args:
        host: whether secrets in files and variables, and TLS files, are read. Without them the
            result is only good for a check: secrets have no values.
        digests: receives the digest of each file that is read.

    Raises:
        ConfigError: with every error, up to 1000.
    """
    paths = config_files(path)
    context: dict[str, Any] = {"folder": paths[0].parent, "clock": clock, "host": host}
    if digests is not None:
        context["digests"] = digests
    check = Check(registry, context)
    model = registry.models.file
    found = [read(file, model, context, check.between_keys, pipe=file is path) for file in paths]
    if errors := [*(error for file in found for error in file.errors), *_between_files(found)]:
        raise ConfigError(bounded(errors))
    defaults = next((file.model.defaults for file in found if "defaults" in file.root), Defaults())
    systems = (
        system_config(name, keys, defaults, check.providers[name], registry.credentials[keys.auth.type])
        for file in found
        for name, keys in file.model.systems.items()
    )
    return Config(tuple(systems), path, tuple(found))


def _between_files(found: Sequence[File]) -> Iterator[Finding]:
    """Errors that no single file can see."""
    first: dict[Place, File] = {}
    for file in found:
        places: list[Place] = [("defaults",)] if "defaults" in file.root else []
        places += [("systems", name) for name, _ in sections(file.root.get("systems"))]
        for place in places:
            other = first.setdefault(place, file)
            if other is not file:
                line = line_of(other.root, place)
                yield file.finding(place, f"is already defined in {printable(str(other.path))}:{line}")
    unreadable = any(not file.root and file.errors for file in found)
    if not unreadable and not any("systems" in file.root for file in found):
        text = "is missing; allowed is a mapping of at least one system by its name"
        yield found[0].finding(("systems",), text)
