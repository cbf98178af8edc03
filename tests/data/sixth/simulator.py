"""The made-up vendor, simulated: two builds, one of which the configuration names."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from exporter.simulator.lives import World
from exporter.simulator.responses import refusal

NOTE = "The builds of the sixth vendor never end."
TOKEN = "demo-sixth-token"
BUILDS = {"17": {"id": "17", "phase": "busy", "done": 3, "of": 4}, "18": {"id": "18", "phase": "waiting"}}


def _check(request: Request) -> None:
    if request.headers.get("Authorization") != f"Bearer {TOKEN}":
        raise refusal(401, {"error": "unauthorized"})


async def _build(request: Request) -> Response:
    _check(request)
    build = BUILDS.get(request.path_params["build"])
    return JSONResponse({"error": "not found"}, 404) if build is None else JSONResponse(build)


async def _builds(request: Request) -> Response:
    _check(request)
    return JSONResponse({"builds": list(BUILDS.values())})


def routes(world: World) -> list[BaseRoute]:
    """Its two paths."""
    del world
    builds = "/sixth/teams/web/builds"
    return [Route(builds, _builds), Route(builds + "/{build}", _build)]


def systems(base_url: str) -> dict[str, Any]:
    """Its system in a configuration."""
    return {
        "forge": {
            "provider": "sixth",
            "base_url": f"{base_url}/sixth",
            "team": "web",
            "auth": {"type": "bearer", "token": TOKEN},
            "discover": {},
            "jobs": [{"build": "17", "name": "Nightly"}],
        }
    }
