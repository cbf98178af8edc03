"""One system as the configuration describes it: an immutable value with all defaults applied."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import isinf
from typing import Any

from exporter.auth.credential import Credential
from exporter.config.link import address
from exporter.config.models import Expectations, Settings
from exporter.config_types import Keys
from exporter.model.job import Expect, Job, Kind, State
from exporter.providers.base import DiscoverKeys, Provider
from exporter.providers.state_words import by_word
from exporter.transport import ConnectionSettings


@dataclass(frozen=True, slots=True)
class Reach:
    """How a system is reached. Equal values share one upstream; another value makes a new one.

    Args:
        options: the provider's own keys, an instance of its ``Options``.
        words: those of ``states:``, in lower case.
        auth: the keys of the credential, an instance of its ``Keys``.
        timeout: seconds for one read.
        concurrency: how many requests at a time.
        conditional: whether a response that did not change may be confirmed instead of sent again.
    """

    provider: type[Provider]
    options: Any
    words: Mapping[str, State]
    base_url: str
    credential: type[Credential]
    auth: Any
    connection: ConnectionSettings
    headers: Mapping[str, str] = field(repr=False)
    timeout: float
    concurrency: int
    conditional: bool


@dataclass(frozen=True, slots=True)
class SystemConfig:
    """One system. Durations are seconds.

    Args:
        provider: made once for each system and configuration. Not compared: `reach` has its options.
        expect: what is expected of jobs that are found, by the key of ``expect:``.
        link: address of a job's page, with its keys in braces; empty if there is none.
        jobs: with the system's labels and expectations applied.
    """

    name: str
    reach: Reach
    provider: Provider = field(compare=False, repr=False)
    labels: Mapping[str, str]
    min_interval: float
    final_interval: float
    state_series: str
    max_jobs: int
    expect: Mapping[str, float]
    link: str
    discover: tuple[DiscoverKeys, ...]
    jobs: tuple[Job, ...]

    def job(self, keys: Mapping[str, str], name: str) -> Job:
        """A job that is not in the file, of its provider's keys and its system's labels and expectations."""
        return _job(self.name, self.provider, keys, name, self.labels, self.expect, self.link)


def sharing(system: SystemConfig, before: SystemConfig | None) -> SystemConfig:
    """An equal system that consists of the objects of ``before`` where these are equal.

    So what did not change is found by identity, and the memory of both is that of one.
    """
    if before is None or system == before:
        return before or system
    known = {job.id: job for job in before.jobs}
    jobs = tuple([was if (was := known.get(job.id)) == job else job for job in system.jobs])
    return replace(system, jobs=jobs)


def system_config(
    name: str, keys: Any, defaults: Settings, provider: Provider, credential: type[Credential]
) -> SystemConfig:
    """Applies the defaults to one system, whose keys are an instance of one of `Models.systems`.

    The provider gets the words of the system's ``states``.
    """
    expect = _merged(_merged({}, defaults.expect), keys.expect)

    def setting(key: str) -> Any:
        return getattr(keys if key in keys.model_fields_set else defaults, key)

    labels, names, words = keys.labels, provider.key_names(), by_word(keys.states)
    provider.add_words(words)
    return SystemConfig(
        name=name,
        reach=Reach(
            provider=type(provider),
            options=provider.options,
            words=words,
            base_url=keys.base_url,
            credential=credential,
            auth=keys.auth,
            connection=ConnectionSettings(keys.tls, keys.proxy_url or None),
            headers=keys.headers,
            timeout=setting("timeout"),
            concurrency=setting("concurrency"),
            conditional=setting("conditional"),
        ),
        provider=provider,
        labels=labels,
        min_interval=setting("min_interval"),
        final_interval=setting("final_interval"),
        state_series=setting("state_series"),
        max_jobs=setting("max_jobs"),
        expect=expect,
        link=keys.link,
        discover=listings(getattr(keys, "discover", None)),
        jobs=tuple(
            _job(
                name,
                provider,
                own_keys(names, job),
                job.name,
                {**labels, **job.labels} if job.labels else labels,
                _merged(expect, job.expect),
                keys.link,
            )
            for job in keys.jobs
        ),
    )


def listings(discover: Any) -> tuple[DiscoverKeys, ...]:
    """The listings of ``discover:``, which is one, several or nothing."""
    if isinstance(discover, list):
        return tuple(discover)
    return () if discover is None else (discover,)


def own_keys(names: tuple[str, ...], job: Keys) -> dict[str, str]:
    """The provider's own keys of a job as strings."""
    values = dict(job)
    return {name: str(values[name]) for name in names}


def _job(
    system: str,
    provider: Provider,
    keys: Mapping[str, str],
    name: str,
    labels: Mapping[str, str],
    expect: Mapping[str, float],
    link: str,
) -> Job:
    job_id, kind = provider.identify(keys)
    # Infinite is "never": no expectation.
    kept = {key: seconds for key, seconds in expect.items() if not isinf(seconds)}
    if kind is Kind.RUN:
        kept.pop("success_within", None)
    return Job(system, job_id, kind, provider.name, keys, name, labels, _expect(**kept), address(link, keys))


# Most jobs have the same expectations, and share them.
_expect = lru_cache(maxsize=100)(Expect)


def _merged(outer: Mapping[str, float], own: Expectations) -> dict[str, float]:
    """The expectations of an outer level, replaced by those that are written at an inner one."""
    keys = own.model_fields_set if outer else Expectations.model_fields
    return {**outer, **{key: getattr(own, key) for key in keys}}
