"""Plans of the systems that a configuration describes, each with the means to reach its system."""

import contextlib
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from exporter.collector.plan import Plan
from exporter.config import ConfigError, Finding, SystemConfig
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.clock import Clock
from exporter.model.pacing import Rules
from exporter.runtime.compute import Compute
from exporter.upstream.client import Client, ClientSettings
from exporter.upstream.echoes import EchoesOf
from exporter.upstream.reading import Upstream

_log = logging.getLogger(__name__)

Planned = tuple[SystemConfig, Plan]
"""A system as configured, and its plan."""


class Planner:
    """Makes plans.

    Args:
        file: of the configuration, for errors.
    """

    def __init__(self, file: Path, instrumentation: Instrumentation, clock: Clock, compute: Compute) -> None:
        self._file = file
        self._instrumentation = instrumentation
        self._clock = clock
        self._compute = compute

    async def plan(
        self, systems: Collection[SystemConfig], before: Mapping[str, Planned]
    ) -> dict[str, Planned]:
        """The plan of each system by name. A system that did not change keeps its plan.

        Args:
            before: the plans in force.

        Raises:
            ConfigError: the code of a provider or of a credential fails, such as that of a plug-in. It is
                found here, before the configuration in force has changed.
        """
        plans: dict[str, Planned] = {}
        try:
            for system in systems:
                await self._compute.turns.pause()
                was, plan = before.get(system.name, (None, None))
                with self._set_up(system):
                    if was is None or plan is None or was.reach != system.reach:
                        plan = _plan(system, self._upstream(system))
                    elif was != system:
                        plan = _plan(system, plan.upstream)
                plans[system.name] = system, plan
        except ConfigError:
            for name in {system.name for system in systems} - before.keys():
                self._instrumentation.forget(name)
            raise
        return plans

    @contextlib.contextmanager
    def _set_up(self, system: SystemConfig) -> Iterator[None]:
        """Turns an error in the code of a provider or a credential into an error of the configuration."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  an error of a plug-in; its text can contain a secret
            _log.exception("failed to set up a system", extra={"system": system.name})
            what = f"could not be set up ({type(error).__name__})"
            raise ConfigError([Finding(self._file, 1, f"systems.{system.name}", what)]) from None

    def _upstream(self, system: SystemConfig) -> Upstream:
        reach = system.reach
        credential = reach.credential(reach.auth)
        client = Client(
            ClientSettings(
                reach.base_url,
                reach.headers,
                reach.timeout,
                reach.concurrency,
                conditional=reach.conditional,
            ),
            credential=credential,
            connection=reach.connection,
            instrumentation=self._instrumentation.of(system.name),
            clock=self._clock,
            rate_limit=system.provider.rate_limit(),
            turns=self._compute.turns,
        )
        return Upstream(system.provider, client, self._compute, EchoesOf(credential, reach.base_url))


def _plan(system: SystemConfig, upstream: Upstream) -> Plan:
    provider = upstream.provider
    return Plan(
        name=system.name,
        key_names=frozenset(provider.key_names()),
        counted=provider.summary() is not None,
        origin=(provider.name, system.reach.base_url),
        upstream=upstream,
        jobs=system.jobs,
        rules=Rules(system.min_interval, system.final_interval, provider.poll_steps),
        labels=system.labels,
        concurrency=system.reach.concurrency,
        job=system.job,
        discover=system.discover,
        max_jobs=system.max_jobs,
        current_only=system.state_series == "current",
    )
