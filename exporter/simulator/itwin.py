"""The Bentley iTwin reality services, simulated: six services with three dialects of progress.

Bodies are those of the services' own pages (jobs-progress, jobs-get and jobs-get-all). The version is
chosen by the Accept header. Guesses: the 406 for a wrong version, and the code of a refused listing.
Progress is available during a run and for ten minutes after it, then it is a 404, and only the job itself
shows the end. A job of the configuration starts again some time after its end, with the same id. Flights
come and go, each with an id of its own, and are only in listings.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from exporter.simulator.listings import ListRow, latest_runs, newest_first, page_after
from exporter.simulator.lives import MINUTE, End, Life, Moment, Part, Phase, World, ended, hanging
from exporter.simulator.responses import Refused, guid, number, precise, refusal, to_second, without_none
from exporter.simulator.tokens import TokenClient, Tokens, bearer, oauth2

NOTE = "Ended iTwin jobs start again after a while with the same id."
CLIENT_ID, CLIENT_SECRET, SCOPE = "demo-twin-reader", "demo-twin-secret", "itwin-platform"
ITWIN = guid("itwin", "project")
PAGE, LARGEST_PAGE = 100, 1000
_ACCEPT = re.compile(r"application/vnd\.bentley\.itwin-platform\.v(\d)\+json", re.IGNORECASE)
_KEPT_AFTER_END = 10 * MINUTE
_CLAUSE = re.compile(r"(iTwinId|id|name|type|state|createdDateTime) (eq|ne|lt|le|gt|ge) ('[^']*'|\S+)")
_OPERATORS = {"eq": eq, "ne": ne, "lt": lt, "le": le, "gt": gt, "ge": ge}
_FLIGHTS_KEPT = 24
_WORDS = {End.FAILED: "Failed", End.TIMED_OUT: "Failed", End.CANCELED: "Cancelled", End.ODD: "Suspended"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """The progress of a family of services.

    Args:
        version: of the API.
        wrapper: the name around the progress.
        missing: the error code of a 404 on progress.
        active, queued, unborn: words while a job has not ended.
        over: the word for an ended job; empty: progress has the job's own word.
        steps: whether it names steps.
    """

    version: int
    wrapper: str
    missing: str
    active: str
    queued: str
    unborn: str
    over: str = ""
    steps: bool = True


_A = Dialect(1, "jobProgress", "JobNotFound", "Active", "Active", "Unsubmitted", over="Over")
_B = Dialect(1, "progress", "ProgressNotFound", "active", "active", "unsubmitted")
_C = Dialect(2, "progress", "JobProgressNotFound", "Active", "Queued", "Queued", steps=False)
SERVICES = {
    "contextcapture": _A,
    "realitydataanalysis": _B,
    "realityconversion": _B,
    "reality-modeling": _C,
    "reality-analysis": _C,
    "reality-conversion": _C,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan(Part):
    """One reality job."""

    service: str
    type: str

    @property
    def id(self) -> str:
        """A guid."""
        return guid("itwin", self.service, self.name)


def _scan(service: str, kind: str, name: str, life: Life, site: str, **expect: str) -> Scan:
    return Scan(service=service, type=kind, name=name, life=life, labels={"site": site}, expect=expect)


def _flights(every: float) -> Life:
    return Life(every, work=(MINUTE, every - 100))


SCANS = (
    _scan("contextcapture", "Full", "Harbour bridge mesh", Life(18 * MINUTE), "harbour"),
    _scan("contextcapture", "Calibration", "Old town calibration", ended(End.FAILED), "old-town"),
    _scan("contextcapture", "Full", "Stadium roof mesh", ended(End.SUCCEEDED), "stadium"),
    _scan("realitydataanalysis", "objects2D", "Crack detection, dam", Life(20 * MINUTE), "dam"),
    _scan("realitydataanalysis", "segmentation3D", "Rail corridor segmentation", ended(End.CANCELED), "rail"),
    _scan("realitydataanalysis", "objects3D", "Pylon inventory, draft", hanging(Phase.UNBORN), "grid"),
    _scan("reality-modeling", "FillImageProperties", "Quarry images", Life(15 * MINUTE), "quarry"),
    _scan(
        "reality-modeling",
        "Reconstruction",
        "Airport terminal",
        hanging(Phase.RUNNING),
        "airport",
        progress_within="5m",
    ),
    _scan("reality-modeling", "Tiling", "City tiles", hanging(Phase.QUEUED), "city", start_within="15m"),
    _scan("reality-modeling", "Calibration", "Tunnel calibration", hanging(Phase.ENDING), "tunnel"),
    _scan("reality-modeling", "Production", "Wind park", hanging(Phase.ENDING, End.FAILED), "wind"),
    _scan("reality-modeling", "Production", "Castle", ended(End.ODD), "castle"),
    # The configuration has no system of these services.
    *(
        Scan(name=name, service=service, type="Sample", life=life)
        for service in ("realityconversion", "reality-analysis", "reality-conversion")
        for name, life in (("Sample survey", Life()), ("Sample archive", ended(End.SUCCEEDED)))
    ),
)


# Each of its runs is a job of its own, with a number in its name. They must end within a cycle.
FLIGHTS = (
    Scan(service="contextcapture", type="Full", name="Drone flight", life=_flights(7 * MINUTE)),
    Scan(service="realitydataanalysis", type="objects2D", name="Road defects", life=_flights(5 * MINUTE)),
    Scan(service="reality-modeling", type="Reconstruction", name="Site progress", life=_flights(6 * MINUTE)),
    Scan(service="reality-modeling", type="FillImageProperties", name="Images", life=_flights(4 * MINUTE)),
)


def issuer(world: World) -> Tokens:
    """The identity service of the platform."""
    words = {"client": "invalid_client", "grant_type": "unsupported_grant_type", "scope": "invalid_scope"}
    errors = {what: (400, word) for what, word in words.items()}
    clients = {CLIENT_ID: TokenClient(CLIENT_SECRET, SCOPE)}
    return Tokens(world, "ims", clients, lifetime=3600, required={"scope": SCOPE}, errors=errors)


@dataclass(frozen=True, slots=True)
class RealityServices:
    """The platform's API."""

    world: World
    tokens: Tokens

    def routes(self) -> list[BaseRoute]:
        """Its paths, below the system's prefix."""
        return [
            Route("/{service}/jobs/{id}/progress", self.progress),
            Route("/{service}/jobs/{id}", self.job),
            Route("/{service}/jobs", self.jobs),
            Route("/{rest:path}", self.nothing),
        ]

    async def progress(self, request: Request) -> Response:
        """Percentage, state and, in two dialects, the step."""
        scan, dialect, moment = self._find(request, missing_progress=True)
        gone = (
            moment.ended_at is not None and moment.now - moment.ended_at > _KEPT_AFTER_END / self.world.speed
        )
        if gone and moment.end is not End.ODD:
            raise _error(404, dialect.missing, "Requested progress is not available.")
        progress = {"percentage": _percentage(scan, moment), "state": _progress_word(dialect, moment)}
        if dialect.steps:
            progress["step"] = "Prepare_Production" if moment.done < 0.3 else "Run_Production"
        return JSONResponse({dialect.wrapper: progress})

    async def job(self, request: Request) -> Response:
        """The job itself."""
        scan, dialect, moment = self._find(request)
        return JSONResponse({"job": _job(scan, dialect, moment)})

    async def jobs(self, request: Request) -> Response:
        """Jobs that a filter lets through, the newest first, page by page with links."""
        dialect, query = self._service(request), request.query_params
        wanted = _clauses(query.get("$filter", ""))
        size = number(request, "$top", PAGE, range(1, LARGEST_PAGE + 1))
        if size is None:
            raise _unprocessable("$top")
        rows = newest_first(
            ListRow(_created(moment), scan.id, _job(scan, dialect, moment))
            for scan, moment in self._all(request.path_params["service"])
        )
        passed = [row for row in rows if all(_passes(clause, row.entry) for clause in wanted)]
        try:
            page, token = page_after(passed, query.get("continuationToken"), size)
        except ValueError:
            raise _unprocessable("continuationToken") from None
        body: dict[str, Any] = {"jobs": [row.entry for row in page]}
        if token is not None:
            link = request.url.include_query_params(continuationToken=token)
            body["_links"] = {"next": {"href": str(link)}}
        return JSONResponse(body)

    async def nothing(self, request: Request) -> Response:
        """404 for any other path."""
        self._check(request)
        raise _error(404, "ResourceNotFound", "Requested resource is not available.")

    def _check(self, request: Request) -> None:
        token = bearer(request)
        if token is None:
            message = "Header Authorization was not found in the request. Access denied."
            raise _error(401, "HeaderNotFound", message)
        if not self.tokens.claims(token):
            raise _error(401, "Unauthorized", "Access denied due to invalid access_token.")

    def _find(self, request: Request, *, missing_progress: bool = False) -> tuple[Scan, Dialect, Moment]:
        dialect = self._service(request)
        for scan, moment in self._all(request.path_params["service"]):
            if scan.id == request.path_params["id"]:
                return scan, dialect, moment
        code = dialect.missing if missing_progress else "JobNotFound"
        raise _error(404, code, "Requested job is not available.")

    def _service(self, request: Request) -> Dialect:
        self._check(request)
        dialect = SERVICES.get(request.path_params["service"])
        if dialect is None:
            raise _error(404, "ResourceNotFound", "Requested resource is not available.")
        accepted = _ACCEPT.search(request.headers.get("Accept", ""))
        if accepted and int(accepted[1]) != dialect.version:
            raise _error(406, "NotAcceptable", "The requested version is not offered by this API.")
        return dialect

    def _all(self, service: str) -> Iterator[tuple[Scan, Moment]]:
        """Every job of a service that there is now."""
        for scan in SCANS:
            if scan.service == service and (moment := self.world.moment(scan.id, scan.life)):
                yield scan, moment
        for flight in FLIGHTS:
            if flight.service == service:
                for moment in latest_runs(self.world, flight.id, flight.life, _FLIGHTS_KEPT):
                    yield replace(flight, name=f"{flight.name} {moment.run}"), moment


