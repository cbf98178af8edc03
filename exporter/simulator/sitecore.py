"""The Sitecore Publishing API, simulated: jobs of one environment.

Bodies are those of "Retrieve a publishing job" with the additional fields of captures of real tenants.
Statistics are missing while a job is queued. ``canCancel`` is a right of the caller and stays true.
A job of the configuration starts again some time after its end, with the same id. The jobs of authors
come and go, each with an id of its own, and are only in listings. The pages of a listing follow each other
by a token, or by page number if the request has one. Guesses: the token's parameter ``continuationToken``,
the largest page, and the 400 for an invalid filter.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from operator import gt, le
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from exporter.simulator.listings import ListRow, latest_runs, newest_first, page_after
from exporter.simulator.lives import FINE, MINUTE, End, Life, Moment, Part, Phase, World, ended, hanging
from exporter.simulator.responses import Refused, guid, hex_id, number, precise
from exporter.simulator.tokens import TokenClient, Tokens, bearer, oauth2

NOTE = "Ended Sitecore jobs start again after a while with the same id."
CLIENT_ID, CLIENT_SECRET = "demo-publishing-reader", "demo-publishing-secret"
# A client of the organisation: its tokens lack the scope, so the API refuses them.
DEPLOY_CLIENT_ID, DEPLOY_CLIENT_SECRET = "demo-deploy", "demo-deploy-secret"
AUDIENCE = "https://api.sitecorecloud.io"
_SCOPES = frozenset({"xmcpub.jobs.a:r", "xmcpub.jobs.t:r", "xmcpub.jobs.t:rl"})
_ALL_SENT = 0.6  # of the work; the rest is only processing
PAGE, LARGEST_PAGE, NUMBERED = 20, 100, 1000
_AUTHORS_KEPT = 30
_TEXTS = ("source", "system.status", "system.createdBy.id", "system.createdBy.name")
_TIMES = ("system.queuedTime", "system.startTime", "system.finishTime")
_RANGE = re.compile("(>|=<)(.+)")
_WORDS = dict.fromkeys(End, "Completed")
_WORDS |= {End.FAILED: "Failed", End.TIMED_OUT: "Failed", End.CANCELED: "Canceled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish(Part):
    """One publishing job; ``bare``: its statistics lack the part that only XM Cloud has."""

    source: str = "Pages"
    bare: bool = False

    @property
    def id(self) -> str:
        """As the vendor makes them."""
        return f"job_{hex_id('sitecore', self.name)}"


JOBS = (
    Publish(name="Home page and navigation", life=Life(15 * MINUTE, lag=0, ends=FINE)),
    Publish(name="Product catalogue, all languages", life=Life(20 * MINUTE), source="Content Editor"),
    Publish(name="Summer campaign", life=ended(End.WITH_ERRORS), labels={"squad": "campaigns"}),
    Publish(name="Terms and conditions", life=ended(End.SUCCEEDED), labels={"squad": "legal"}),
    Publish(name="Store locator", life=ended(End.FAILED), source="CLI"),
    Publish(name="Recall notice, draft", life=ended(End.CANCELED), bare=True),
    Publish(name="Full republish", life=hanging(Phase.RUNNING), expect={"progress_within": "3m"}),
    Publish(name="Media library", life=hanging(Phase.ENDING), source="CLI"),
    Publish(name="Blog archive", life=hanging(Phase.QUEUED), expect={"start_within": "5m"}),
)


# Each of their runs is a job of its own, with a number in its name. They must end within a cycle.
AUTHORS = (
    Publish(name="Page", life=Life(3 * MINUTE, work=(40, 90), queue=(5, 30))),
    Publish(name="Component", life=Life(5 * MINUTE, work=(60, 180)), source="Content Editor"),
    Publish(name="Redirect map", life=Life(8 * MINUTE, work=(20, 60)), source="CLI", bare=True),
)


@dataclass(frozen=True, slots=True)
class PublishingApi:
    """The publishing API of one environment."""

    world: World
    tokens: Tokens

    def routes(self) -> list[BaseRoute]:
        """Its paths, below the system's prefix."""
        return [
            Route("/authoring/publishing/v1/jobs", self.jobs),
            Route("/authoring/publishing/v1/jobs/summary", self.summary),
            Route("/authoring/publishing/v1/jobs/{id}", self.job),
            Route("/{rest:path}", self.nothing),
        ]

    async def job(self, request: Request) -> Response:
        """One job."""
        self._check(request)
        for job, moment in self._all():
            if job.id == request.path_params["id"]:
                return JSONResponse(_body(job, moment))
        raise _problem(request, 404, "Not Found", "The job was not found.")

    async def jobs(self, request: Request) -> Response:
        """Jobs that the filters let through, the newest first."""
        self._check(request)
        query = request.query_params
        size = number(request, "pageSize", PAGE, range(1, LARGEST_PAGE + 1))
        if size is None:
            raise _bad(request, "pageSize")
        rows = self._rows(request)
        if "pageNumber" in query:
            page_number = number(request, "pageNumber", 1, range(1, NUMBERED // size + 1))
            if page_number is None:
                raise _bad(request, "pageNumber")
            data = [row.entry for row in rows[(page_number - 1) * size : page_number * size]]
            return JSONResponse(
                {"totalCount": len(rows), "pageNumber": page_number, "pageSize": size, "data": data}
            )
        try:
            page, token = page_after(rows, query.get("continuationToken"), size)
        except ValueError:
            raise _bad(request, "continuationToken") from None
        return JSONResponse({"next": token, "data": [row.entry for row in page]})

    async def summary(self, request: Request) -> Response:
        """How many jobs have which status."""
        self._check(request)
        words = ("queued", "running", "canceled", "failed", "completed", "canceling")
        listed = [row.entry["system"]["status"].lower() for row in self._rows(request)]
        return JSONResponse({"counts": {word: listed.count(word) for word in words}})

    async def nothing(self, request: Request) -> Response:
        """404 for any other path."""
        self._check(request)
        raise _problem(request, 404, "Not Found", "The resource was not found.")

    def _all(self) -> Iterator[tuple[Publish, Moment]]:
        """Every job that there is now."""
        for job in JOBS:
            if moment := self.world.moment(job.id, job.life):
                yield job, moment
        for author in AUTHORS:
            for moment in latest_runs(self.world, author.id, author.life, _AUTHORS_KEPT):
                yield replace(author, name=f"{author.name} {moment.run}"), moment

    def _rows(self, request: Request) -> list[ListRow]:
        bodies = ((moment.queued_at or moment.now, _body(job, moment)) for job, moment in self._all())
        return newest_first(ListRow(at, body["id"], body) for at, body in bodies if _passes(request, body))

    def _check(self, request: Request) -> None:
        claims = self.tokens.claims(bearer(request) or "")
        if claims is None:
            raise _problem(request, 401, "Unauthorized", "A valid token is required.")
        if not _SCOPES.intersection(str(claims["scope"]).split()):
            raise _problem(request, 403, "Forbidden", "The token lacks the scope to read jobs.")


def _passes(request: Request, body: dict[str, Any]) -> bool:
    """Whether a job fits all filters of a request: one of several texts, times in all ranges."""
    query = request.query_params
    texts = ((_field(body, name), query[name].split("|")) for name in _TEXTS if name in query)
    if not all(value in wanted for value, wanted in texts):
        return False
    return all(_within(request, name, _field(body, name)) for name in _TIMES if name in query)


def _field(body: Any, name: str) -> Any:
    for part in name.split("."):
        body = body[part]
    return body


def _within(request: Request, name: str, value: str | None) -> bool:
    for text in request.query_params.getlist(name):
        match = _RANGE.fullmatch(text)
        try:
            bound = datetime.fromisoformat(match[2] if match else "")
            moment = bound if value is None else datetime.fromisoformat(value)
            inside = (gt if match and match[1] == ">" else le)(moment, bound)
        except (ValueError, TypeError):
            raise _bad(request, name) from None
        if value is None or not inside:
            return False
    return True


def _bad(request: Request, name: str) -> Refused:
    errors = {name: ["Not valid."]}
    return _problem(request, 400, "Bad Request", "The request is not valid.", errors=errors)


def _problem(request: Request, status: int, title: str, detail: str, **more: Any) -> Refused:
    """RFC 7807; ``instance`` shows the inner path, as the vendor's does."""
    body = {
        "type": f"https://httpstatuses.io/{status}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.scope["path"].replace("/sitecore/authoring/", "/api/"),
        "traceId": f"00-{hex_id(request.scope['path'])}-00",
        **more,
    }
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return Refused(JSONResponse(body, status, headers, media_type="application/problem+json"))


def _statistics(job: Publish, moment: Moment) -> dict[str, Any]:
    total, succeeded, failed = moment.items
    additional = total // 5
    sent = int((total - additional) * min(1.0, moment.done / _ALL_SENT))
    statistics: dict[str, Any] = {
        "lastReportTime": precise(moment.ended_at or moment.now, "Z"),
        "itemsSent": sent,
        "itemsProcessed": succeeded + failed,
        "itemsFailed": failed,
    }
    if not job.bare:
        statistics["xmc"] = {
            "additionalItemsSent": int(additional * min(1.0, moment.done / _ALL_SENT)),
            "itemsAcknowledged": succeeded,
            "itemsDeleted": succeeded // 50,
            "itemsSkipped": succeeded // 10,
            "itemsSendingComplete": moment.done >= _ALL_SENT,
        }
    return statistics


def _body(job: Publish, moment: Moment) -> dict[str, Any]:
    word = moment.word(_WORDS)
    robot = {"id": guid("sitecore", "robot"), "name": "publishing-robot", "type": "Application"}
    person = {"id": guid("sitecore", "person"), "name": "amara.okafor@example.com", "type": "User"}
    body: dict[str, Any] = {
        "id": job.id,
        "name": job.name,
        "source": job.source,
        "description": None,
        "options": {"xmc": {"locales": ["en", "da-DK"]}},
        "permissions": {"canViewDetails": True, "canCancel": True},
    }
    if word != "Queued":
        body["statistics"] = _statistics(job, moment)
    body["system"] = {
        "organizationId": "org_demo",
        "tenantId": guid("sitecore", "tenant"),
        "tenantJobId": None if word == "Queued" else guid(moment.key),
        "environmentId": "main",
        "branchId": "main",
        "status": word,
        "queuedTime": precise(moment.queued_at, "Z"),
        "startTime": precise(moment.started_at, "Z"),
        "finishTime": precise(moment.ended_at, "Z"),
        "createdBy": robot if job.source == "CLI" else person,
        "canceledBy": person if word in ("Canceling", "Canceled") else None,
    }
    return body


def routes(world: World) -> list[BaseRoute]:
    """The paths of the API and of its identity service."""
    # A token request names no scope: it follows from the client.
    clients = {
        CLIENT_ID: TokenClient(CLIENT_SECRET, "xmcpub.jobs.a:r"),
        DEPLOY_CLIENT_ID: TokenClient(DEPLOY_CLIENT_SECRET, "xmclouddeploy.projects:r"),
    }
    errors = {
        "client": (401, "access_denied"),
        "grant_type": (403, "unauthorized_client"),
        "audience": (403, "access_denied"),
    }
    required = {"audience": AUDIENCE}
    auth = Tokens(world, "sitecore-auth", clients, lifetime=86400, required=required, errors=errors)
    return [
        Mount("/sitecore", routes=PublishingApi(world, auth).routes()),
        Mount("/sitecore-auth", routes=auth.routes("/oauth/token")),
    ]


def systems(base_url: str) -> dict[str, Any]:
    """Its system in a configuration."""
    token_url = f"{base_url}/sitecore-auth/oauth/token"
    return {
        "xmc": {
            "provider": "sitecore",
            "base_url": f"{base_url}/sitecore",
            "labels": {"squad": "content"},
            "auth": oauth2(token_url, CLIENT_ID, CLIENT_SECRET, audience=AUDIENCE),
            "summary": True,
            "discover": {"newer_than": "10m"},
            "jobs": [job.entry(id=job.id) for job in JOBS],
        }
    }
