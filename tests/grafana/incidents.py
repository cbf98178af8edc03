"""Incidents, staged beside each other in one real Prometheus: each is a scrape job.

Three exporters read three systems: `calm`, `refused`, whose credentials are refused, and `broken`, which
answers 503. A scrape job keeps the systems of its incident.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.prometheus import Prometheus, scraping, static
from tests.stack import RULES
from tests.vendor import Asked, Exporter, Told, caps, caps_config, exporter, vendor
from tests.waiting import seen


@dataclass(frozen=True)
class Incident:
    """What one scrape job sees.

    Args:
        name: of the scrape job.
        systems: those that it keeps.
        alive: scrapes the exporter that answers to the end.
        dies: scrapes the exporter that ends after a while.
        replicas: how many exporters there should be, of which Prometheus finds one.
        rules: whether the rules are loaded.
    """

    name: str
    systems: tuple[str, ...] = ("calm",)
    alive: bool = True
    dies: bool = False
    replicas: int = 1
    rules: bool = True

    @property
    def scrape_job(self) -> str:
        """Without rules there are no alerts: the normal day, and queries that ask for no alerts."""
        return self.name if self.rules else NORMAL.name

    @property
    def targets(self) -> int:
        return self.alive + self.dies


NORMAL = Incident("normal")
NO_RULES = Incident("norules", rules=False)
DOWN = Incident("exporterdown", alive=False, dies=True)
PAIR = Incident("pair", dies=True)
PENDING = Incident("pending", replicas=2)
CREDENTIALS = Incident("credentials", ("calm", "refused"))
BROKEN = Incident("docs503", ("calm", "broken"))
NOTHING = Incident("nothing", (), alive=False)
INCIDENTS = (NORMAL, NO_RULES, DOWN, PAIR, PENDING, CREDENTIALS, BROKEN, NOTHING)


def _answer(asked: Asked) -> Told:
    if asked.path.startswith("/refused"):
        return Told(status=401)
    if asked.path.startswith("/broken"):
        return Told(status=503)
    if "/0/" in asked.path:
        return Told(caps("Running", job_progress=40))
    return Told(caps())


def _scraped(incident: Incident, alive: Mapping[int, Exporter], dies: Exporter) -> dict[str, object]:
    targets = [dies.url] * incident.dies + [alive[incident.replicas].url] * incident.alive
    systems = "|".join(("", *incident.systems))
    keep = {"source_labels": ["system"], "regex": systems, "action": "keep"}
    return static(incident.name, *targets, metric_relabel_configs=[keep])


@asynccontextmanager
async def staged(folder: Path, prometheus: str) -> AsyncIterator[Prometheus]:
    """A Prometheus that has seen all incidents begin.

    Args:
        folder: for what is written.
        prometheus: the path of the program.
    """
    scraped = [one for one in INCIDENTS if one.targets and one.rules]
    async with AsyncExitStack() as stack:
        playing = await stack.enter_async_context(vendor(_answer))
        config = "systems:\n" + "".join(
            caps_config(f"{playing.url}/{name}", 2, name=name) for name in ("calm", "refused", "broken")
        )
        alive = {
            replicas: await stack.enter_async_context(exporter(config, folder, replicas=replicas))
            for replicas in (1, 2)
        }
        dying = AsyncExitStack()
        stack.push_async_exit(dying)
        dies = await dying.enter_async_context(exporter(config, folder))
        jobs = [_scraped(one, alive, dies) for one in scraped]
        scraper = stack.enter_context(scraping(prometheus, folder / "prometheus", jobs, rules=[RULES]))

        async def counts(value: int, number: int) -> bool:
            return await asyncio.to_thread(scraper.query, f"count(up == {value}) == {number}") != []

        everybody, dead = sum(one.targets for one in scraped), sum(one.dies for one in scraped)
        await seen(lambda: counts(1, everybody), "all exporters scraped")
        await dying.aclose()
        await seen(lambda: counts(0, dead), "the death of one seen")
        yield scraper
