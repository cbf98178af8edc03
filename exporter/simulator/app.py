"""The simulated systems on one port, the config that reads them, and a page that lists them."""

import math
import time
from collections.abc import Callable
from typing import Any

import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from exporter.simulator import caps, codearts, crafter, huawei, itwin, sitecore
from exporter.simulator.answers import Refused, reached_at, refused
from exporter.simulator.lives import World

_HEADER = """\
# Reads every simulated system. The credentials are the simulator's own and open nothing else.
"""


def create_app(
    *,
    base_url: str | None = None,
    speed: float = 1.0,
    seed: int = 0,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """The five systems as one ASGI application, each below its own prefix.

    Every answer is a function of ``(seed, job, clock)`` alone: nothing runs in the background.

    Args:
        base_url: where it will be reached, for the config and the redirect of Crafter; None takes
            it from each request, for whoever does not know the port beforehand.
        speed: how many times faster than in reality jobs live; timestamps stay wall-clock time.
        seed: the same one gives the same lives.
        clock: Unix seconds, after 2025-01-01.

    Raises:
        ValueError: ``speed`` is not a finite number above 0.
    """
    if not 0 < speed < math.inf:
        raise ValueError("speed must be more than 0 and finite")
    world = World(speed, seed, clock)
    return Starlette(
        routes=_routes(world, base_url and base_url.rstrip("/")), exception_handlers={Refused: refused}
    )


def config(base_url: str) -> str:
    """An exporter's config, as YAML text, that names every simulated system with its jobs."""
    content = {"defaults": {"timeout": "5s", "min_interval": "5s"}, "systems": _systems(base_url.rstrip("/"))}
    return _HEADER + yaml.safe_dump(
        content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=300
    )


def _systems(base_url: str) -> dict[str, Any]:
    systems: dict[str, Any] = {}
    for room in (caps, codearts, crafter, itwin, sitecore):
        systems |= room.systems(base_url)
    return systems


def _routes(world: World, base_url: str | None) -> list[BaseRoute]:
    ims, auth, iam = itwin.issuer(world), sitecore.issuer(world), huawei.iam(world)

    async def config_yaml(request: Request) -> Response:
        return PlainTextResponse(config(reached_at(request, base_url)), media_type="application/yaml")

    async def index(request: Request) -> Response:
        return PlainTextResponse(_page(world, reached_at(request, base_url)))

    return [
        Route("/", index),
        Route("/config.yaml", config_yaml),
        Mount("/caps", routes=caps.Caps(world, caps.DOCS).routes()),
        Mount("/caps-eu", routes=caps.Caps(world, caps.DOCS_EU, shaky=True).routes()),
        Mount("/codearts", routes=codearts.CodeArts(world, iam).routes()),
        Mount("/iam", routes=iam.routes()),
        Mount("/crafter-v1/studio", routes=crafter.Crafter30(world).routes()),
        Mount("/crafter/studio", routes=crafter.Crafter41(world, base_url).routes()),
        Mount("/itwin", routes=itwin.ITwin(world, ims).routes()),
        Mount("/ims", routes=ims.routes("/connect/token")),
        Mount("/sitecore", routes=sitecore.Sitecore(world, auth).routes()),
        Mount("/sitecore-auth", routes=auth.routes("/oauth/token")),
    ]


def _page(world: World, base_url: str) -> str:
    lines = [
        "Simulated job APIs for remote-job-exporter",
        "",
        f"seed {world.seed}, {world.speed:g} times as fast as in reality",
        f"A config that reads all of it: {base_url}/config.yaml",
        "",
        f"{'system':<15} {'provider':<9} {'jobs':>4}  {'auth':<15} base_url",
    ]
    for name, system in _systems(base_url).items():
        jobs, auth = len(system["jobs"]), system["auth"]["type"]
        lines.append(f"{name:<15} {system['provider']:<9} {jobs:>4}  {auth:<15} {system['base_url']}")
    lines += [
        "",
        "docs-eu is down part of the time; the site campaigns is mostly rate limited (429).",
        "Some jobs stand still for ever, some tell a status that nobody knows.",
        "Ended iTwin and Sitecore jobs begin anew after a while under the same id.",
    ]
    return "\n".join(lines) + "\n"
