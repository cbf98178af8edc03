"""Errors that no single key can see: between the keys of a system, its jobs and its provider's options."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from exporter.config.link import names
from exporter.config.models import NEVER, JobKeys, label_name
from exporter.config.registry import Registry
from exporter.config.system_config import own_keys
from exporter.config.yaml import ItemList, Section
from exporter.config_types import Keys, Place
from exporter.model.job import Kind
from exporter.providers.base import DiscoverKeys, Provider

T = TypeVar("T", bound=Keys)


class Check:
    """Checks the systems of a configuration as written in the file, also where other keys are wrong.

    Args:
        context: for the validators of keys.

    Attributes:
        providers: the provider of each system whose options are valid, by the system's name.
    """

    def __init__(self, registry: Registry, context: Mapping[str, Any]) -> None:
        self._registry = registry
        self.providers: dict[str, Provider] = {}
        self._context = context

    def between_keys(self, root: Section) -> Iterator[tuple[Place, str]]:
        """The errors of one file."""
        for name, system in sections(root.get("systems")):
            yield from ((("systems", name, *place), text) for place, text in self._system(name, system))

    def _system(self, name: str, system: Section) -> Iterator[tuple[Place, str]]:
        tag = system.get("provider")
        kind = self._registry.providers.get(tag) if isinstance(tag, str) else None
        if kind is None:
            return
        jobs = system.get("jobs")
        if kind.Discover is not None and not (jobs or "discover" in system):
            yield ("jobs",), "is missing: the jobs to watch, or discover to find them"
        given = {key: system[key] for key in kind.Options.model_fields if key in system}
        if (options := self._valid(kind.Options, given)) is None:
            return
        provider = self.providers[name] = kind(options)
        for place, label in provider.vendor_labels():
            try:
                label_name(label)
            except ValueError as error:
                yield place, str(error)
        if isinstance(link := system.get("link"), str):
            known = provider.key_names()
            if any(name not in known for name in names(link)):
                yield ("link",), f"names no key of a job; allowed in braces are {', '.join(known)}"
        if provider.Discover is not None and "discover" in system:
            yield from self._listings(provider, provider.Discover, system["discover"])
        if isinstance(jobs, ItemList):
            yield from self._jobs(provider, jobs)

    def _listings(
        self, provider: Provider, model: type[DiscoverKeys], discover: object
    ) -> Iterator[tuple[Place, str]]:
        several = isinstance(discover, ItemList)
        for index, given in enumerate(discover if isinstance(discover, ItemList) else [discover]):
            keys = self._valid(model, given)
            errors = () if keys is None else provider.check_discover(keys)
            outer: Place = ("discover", index) if several else ("discover",)
            yield from (((*outer, *place), text) for place, text in errors)

    def _valid(self, model: type[T], given: object) -> T | None:
        """The validated keys; ``None`` if they have errors, which the validation of the file reports."""
        try:
            return model.model_validate(given, context=self._context)
        except ValidationError:
            return None

    def _jobs(self, provider: Provider, jobs: ItemList) -> Iterator[tuple[Place, str]]:
        seen: dict[str, int] = {}
        for index, job in enumerate(jobs):
            if not isinstance(job, Section):
                continue
            place: Place = ("jobs", index)
            yield from (((*place, key), text) for key, text in _unexpected_keys(provider, job))
            if (keys := self._own_keys(provider, job)) is None:
                continue
            yield from (((*place, key), text) for key, text in provider.check_keys(keys))
            job_id, kind = provider.identify(keys)
            first = seen.setdefault(job_id, index)
            if first != index:
                yield place, f"is the same job as jobs[{first}] on line {jobs.lines[first]}"
            expect = job.get("expect")
            within = expect.get("success_within", NEVER) if isinstance(expect, Section) else NEVER
            # In `defaults` or of a system it applies to slots only; here it can only be meant for this job.
            if kind is Kind.RUN and within != NEVER:
                place = (*place, "expect", "success_within")
                yield place, "success_within does not apply to one-off runs; remove it or set it to never"

    def _own_keys(self, provider: Provider, job: Section) -> dict[str, str] | None:
        names = provider.key_names()
        given = {name: job[name] for name in names if name in job}
        if len(given) < len(names) and not provider.JobKeys.model_fields:
            return None
        keys = self._valid(provider.JobKeys, given)
        return None if keys is None else own_keys(names, keys)


def sections(value: object) -> Iterator[tuple[str, Section]]:
    """The mappings of a mapping, by key."""
    if isinstance(value, Section):
        yield from ((name, each) for name, each in value.items() if isinstance(each, Section))


def _unexpected_keys(provider: Provider, job: Section) -> Iterator[tuple[str, str]]:
    """Keys of a job that the options of its system name and that are missing, and the other way round."""
    if provider.JobKeys.model_config.get("extra") != "allow":
        return  # the model itself knows
    names = provider.key_names()
    yield from ((name, "is missing: read uses it in braces") for name in names if name not in job)
    allowed = (*names, *JobKeys.model_fields)
    yield from ((key, f"unknown key; allowed: {', '.join(allowed)}") for key in job if key not in allowed)