def _clauses(text: str) -> list[tuple[str, str, str]]:
    """A filter as the documentation's examples have it, its parts joined by ``and``."""
    matches = [_CLAUSE.fullmatch(part.strip()) for part in text.split(" and ")]
    if not all(matches):
        raise _unprocessable("$filter")
    return [(match[1], match[2], match[3].strip("'")) for match in matches if match]


def _passes(clause: tuple[str, str, str], job: Mapping[str, Any]) -> bool:
    name, operator, wanted = clause
    compare = _OPERATORS[operator]
    if name != "createdDateTime":
        return bool(compare(str(job[name]).lower(), wanted.lower()))
    created = job.get(name) or job["executionInfo"][name]
    try:
        return bool(compare(datetime.fromisoformat(created), datetime.fromisoformat(wanted)))
    except (ValueError, TypeError):
        raise _unprocessable("$filter") from None


def _created(moment: Moment) -> float:
    return (moment.queued_at or moment.now) - 90


def _unprocessable(target: str) -> Refused:
    error = {"code": "InvalidRequest", "message": "Request is invalid.", "target": target}
    return refusal(422, {"error": {**error, "details": [{**error, "code": "InvalidParameter"}]}})


def _error(status: int, code: str, message: str) -> Refused:
    return refusal(status, {"error": {"code": code, "message": message}})


