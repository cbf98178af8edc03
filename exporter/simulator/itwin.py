"""The Bentley iTwin reality services, played: six of them, in three dialects of progress.

Bodies are those of the services' own pages (jobs-progress and jobs-get). The version is chosen by
the Accept header; that a wrong one is answered 406 is a guess. Progress is told
while a job lives and for ten minutes after, then 404: the job itself goes on telling its end. An
ended job begins anew after its time, under the same id.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from exporter.simulator.answers import Refused, guid, precise, refusal, to_second, without_none
from exporter.simulator.lives import MINUTE, End, Moment, Part, Phase, World, busy, ended, hanging
from exporter.simulator.tokens import Client, Tokens, bearer

CLIENT_ID, CLIENT_SECRET, SCOPE = "demo-twin-reader", "demo-twin-secret", "itwin-platform"
_ACCEPT = re.compile(r"application/vnd\.bentley\.itwin-platform\.v(\d)\+json", re.IGNORECASE)
_TOLD_AFTER_END = 10 * MINUTE


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a family of services tells of progress.

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


def _rare(name: str) -> tuple[Scan, ...]:
    """The same two jobs in each service that the config does not name."""
    return (
        Scan(name="Sample survey", service=name, type="Sample", life=busy()),
        Scan(name="Sample archive", service=name, type="Sample", life=ended(End.SUCCEEDED)),
    )


SCANS = (
    Scan(
        service="contextcapture",
        type="Full",
        name="Harbour bridge mesh",
        life=busy(18 * MINUTE),
        labels={"site": "harbour"},
    ),
    Scan(
        service="contextcapture",
        type="Calibration",
        name="Old town calibration",
        life=ended(End.FAILED),
        labels={"site": "old-town"},
    ),
    Scan(
        service="contextcapture",
        type="Full",
        name="Stadium roof mesh",
        life=ended(End.SUCCEEDED),
        labels={"site": "stadium"},
    ),
    Scan(
        service="realitydataanalysis",
        type="objects2D",
        name="Crack detection, dam",
        life=busy(20 * MINUTE),
        labels={"site": "dam"},
    ),
    Scan(
        service="realitydataanalysis",
        type="segmentation3D",
        name="Rail corridor segmentation",
        life=ended(End.CANCELED),
        labels={"site": "rail"},
    ),
    Scan(
        service="realitydataanalysis",
        type="objects3D",
        name="Pylon inventory, draft",
        life=hanging(Phase.UNBORN),
        labels={"site": "grid"},
    ),
    Scan(
        service="reality-modeling",
        type="FillImageProperties",
        name="Quarry images",
        life=busy(15 * MINUTE),
        labels={"site": "quarry"},
    ),
    Scan(
        service="reality-modeling",
        type="Reconstruction",
        name="Airport terminal",
        life=hanging(Phase.RUNNING),
        labels={"site": "airport"},
        expect={"progress_within": "5m"},
    ),
    Scan(
        service="reality-modeling",
        type="Tiling",
        name="City tiles",
        life=hanging(Phase.QUEUED),
        labels={"site": "city"},
        expect={"start_within": "15m"},
    ),
    Scan(
        service="reality-modeling",
        type="Calibration",
        name="Tunnel calibration",
        life=hanging(Phase.ENDING),
        labels={"site": "tunnel"},
    ),
    Scan(
        service="reality-modeling",
        type="Production",
        name="Wind park",
        life=hanging(Phase.ENDING, End.FAILED),
        labels={"site": "wind"},
    ),
    Scan(
        service="reality-modeling",
        type="Production",
        name="Castle",
        life=ended(End.ODD),
        labels={"site": "castle"},
    ),
    *_rare("realityconversion"),
    *_rare("reality-analysis"),
    *_rare("reality-conversion"),
)


def issuer(world: World) -> Tokens:
    """The identity service of the platform."""
    return Tokens(
        world,
        "ims",
        {CLIENT_ID: Client(CLIENT_SECRET, SCOPE)},
        lifetime=3600,
        required={"scope": SCOPE},
        mistakes={
            "client": (400, "invalid_client"),
            "grant_type": (400, "unsupported_grant_type"),
            "scope": (400, "invalid_scope"),
        },
    )


@dataclass(frozen=True, slots=True)
class ITwin:
    """The platform's API."""

    world: World
    tokens: Tokens

    def routes(self) -> list[BaseRoute]:
        """Its paths, below the system's prefix."""
        return [
            Route("/{service}/jobs/{id}/progress", self.progress),
            Route("/{service}/jobs/{id}", self.job),
            Route("/{rest:path}", self.nothing),
        ]

    async def progress(self, request: Request) -> Response:
        """Percentage, state and, in two dialects, the step."""
        scan, dialect, moment = self._find(request, missing_progress=True)
        gone = (
            moment.ended_at is not None and moment.now - moment.ended_at > _TOLD_AFTER_END / self.world.speed
        )
        if gone and moment.end is not End.ODD:
            raise _error(404, dialect.missing, "Requested progress is not available.")
        told = {"percentage": _percentage(scan, moment), "state": _progress_word(dialect, moment)}
        if dialect.steps:
            told["step"] = "Prepare_Production" if moment.done < 0.3 else "Run_Production"
        return JSONResponse({dialect.wrapper: told})

    async def job(self, request: Request) -> Response:
        """The job itself."""
        scan, dialect, moment = self._find(request)
        return JSONResponse({"job": (_job_v1 if dialect.version == 1 else _job_v2)(scan, dialect, moment)})

    async def nothing(self, request: Request) -> Response:
        """404 for any other path."""
        self._check(request)
        raise _error(404, "ResourceNotFound", "Requested resource is not available.")

    def _check(self, request: Request) -> None:
        token = bearer(request)
        if token is None:
            raise _error(
                401,
                "HeaderNotFound",
                "Header Authorization was not found in the request. Access denied.",
            )
        if not self.tokens.claims(token):
            raise _error(401, "Unauthorized", "Access denied due to invalid access_token.")

    def _find(self, request: Request, *, missing_progress: bool = False) -> tuple[Scan, Dialect, Moment]:
        self._check(request)
        service, job_id = request.path_params["service"], request.path_params["id"]
        dialect = SERVICES.get(service)
        if dialect is None:
            raise _error(404, "ResourceNotFound", "Requested resource is not available.")
        asked = _ACCEPT.search(request.headers.get("Accept", ""))
        if asked and int(asked[1]) != dialect.version:
            raise _error(406, "NotAcceptable", "The requested version is not offered by this API.")
        for scan in SCANS:
            if (
                scan.service == service
                and scan.id == job_id
                and (moment := self.world.moment(job_id, scan.life))
            ):
                return scan, dialect, moment
        code = dialect.missing if missing_progress else "JobNotFound"
        raise _error(404, code, "Requested job is not available.")


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
    words: Mapping[End, str] = {
        End.FAILED: "Failed",
        End.TIMED_OUT: "Failed",
        End.CANCELED: "Cancelled",
        End.ODD: "Suspended",
    }
    match moment.phase:
        case Phase.UNBORN:
            word = dialect.unborn
        case Phase.QUEUED:
            word = dialect.queued
        case Phase.ENDING if dialect.version == 2:
            word = "TerminatingOnCancel" if moment.end is End.CANCELED else "TerminatingOnFailure"
        case Phase.ENDED:
            word = words.get(moment.end, "Success")
            plain = plain or dialect.active.islower()
        case _:
            word = dialect.active
    return word.lower() if plain and dialect.version == 1 else word


