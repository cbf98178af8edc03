"""A config file or folder, read, checked and made ready for use."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isinf
from pathlib import Path
from stat import S_ISDIR
from typing import Any

from pydantic import ValidationError

from exporter.config import yaml
from exporter.config.errors import ConfigError, Finding, shown, translate
from exporter.config.models import NEVER, Defaults, Expectations, JobKeys, Settings, file_model
from exporter.config.yaml import Items, Problem, Section
from exporter.config_types import Keys
from exporter.model.clock import SYSTEM_CLOCK, Clock
from exporter.model.job import Expect, Job, Kind
from exporter.providers import PROVIDERS
from exporter.providers.base import DiscoverKeys, Provider
from exporter.runtime import files
from exporter.transport import Tls

MAX_ERRORS = 1000
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class System:
    """One system with the defaults applied. Durations are seconds.

    Args:
        name: the label ``system``.
        provider: a key of ``PROVIDERS``.
        options: the provider's own keys, an instance of its ``Options``.
        auth: the keys of the credential; ``auth.type`` is a key of ``CREDENTIALS``.
        proxy_url: ``None`` leaves it to the environment.
        state_series: ``all`` or ``current``.
        jobs: with the system's labels under their own, and what is expected of each.
    """

    name: str
    provider: str
    options: Any
    base_url: str
    auth: Any
    labels: Mapping[str, str]
    tls: Tls
    proxy_url: str | None
    headers: Mapping[str, str] = field(repr=False)
    timeout: float
    concurrency: int
    min_interval: float
    final_interval: float
    state_series: str
    max_jobs: int
    expect: Mapping[str, float]
    discover: DiscoverKeys | None
    jobs: tuple[Job, ...]

    def job(self, keys: Mapping[str, str], name: str) -> Job:
        """A job that was found: it has only the labels and expectations of its system.

        Args:
            keys: the provider's own, as strings.
        """
        provider = PROVIDERS[self.provider](self.options)
        return make_job(self.name, provider, keys, name, self.labels, self.expect)


@dataclass(frozen=True, slots=True)
class Config:
    """All that is configured.

    Args:
        path: the config file or folder.
        files: what it was read from.
    """

    systems: tuple[System, ...]
    path: Path
    files: tuple["File", ...] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class File:
    """One file as read; ``model`` is ``None`` where it has errors."""

    path: Path
    root: Section
    model: Any
    errors: tuple[Finding, ...]


def stamp(path: Path) -> object:
    """What changes whenever the config file, or a file of the folder, is changed or replaced."""
    try:
        return tuple((file, files.stamp(file)) for file in _files(path))
    except ConfigError:
        return None


def load(path: Path, clock: Clock = SYSTEM_CLOCK, *, host: bool = True) -> Config:
    """Reads a config file, or a folder whose ``*.yaml`` and ``*.yml`` files, by name, are one config.

    The network is not looked at. Files beginning with a dot are left out.

    Args:
        host: whether secrets in files and variables, and TLS files, are looked at. Without them the
            config can only be checked: its secrets have no values.

    Raises:
        ConfigError: with every error, up to 1000.
    """
    found = [_read(file, clock, host=host, pipe=file is path) for file in _files(path)]
    errors = [error for file in found for error in file.errors]
    errors += _between(found, path)
    if errors:
        raise ConfigError(bounded(sorted(set(errors))))
    defaults = next((file.model.defaults for file in found if "defaults" in file.root), None) or Defaults()
    return Config(
        tuple(
            _system(name, system, defaults) for file in found for name, system in file.model.systems.items()
        ),
        path,
        tuple(found),
    )


def _files(path: Path) -> list[Path]:
    if not is_folder(path):
        return [path]
    found = [file for file in _listed(path) if file.suffix in SUFFIXES and not is_folder(file)]
    if not found:
        raise ConfigError([Finding(path, 1, "", "the folder holds no *.yaml and no *.yml file")])
    return found


def unread(path: Path) -> list[Path]:
    """What a config folder holds besides the files that are read; nothing where it is one file.

    Hidden entries, and so all that Kubernetes adds to what it mounts, are left out.

    Raises:
        ConfigError: the folder cannot be listed.
    """
    if not is_folder(path):
        return []
    read = set(_files(path))
    return [entry for entry in _listed(path) if entry not in read]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise ConfigError([Finding(folder, 1, "", f"cannot be read: {error.strerror}")]) from None


def is_folder(path: Path) -> bool:
    """Whether it is a folder; not where nobody can tell, since reading it tells why."""
    try:
        return S_ISDIR(files.look_at(path).st_mode)
    except OSError:
        return False


def _read(path: Path, clock: Clock, *, host: bool, pipe: bool) -> File:
    context = {"folder": path.parent, "clock": clock, "host": host}
    return read(path, file_model(), context, lambda root: _between_keys(root, context), pipe=pipe)


def read(
    path: Path,
    model: type[Keys],
    context: Mapping[str, Any],
    between: Callable[[Section], Iterable[tuple[yaml.Path, str]]] = lambda _: (),
    *,
    pipe: bool = False,
) -> File:
    """Reads one YAML file of the given keys; raises nothing.

    Args:
        context: for the validators of the model; relative paths begin at its ``folder``.
        between: finds errors that no single key can see, also where other keys are wrong.
        pipe: whether the file may be a pipe, which can be read only once.
    """
    try:
        data = files.read(path, yaml.MAX_BYTES + 1, pipe=pipe)
    except OSError as error:
        return File(path, Section(), None, (Finding(path, 1, "", f"cannot be read: {error.strerror}"),))
    document = yaml.parse(data)
    root = document.root if isinstance(document.root, Section) else Section()
    found = list(document.problems)
    validated = None
    if document.root is not None:
        validated, refused = _validated(document.root, model, context)
        known = {problem.path for problem in found}
        found += [
            Problem(yaml.line_of(root, place), place, text)
            for place, text in [*refused, *between(root)]
            if place not in known
        ]
    known = {problem.path for problem in found}
    found += [problem for problem in document.empty if problem.path not in known]
    errors = tuple(Finding(path, each.line, shown(each.path), each.text) for each in found)
    return File(path, root, validated, errors)


def _validated(
    root: object, model: type[Keys], context: Mapping[str, Any]
) -> tuple[Any, list[tuple[yaml.Path, str]]]:
    try:
        return model.model_validate(root, context=context), []
    except ValidationError as error:
        return None, list(translate(error.errors(include_url=False)[: MAX_ERRORS + 1], model))


def _between_keys(root: Section, context: Mapping[str, Any]) -> Iterator[tuple[yaml.Path, str]]:
    """What no single key can see, looked for also where other keys are wrong."""
    for name, system in _entries(root.get("systems")):
        tag = system.get("provider")
        provider = PROVIDERS.get(tag) if isinstance(tag, str) else None
        jobs = system.get("jobs")
        if provider is not None and provider.Discover is not None and not (jobs or "discover" in system):
            yield ("systems", name, "jobs"), "is missing: the jobs to watch, or discover to find them"
        made = None if provider is None else _made(provider, system, context)
        if made is None:
            continue
        between = list(_between_listing(made, system, context))
        if isinstance(jobs, Items):
            between += _between_jobs(made, jobs, context)
        yield from ((("systems", name, *place), text) for place, text in between)


def _between_listing(
    provider: Provider, system: Section, context: Mapping[str, Any]
) -> Iterator[tuple[yaml.Path, str]]:
    """What is wrong between ``discover:`` and the options, where each is good by itself."""
    if provider.Discover is None or "discover" not in system:
        return
    try:
        discover = provider.Discover.model_validate(system["discover"], context=context)
    except ValidationError:
        return
    yield from ((("discover", *place), text) for place, text in provider.check_discover(discover))


def _between_jobs(
    provider: Provider, jobs: Items, context: Mapping[str, Any]
) -> Iterator[tuple[yaml.Path, str]]:
    seen: dict[str, int] = {}
    for index, job in enumerate(jobs):
        if not isinstance(job, Section):
            continue
        place: yaml.Path = ("jobs", index)
        yield from (((*place, key), text) for key, text in _odd_keys(provider, job))
        keys = _own_keys(provider, job, context)
        if keys is None:
            continue
        job_id, kind = provider.identify(keys)
        first = seen.setdefault(job_id, index)
        if first != index:
            yield place, f"is the same job as jobs[{first}] on line {jobs.lines[first]}"
        expect = job.get("expect")
        # In `defaults` or of a system it holds for slots only; here it can only be meant for this job.
        if kind is Kind.RUN and isinstance(expect, Section) and expect.get("success_within", NEVER) != NEVER:
            yield (*place, "expect", "success_within"), "a single run has no next success; allowed is never"


def _entries(value: object) -> Iterator[tuple[str, Section]]:
    if isinstance(value, Section):
        yield from ((name, each) for name, each in value.items() if isinstance(each, Section))


def _made(provider: type[Provider], system: Section, context: Mapping[str, Any]) -> Provider | None:
    """The provider with the options of a system; ``None`` where they are wrong."""
    given = {name: system[name] for name in provider.Options.model_fields if name in system}
    try:
        return provider(provider.Options.model_validate(given, context=context))
    except ValidationError:
        return None


def _odd_keys(provider: Provider, job: Section) -> Iterator[tuple[str, str]]:
    """Keys of a job that its system's options ask for and that are not there, and the other way round."""
    if provider.JobKeys.model_config.get("extra") != "allow":
        return  # the model itself knows
    names = provider.key_names()
    yield from ((name, "is missing: read names it in braces") for name in names if name not in job)
    allowed = (*names, *JobKeys.model_fields)
    yield from ((key, f"unknown key; allowed: {', '.join(allowed)}") for key in job if key not in allowed)