def _percentage(scan: Scan, moment: Moment) -> float:
    """A double that some services write as a whole number when it is one."""
    share = 100 * moment.done
    return int(share) if len(scan.name) % 2 else float(int(share))


def _progress_word(dialect: Dialect, moment: Moment) -> str:
    if moment.phase is Phase.ENDED and moment.end is not End.ODD and dialect.over:
        return dialect.over
    if moment.phase is Phase.UNBORN:
        return dialect.unborn
    return _job_word(dialect, moment, plain=False)


def _job_word(dialect: Dialect, moment: Moment, *, plain: bool = True) -> str:
    """The state of the job; version 1 writes it in lower case there."""
    match moment.phase:
        case Phase.UNBORN:
            word = dialect.unborn
        case Phase.QUEUED:
            word = dialect.queued
        case Phase.ENDING if dialect.version == 2:
            word = "TerminatingOnCancel" if moment.end is End.CANCELED else "TerminatingOnFailure"
        case Phase.ENDED:
            word = _WORDS.get(moment.end, "Success")
            plain = plain or dialect.active.islower()
        case _:
            word = dialect.active
    return word.lower() if plain and dialect.version == 1 else word


def _job(scan: Scan, dialect: Dialect, moment: Moment) -> dict[str, Any]:
    return {
        "id": scan.id,
        "name": scan.name,
        "type": scan.type,
        "iTwinId": ITWIN,
        "state": _job_word(dialect, moment),
        **(_rest_v1(dialect, moment) if dialect.version == 1 else _rest_v2(moment)),
    }


