"""The simulated systems on one port, the config that reads them, and a page that lists them."""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from exporter.simulator import caps, codearts, crafter, itwin, sitecore
from exporter.simulator.lives import World
from exporter.simulator.responses import Refused, reached_at, refused


class Vendor(Protocol):
    """What the module of a vendor defines."""

    @property
    def NOTE(self) -> str:  # noqa: N802  # a constant of the module
        """A line of the index page on what differs from the real system; may be empty."""

    def routes(self, world: World) -> list[BaseRoute]:
        """All its paths, with the prefix of each system."""

    def systems(self, base_url: str) -> dict[str, Any]:
        """Its systems in the configuration of an exporter, by name."""


VENDORS: tuple[Vendor, ...] = (caps, codearts, crafter, itwin, sitecore)

_HEADER = "# Reads every simulated system. The credentials are valid for the simulator only.\n"


def create_app(
    *,
    base_url: str | None = None,
    speed: float = 1.0,
    seed: int = 0,
    clock: Callable[[], float] = time.time,
    vendors: Iterable[Vendor] = VENDORS,
) -> Starlette:
    """The systems of all vendors as one ASGI application, each with its own prefix.

    Every response is a function of ``(seed, job, clock)`` alone: nothing runs in the background.

    Args:
        base_url: the address of the simulator, for the configuration and redirects. ``None``: as in the
            URL of each request, for callers that do not know the port before the server listens.
        speed: how many times faster than in reality jobs live; timestamps stay wall-clock time.
        seed: the same seed gives the same jobs.
        clock: Unix seconds, after 2025-01-01.
        vendors: what to simulate.

    Raises:
        ValueError: ``speed`` is not a finite number above 0.
    """
    if not 0 < speed < math.inf:
        raise ValueError("speed must be more than 0 and finite")
    world = World(speed, seed, clock, base_url and base_url.rstrip("/"))
    vendors = tuple(vendors)

    async def config_yaml(request: Request) -> Response:
        text = config(reached_at(request, world.base_url), vendors)
        return PlainTextResponse(text, media_type="application/yaml")

    async def index(request: Request) -> Response:
        return PlainTextResponse(_page(world, reached_at(request, world.base_url), vendors))

    routes: list[BaseRoute] = [Route("/", index), Route("/config.yaml", config_yaml)]
    for vendor in vendors:
        routes += vendor.routes(world)
    return Starlette(routes=routes, exception_handlers={Refused: refused})


def config(base_url: str, vendors: Iterable[Vendor] = VENDORS) -> str:
    """The configuration of an exporter, as YAML text, with every simulated system and its jobs."""
    systems = _systems(base_url.rstrip("/"), vendors)
    content = {"defaults": {"timeout": "5s", "min_interval": "5s"}, "systems": systems}
    return _HEADER + yaml.safe_dump(
        content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=300
    )


def _systems(base_url: str, vendors: Iterable[Vendor]) -> dict[str, Any]:
    return {name: system for vendor in vendors for name, system in vendor.systems(base_url).items()}


def _page(world: World, base_url: str, vendors: Iterable[Vendor]) -> str:
    lines = [
        "Simulated job APIs for remote-job-exporter",
        "",
        f"seed {world.seed}, {world.speed:g} times as fast as in reality",
        f"A config that reads all of it: {base_url}/config.yaml",
        "",
        f"{'system':<15} {'provider':<9} {'jobs':>4}  {'auth':<15} base_url",
    ]
    for name, system in _systems(base_url, vendors).items():
        jobs, auth = len(system["jobs"]), system["auth"]["type"]
        lines.append(f"{name:<15} {system['provider']:<9} {jobs:>4}  {auth:<15} {system['base_url']}")
    lines += ["", "Some jobs never move, some have a status word that the exporter does not know."]
    lines += [vendor.NOTE for vendor in vendors if vendor.NOTE]
    return "\n".join(lines) + "\n"