def _own_keys(provider: Provider, job: Section, context: Mapping[str, Any]) -> dict[str, str] | None:
    names = provider.key_names()
    given = {name: job[name] for name in names if name in job}
    if len(given) < len(names) and not provider.JobKeys.model_fields:
        return None
    try:
        return _texts(names, provider.JobKeys.model_validate(given, context=context))
    except ValidationError:
        return None


def _texts(names: Iterable[str], job: Keys) -> dict[str, str]:
    own = dict(job)
    return {name: str(own[name]) for name in names}


def _between(found: list[File], path: Path) -> Iterator[Finding]:
    """What no single file can see."""
    first: dict[yaml.Path, File] = {}
    for file in found:
        places: list[yaml.Path] = [("defaults",)] if "defaults" in file.root else []
        places += [("systems", name) for name, _ in _entries(file.root.get("systems"))]
        for place in places:
            other = first.setdefault(place, file)
            if other is not file:
                line = yaml.line_of(other.root, place)
                text = f"is defined already in {files.shown(other.path)}:{line}"
                yield Finding(file.path, yaml.line_of(file.root, place), shown(place), text)
    unreadable = any(not file.root and file.errors for file in found)
    if not unreadable and not any("systems" in file.root for file in found):
        where = found[0].path if found else path
        yield Finding(
            where, 1, "systems", "is missing; allowed is a mapping of at least one system by its name"
        )