def _rest_v1(dialect: Dialect, moment: Moment) -> dict[str, Any]:
    submitted = "submissionDateTime" if dialect is _A else "submittedDateTime"
    created = precise(_created(moment))
    information = without_none(
        **{submitted: precise(moment.queued_at)},
        startedDateTime=precise(moment.started_at),
        endedDateTime=precise(moment.ended_at),
        estimatedUnits=round(4 * moment.draw("units").random(), 2),
    )
    if moment.phase is Phase.ENDED:
        failed = moment.end is End.FAILED
        error = {"code": "InputNotReadable", "title": "Input", "message": "An image could not be read."}
        information |= {"exitCode": int(failed), "errors": [error] if failed else [], "warnings": []}
    return {
        "email": "surveys@example.com",
        "createdDateTime": created,
        "lastModifiedDateTime": precise(moment.ended_at) or precise(moment.started_at) or created,
        "executionInformation": information,
        "inputs": [],
        "outputs": [],
    }


def _rest_v2(moment: Moment) -> dict[str, Any]:
    units = round(4 * moment.draw("units").random(), 2)
    information = without_none(
        createdDateTime=to_second(moment.queued_at or moment.now),
        startedDateTime=to_second(moment.started_at),
        endedDateTime=to_second(moment.ended_at),
        processingUnits=None if moment.ended_at is None else units,
    )
    return {"userId": guid("itwin", "user"), "executionInfo": information, "specifications": {}}


def routes(world: World) -> list[BaseRoute]:
    """The paths of the platform and of its identity service."""
    ims = issuer(world)
    return [
        Mount("/itwin", routes=RealityServices(world, ims).routes()),
        Mount("/ims", routes=ims.routes("/connect/token")),
    ]


def systems(base_url: str) -> dict[str, Any]:
    """Its systems in a configuration: one for each of three services."""
    names = {
        "twins-capture": "contextcapture",
        "twins-analysis": "realitydataanalysis",
        "twins": "reality-modeling",
    }
    return {
        name: {
            "provider": "itwin",
            "base_url": f"{base_url}/itwin",
            "service": service,
            "labels": {"squad": "survey"},
            "auth": oauth2(f"{base_url}/ims/connect/token", CLIENT_ID, CLIENT_SECRET, scope=SCOPE),
            "discover": {"itwin_id": ITWIN, "newer_than": "15m"},
            "jobs": [scan.entry(id=scan.id) for scan in SCANS if scan.service == service],
        }
        for name, service in names.items()
    }
