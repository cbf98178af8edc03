"""The files of a configuration: which they are, and one of them read and validated key by key."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR
from typing import Any

from pydantic import ValidationError

from exporter.config import yaml
from exporter.config.errors import MAX_ERRORS, ConfigError, Finding, shown, translate
from exporter.config.yaml import Problem, Section
from exporter.config_types import Keys, Place
from exporter.runtime import files

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class File:
    """One file as read; ``model`` is ``None`` where it has errors."""

    path: Path
    root: Section
    model: Any
    errors: tuple[Finding, ...]

    def finding(self, place: Place, text: str) -> Finding:
        """An error or a warning at a place of this file."""
        return Finding(
            self.path, yaml.line_of(self.root, place), shown(place, type(self.model), self.root), text
        )


def config_files(path: Path) -> list[Path]:
    """The file itself, or the ``*.yaml`` and ``*.yml`` files of a folder by name, hidden ones left out.

    Raises:
        ConfigError: the folder cannot be listed or has no such file.
    """
    if not is_folder(path):
        return [path]
    found = [file for file in _listed(path) if file.suffix in SUFFIXES and not is_folder(file)]
    if not found:
        raise ConfigError([Finding(path, 1, "", "the folder contains no *.yaml or *.yml file")])
    return found


def stamp(path: Path) -> files.Stamp:
    """A value that changes when the file, or a file of the folder, is changed, added or removed."""
    try:
        return files.stamp(*config_files(path))
    except ConfigError:
        return ()


def unread(path: Path) -> list[Path]:
    """What a folder contains besides hidden entries and the files that are read; empty for a single file.

    Raises:
        ConfigError: the folder cannot be listed.
    """
    return sorted({*_listed(path)}.difference(config_files(path))) if is_folder(path) else []


def _listed(folder: Path) -> list[Path]:
    try:
        # Hidden entries are among other things what Kubernetes adds to a folder that it mounts.
        return sorted(entry for entry in files.listed(folder) if not entry.name.startswith("."))
    except OSError as error:
        raise ConfigError([Finding(folder, 1, "", f"cannot be read: {error.strerror}")]) from None


def is_folder(path: Path) -> bool:
    """Whether it is a folder; false if that is unknown, since reading it then reports the reason."""
    try:
        return S_ISDIR(files.look_at(path).st_mode)
    except OSError:
        return False


def read(
    path: Path,
    model: type[Keys],
    context: Mapping[str, Any],
    between: Callable[[Section], Iterable[tuple[Place, str]]] = lambda _: (),
    *,
    pipe: bool = False,
) -> File:
    """Reads one YAML file of the given keys. Raises nothing.

    Args:
        context: for the validators of the model; relative paths are relative to its ``folder``. Its
            ``digests``, if it has them, receive the digest of this file and of those that it names.
        between: finds errors that no single key can see, also where other keys are wrong.
        pipe: whether the file may be a pipe, which can be read only once.
    """
    digests = context.get("digests", {})
    try:
        data = files.read(path, yaml.MAX_BYTES + 1, pipe=pipe)
    except OSError as error:
        digests[path] = files.digest_of(error)
        return File(path, Section(), None, (Finding(path, 1, "", f"cannot be read: {error.strerror}"),))
    digests[path] = files.digest_of(data)
    document = yaml.parse(data)
    root = document.root if isinstance(document.root, Section) else Section()
    validated = None
    refused: list[tuple[Place, str]] = []
    if document.root is not None:
        try:
            validated = model.model_validate(document.root, context=context)
        except ValidationError as error:
            refused += translate(error.errors(include_url=False)[: MAX_ERRORS + 1], model)
        refused += between(root)
    found = list(document.problems)
    for more in (
        [Problem(yaml.line_of(root, place), place, text) for place, text in refused],
        [] if validated is None else [one for one in document.empty if not _may_be_null(validated, one.path)],
    ):
        known = {problem.path for problem in found}
        found += [problem for problem in more if problem.path not in known]
    errors = tuple(Finding(path, each.line, shown(each.path, model, root), each.text) for each in found)
    return File(path, root, validated, errors)


def _may_be_null(validated: Keys, place: Place) -> bool:
    """Whether null has a meaning at a place: inside of a body, which is sent as JSON, or for some keys.

    The validator of a plain mapping or list has accepted it. For any other key, a value is forgotten.
    """
    parent: Any = validated
    for name in place[:-1]:
        match parent:
            case dict():
                parent = parent.get(name)
            case list():
                parent = parent[int(name)]
            case _:
                parent = getattr(parent, str(name), None)
    return isinstance(parent, dict | list) or (isinstance(parent, Keys) and place[-1] in parent.nullable)
