"""Two simulated Studios of CrafterCMS: a 3.0 with its v1 endpoints only, and a 4.1 with v2.

Bodies are those of the servers' code. The 4.1 answers the status of v1 as that server does: 301 to the v2
path without a query. Both list sites by v1, the 3.0 only with a user name; the 4.1 also by v2. The 3.0 has
sessions only, the 4.1 access tokens only. One site of the 4.1 is behind a gateway that limits requests most
of the time; of another one the user cannot read the packages. Every few minutes a site is created for an
occasion, published once and deleted after a while.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from exporter.simulator import publishing
from exporter.simulator.listings import latest_runs
from exporter.simulator.lives import FINE, MINUTE, End, Life, Moment, Part, Phase, World, ended, hanging
from exporter.simulator.responses import (
    Refused,
    gateway,
    guid,
    number,
    reached_at,
    refusal,
    to_second,
)
from exporter.simulator.sessions import Sessions

NOTE = "The site campaigns is mostly rate limited (429)."
USERNAME, PASSWORD = "demo", "demo-crafter-password"
TOKEN = "demo-crafter-token"
TOKEN_WITHOUT_RIGHTS = "demo-crafter-token-without-rights"
V1 = "/api/1/services/api/1/publish/status.json"
V2 = "/api/2/publish/status"
PACKAGES = "/api/2/publish/packages"
SITES_V1 = "/api/1/services/api/1/site/get-per-user.json"
SITES_V2 = "/api/2/users/me/sites"
LOGIN = "/api/1/services/api/1/security/login.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site(Part):
    """One site.

    Args:
        id: as in requests.
        limited: a gateway answers 429 for it most of the time.
        hidden: the user cannot read its packages.
        staging: the site has a staging target.
        planned: a package for a later time is submitted while another is published.
    """

    id: str
    limited: bool = False
    hidden: bool = False
    staging: bool = False
    planned: bool = False


SITES_3_0 = (
    Site(id="intranet", name="Intranet", life=Life(), labels={"squad": "workplace"}),
    Site(id="alumni", name="Alumni", life=ended(End.CANCELED)),
    Site(id="press-room", name="Press room", life=ended(End.FAILED), labels={"squad": "press"}),
    Site(id="wiki", name="Wiki", life=ended(End.ODD)),
    Site(id="events-2019", name="Events 2019, never published", life=hanging(Phase.UNBORN)),
)
SITES_4_1 = (
    Site(id="corporate", name="Corporate site", life=Life(lag=0, ends=FINE), expect={"success_within": "1h"}),
    Site(
        id="careers",
        name="Careers",
        life=Life(lag=0.5, ends=FINE),
        planned=True,
        labels={"squad": "people"},
        expect={"start_within": "1h"},
    ),
    Site(
        id="shop",
        name="Shop pages",
        life=Life(9 * MINUTE),
        hidden=True,
        staging=True,
        labels={"squad": "shop"},
    ),
    Site(id="investors", name="Investor relations", life=ended(End.WITH_ERRORS)),
    Site(id="newsroom", name="Newsroom", life=ended(End.FAILED), labels={"squad": "press"}),
    Site(id="sandbox", name="Sandbox", life=ended(End.CANCELED)),
    Site(id="support", name="Support", life=hanging(Phase.QUEUED), expect={"start_within": "5m"}),
    Site(
        id="brand-portal",
        name="Brand portal",
        life=hanging(Phase.RUNNING),
        labels={"squad": "brand"},
        expect={"progress_within": "3m"},
    ),
    Site(id="labs", name="Labs", life=ended(End.ODD)),
    Site(id="campaigns", name="Campaigns", life=Life(), limited=True, labels={"squad": "brand"}),
)
# A new one every five minutes; the newest four are there, the oldest of them is being deleted.
_OCCASIONS = Life(5 * MINUTE, work=(MINUTE, 3 * MINUTE))
_OCCASIONS_THERE = 4


@dataclass(frozen=True, slots=True)
class Now:
    """A site at this moment; ``job``: of its cycles, ``None`` if it has only one."""

    site: Site
    moment: Moment
    state: str = "READY"
    job: str | None = None

    @property
    def id(self) -> str:
        """As in requests."""
        return self.site.id


def sites(world: World, version: str) -> Iterator[Now]:
    """The sites that there are now on the Studio of this version, in the order of their ids."""
    there = [
        Now(site, moment, job=job)
        for site in (SITES_3_0 if version == "3.0" else SITES_4_1)
        if (moment := world.moment(job := f"{version}/{site.id}", site.life))
    ]
    runs = list(latest_runs(world, f"{version}/occasions", _OCCASIONS, _OCCASIONS_THERE))
    for moment in runs:
        state = "READY"
        if moment.phase is Phase.QUEUED:
            state = "INITIALIZING"
        elif moment.run == runs[-1].run - _OCCASIONS_THERE + 1:
            state = "DELETING"
        site = Site(id=f"occasion-{moment.run}", name=f"Occasion {moment.run}", life=_OCCASIONS)
        there.append(Now(site, moment, state))
    yield from sorted(there, key=lambda site: site.id)


@dataclass(frozen=True, slots=True)
class Crafter30:
    """A Studio 3.0: v1 only."""

    world: World
    sessions: Sessions

    def routes(self) -> list[BaseRoute]:
        """Its paths, below the system's prefix."""
        return [
            Route(V1, self.sessions.required(self.status)),
            Route(SITES_V1, self.sessions.required(self.sites)),
            Route(LOGIN, self.sessions.login, methods=["POST"]),
            Route("/{rest:path}", self.nothing),
        ]

    async def status(self, request: Request) -> Response:
        """v1: ``status`` and ``message``."""
        site_id = request.query_params.get("site_id")
        if not site_id:
            raise refusal(400, {"message": "Invalid parameter: site_id"})
        for site in sites(self.world, "3.0"):
            if site.id == site_id:
                word, text = publishing.message(site.moment)
                return JSONResponse({"status": word, "message": text})
        raise refusal(404, {"message": "Site not found"})

    async def sites(self, request: Request) -> Response:
        """v1: a page of the sites of a user, with status and message in one text, or none."""
        username = request.query_params.get("username")
        start, size = number(request, "start", 0), number(request, "number", 25)
        if start is None or size is None or not username:
            raise refusal(400, {"message": f"Invalid parameter(s): {[] if username else ['username']}"})
        if username != USERNAME:
            raise refusal(404, {"message": "User not found"})
        there = [site for site in sites(self.world, "3.0") if site.state == "READY"]
        rows = [_row_3_0(index, site) for index, site in enumerate(there)]
        return JSONResponse({"sites": rows[start : start + size], "total": len(rows)})

    async def nothing(self, request: Request) -> Response:
        """The servlet container's page."""
        del request
        return gateway(404, "Not Found")