def _common(scan: Scan, dialect: Dialect, moment: Moment) -> dict[str, Any]:
    return {
        "id": scan.id,
        "name": scan.name,
        "type": scan.type,
        "iTwinId": guid("itwin", "project"),
        "state": _job_word(dialect, moment),
    }


def _job_v1(scan: Scan, dialect: Dialect, moment: Moment) -> dict[str, Any]:
    submitted = "submissionDateTime" if dialect is _A else "submittedDateTime"
    created = precise((moment.queued_at or moment.now) - 90)
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
        **_common(scan, dialect, moment),
        "email": "surveys@example.com",
        "createdDateTime": created,
        "lastModifiedDateTime": precise(moment.ended_at) or precise(moment.started_at) or created,
        "executionInformation": information,
        "inputs": [],
        "outputs": [],
    }


def _job_v2(scan: Scan, dialect: Dialect, moment: Moment) -> dict[str, Any]:
    ended = moment.ended_at is not None
    information = without_none(
        createdDateTime=to_second(moment.queued_at or moment.now),
        startedDateTime=to_second(moment.started_at),
        endedDateTime=to_second(moment.ended_at),
        processingUnits=round(4 * moment.draw("units").random(), 2) if ended else None,
    )
    return {
        **_common(scan, dialect, moment),
        "userId": guid("itwin", "user"),
        "executionInfo": information,
        "specifications": {},
    }


def systems(base_url: str) -> dict[str, Any]:
    """Its part of the config: a system for each of three services."""
    auth = {
        "type": "oauth2",
        "token_url": f"{base_url}/ims/connect/token",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "scope": SCOPE,
    }
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
            "auth": dict(auth),
            "jobs": [scan.entry(id=scan.id) for scan in SCANS if scan.service == service],
        }
        for name, service in names.items()
    }