def bounded(errors: list[Finding], kind: str = "errors") -> list[Finding]:
    """So many errors as anybody reads, the last one saying that there are more."""
    if len(errors) <= MAX_ERRORS:
        return errors
    last = errors[MAX_ERRORS]
    return [
        *errors[:MAX_ERRORS],
        Finding(last.file, last.line, "", f"more {kind} from here on are not shown"),
    ]


def _system(name: str, keys: Any, defaults: Settings) -> System:
    kind = PROVIDERS[keys.provider]
    expect = _within(_within({}, defaults.expect), keys.expect)

    def setting(key: str) -> Any:
        return getattr(keys if key in keys.model_fields_set else defaults, key)

    labels = keys.labels
    options = kind.Options.model_construct(**{key: getattr(keys, key) for key in kind.Options.model_fields})
    provider = kind(options)
    names = provider.key_names()
    return System(
        name=name,
        provider=keys.provider,
        options=options,
        base_url=keys.base_url,
        auth=keys.auth,
        labels=labels,
        tls=keys.tls,
        proxy_url=keys.proxy_url or None,
        headers=keys.headers,
        timeout=setting("timeout"),
        concurrency=setting("concurrency"),
        min_interval=setting("min_interval"),
        final_interval=setting("final_interval"),
        state_series=setting("state_series"),
        max_jobs=setting("max_jobs"),
        expect=expect,
        discover=getattr(keys, "discover", None),
        jobs=tuple(
            make_job(
                name,
                provider,
                _texts(names, job),
                job.name,
                {**labels, **job.labels} if job.labels else labels,
                _within(expect, job.expect),
            )
            for job in keys.jobs
        ),
    )


def make_job(
    system: str,
    provider: Provider,
    keys: Mapping[str, str],
    name: str,
    labels: Mapping[str, str],
    expect: Mapping[str, float],
) -> Job:
    """The job of the given provider's keys; infinite expectations are none."""
    job_id, kind = provider.identify(keys)
    return Job(system, job_id, kind, provider.name, keys, name, labels, _expect(expect, kind))


def _within(wider: Mapping[str, float], own: Expectations) -> dict[str, float]:
    """What holds once the nearer of two places has said its part."""
    written = {
        key: getattr(own, key)
        for key in Expectations.model_fields
        if key in own.model_fields_set or not wider
    }
    return {**wider, **written}


def _expect(within: Mapping[str, float], kind: Kind) -> Expect:
    kept = {key: seconds for key, seconds in within.items() if not isinf(seconds)}
    if kind is Kind.RUN:
        kept.pop("success_within", None)
    return Expect(**kept)