@dataclass(frozen=True, slots=True)
class Crafter41:
    """A Studio 4.1: v2, and v1 moved."""

    world: World

    def routes(self) -> list[BaseRoute]:
        """Its paths, below the system's prefix."""
        return [
            Route(V1, self.moved),
            Route(V2, self.status),
            Route(PACKAGES, self.packages),
            Route(SITES_V1, self.sites_v1),
            Route(SITES_V2, self.sites),
            Route("/{rest:path}", self.nothing),
        ]

    async def moved(self, request: Request) -> Response:
        """v1 on this server: the address of v2 without the query, whose parameter has a new name."""
        _bearer(request)
        where = f"{reached_at(request, self.world.base_url)}/crafter/studio{V2}"
        return JSONResponse({"message": "API deprecated."}, 301, {"Location": where})

    async def status(self, request: Request) -> Response:
        """v2: ``publishingStatus`` with counts."""
        return JSONResponse({"response": _response(0, "OK"), "publishingStatus": _v2(self._site(request))})

    async def packages(self, request: Request) -> Response:
        """v2: a page of the packages in some states, those that were published last first."""
        site = self._site(request)
        if site.site.hidden:
            raise _unauthorized()
        offset, limit = number(request, "offset", 0), number(request, "limit", 10)
        if offset is None or limit is None:
            raise _invalid("offset, limit")
        states = [each for value in request.query_params.getlist("states") for each in value.split(",")]
        moments = publishing.cycles(self.world, site.job, site.site.life) if site.job else [site.moment]
        rows = [
            {
                "id": package,
                "siteId": site.id,
                "environment": "live",
                "state": state,
                "schedule": to_second(moment.queued_at),
                "approver": "k.lindqvist",
                "comment": f"Submission {moment.run}",
            }
            for package, state, moment in publishing.packages(moments)
            if not states or state in states
        ]
        page = rows[offset : offset + limit]
        # The limit is that of the response and not that of the request.
        body = {"total": len(rows), "offset": offset, "limit": len(page), "packages": page}
        return JSONResponse({"response": _response(0, "OK"), **body})

    async def sites(self, request: Request) -> Response:
        """v2: a page of the user's sites."""
        _bearer(request)
        offset, limit = number(request, "offset", 0), number(request, "limit", 10)
        if offset is None or limit is None:
            raise _invalid("offset, limit")
        rows = [
            {
                "siteId": site.id,
                "uuid": guid("site", site.id),
                "name": site.site.name,
                "desc": None,
                "state": site.state,
            }
            for site in sites(self.world, "4.1")
        ]
        page = {"total": len(rows), "offset": offset, "limit": limit, "sites": rows[offset : offset + limit]}
        return JSONResponse({"response": _response(0, "OK"), **page})

    async def sites_v1(self, request: Request) -> Response:
        """v1: still available, with status and message in two fields."""
        _bearer(request)
        start, size = number(request, "start", 0), number(request, "number", 25)
        if start is None or size is None:
            raise refusal(400, {"message": "Invalid parameter(s): []"})
        rows = [_row_4_1(index, site) for index, site in enumerate(sites(self.world, "4.1"))]
        return JSONResponse({"sites": rows[start : start + size], "total": len(rows)})

    async def nothing(self, request: Request) -> Response:
        """The servlet container's page."""
        del request
        return gateway(404, "Not Found")

    def _site(self, request: Request) -> Now:
        """The site of a request."""
        site_id = request.query_params.get("siteId")
        for site in sites(self.world, "4.1"):
            if site.id == site_id:
                self._limit(site)
                _bearer(request)
                return site
        _bearer(request)
        if not site_id:
            raise _invalid("siteId")
        raise refusal(404, {"response": _response(5000, "Site not found", "Check that the site exists")})

    def _limit(self, site: Now) -> None:
        """The gateway's 429, an HTML page, in all but 5 of 25 minutes."""
        window, left = self.world.window(site.id, 20 * MINUTE, 5 * MINUTE)
        if site.site.limited and window == 0:
            wait = max(1, min(30, round(left)))
            raise Refused(gateway(429, "Too Many Requests", {"Retry-After": str(wait)}))


