"""Loads a configuration again only if a file that it was read from has changed."""

from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path

from exporter.config.errors import ConfigError, Finding
from exporter.config.load import Config, load
from exporter.config.read import config_files
from exporter.config.registry import BUILT_IN, Registry
from exporter.model.clock import SYSTEM_CLOCK, Clock
from exporter.runtime import files

REMEMBER_ERRORS_SECONDS = 10.0
"""How long errors count without another load. Some have a cause that is in no file: too many open files."""


class Loader:
    """A configuration that is loaded again and again. All clients may ask for that, so it must cost little.

    What counts is the content of the files of the configuration and of each file that it names: secrets and
    certificates too, since a load reports one that cannot be used. The environment of a process does not
    change.
    """

    def __init__(self, path: Path, clock: Clock = SYSTEM_CLOCK, registry: Registry = BUILT_IN) -> None:
        self._path = path
        self._clock = clock
        self._registry = registry
        self._paths: Sequence[Path] = ()
        self._digests: Mapping[Path, bytes] = {}
        self._errors: tuple[Finding, ...] = ()
        self._forget_at = inf

    def load(self) -> Config:
        """Loads it.

        Raises:
            ConfigError: it has errors.
        """
        self.forget()
        paths, digests = config_files(self._path), dict[Path, bytes]()
        try:
            loaded = load(self._path, self._clock, registry=self._registry, digests=digests)
        except ConfigError as error:
            self.reject(error)
            self._paths, self._digests = paths, digests
            raise
        self._paths, self._digests = paths, digests
        return loaded

    def load_changes(self) -> Config | None:
        """Loads it if a file has changed since the last load; else ``None``, or the errors of that load.

        Raises:
            ConfigError: it has errors.
        """
        if self._is_changed():
            return self.load()
        if self._errors:
            raise ConfigError(self._errors)
        return None

    def reject(self, error: ConfigError) -> None:
        """The configuration that was loaded last has these errors."""
        self._errors, self._forget_at = error.errors, self._clock.monotonic() + REMEMBER_ERRORS_SECONDS

    def forget(self) -> None:
        """The next `load_changes` loads in any case."""
        self._paths, self._digests, self._errors = (), {}, ()

    def _is_changed(self) -> bool:
        if self._errors and self._clock.monotonic() >= self._forget_at:
            return True
        return config_files(self._path) != [*self._paths] or any(
            files.digest(path) != digest for path, digest in self._digests.items()
        )