def _bearer(request: Request) -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token == TOKEN_WITHOUT_RIGHTS:
        raise _unauthorized()
    if scheme.lower() != "bearer" or token != TOKEN:
        raise refusal(401, {"response": _response(2000, "Unauthenticated", "Please login first")})


def _unauthorized() -> Refused:
    return refusal(403, {"response": _response(2001, "Unauthorized", "Contact your administrator")})


def _v2(site: Now) -> dict[str, Any]:
    return publishing.status(site.moment, staging=site.site.staging, planned=site.site.planned)


def _row_3_0(index: int, site: Now) -> dict[str, Any]:
    word, text = publishing.message(site.moment)
    text = f"{word}|{text}" if word else text
    commit = guid("commit", site.moment.key).replace("-", "")
    return {
        "id": index + 2,
        "siteId": site.id,
        "name": site.site.name,
        "description": None,
        "status": None,
        "liveUrl": None,
        "lastCommitId": commit,
        "publishingEnabled": int(word != "stopped"),
        "publishingStatusMessage": None if site.moment.phase is Phase.UNBORN else text,
        "lastVerifiedGitlogCommitId": commit,
        "sandboxBranch": "master",
    }


def _row_4_1(index: int, site: Now) -> dict[str, Any]:
    shown = _v2(site)
    fields = {
        "publishingEnabled": int(shown["enabled"]),
        "publishingStatus": shown["status"],
        "publishingStatusMessage": None,
        "state": site.state,
    }
    return {**_row_3_0(index, site), "siteUuid": guid("site", site.id), **fields}


def _invalid(names: str) -> Refused:
    error = _response(1001, f"Invalid parameter(s): {names}", "Check the parameters")
    return refusal(400, {"response": error})


def _response(code: int, message: str, action: str = "") -> dict[str, Any]:
    return {"code": code, "message": message, "remedialAction": action, "documentationUrl": ""}


def routes(world: World) -> list[BaseRoute]:
    """The paths of both Studios."""
    return [
        Mount("/crafter-v1/studio", routes=Crafter30(world, Sessions(world, USERNAME, PASSWORD)).routes()),
        Mount("/crafter/studio", routes=Crafter41(world).routes()),
    ]


def systems(base_url: str) -> dict[str, Any]:
    """Its systems in a configuration."""
    return {
        "site-classic": {
            "provider": "crafter",
            "base_url": f"{base_url}/crafter-v1/studio",
            "api": "v1",
            "labels": {"squad": "web"},
            "auth": {"type": "crafter_session", "username": USERNAME, "password": PASSWORD},
            "discover": {"sites": True, "username": USERNAME},
            "jobs": [site.entry(site_id=site.id) for site in SITES_3_0],
        },
        "site": {
            "provider": "crafter",
            "base_url": f"{base_url}/crafter/studio",
            "api": "auto",
            "labels": {"squad": "web"},
            "auth": {"type": "bearer", "token": TOKEN},
            "discover": {"sites": True, "interval": "15s"},
            "jobs": [site.entry(site_id=site.id) for site in SITES_4_1],
        },
    }
