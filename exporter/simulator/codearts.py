"""Huawei Cloud CodeArts Build, simulated: numbered runs of build tasks.

Paths and bodies are those of ShowBuildDetails (build-info), ShowRunningStatus, ShowBuildInfoRecord
and ListProjectJobs, whose fields are the SDK's. ``result`` of build-info is an array for some tasks
and an object for others, as the vendor's pages differ. Guesses: ``UNSTABLE``, ``yellow``,
``last_build_status`` of running-status while a build runs (``Running``) and of a task that never ran
(``none``, no number), milliseconds in the record, what is listed of a task that waits.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from exporter.simulator.huawei import REGION, USER, Iam, gateway_refusal, iam
from exporter.simulator.listings import latest_runs
from exporter.simulator.lives import FINE, MINUTE, End, Life, Moment, Part, Phase, World, ended, hanging
from exporter.simulator.responses import Refused, guid, hex_id, number, refusal

# The result of a build, and its word in a listing.
_WORDS = {
    End.SUCCEEDED: ("SUCCESS", "blue"),
    End.WITH_ERRORS: ("UNSTABLE", "yellow"),
    End.FAILED: ("FAILURE", "red"),
    End.TIMED_OUT: ("timeout", "timeout"),
    End.CANCELED: ("ABORTED", "aborted"),
    End.ODD: ("SUPERSEDED", "superseded"),
}
NOTE = ""
PROJECT = hex_id("codearts", "project")
MAX_PAGE_SIZE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Part):
    """One build task; ``array``: its build-info has the result in an array."""

    build_no: str | int = "latest"
    array: bool = False

    @property
    def job_id(self) -> str:
        """32 digits and letters."""
        return hex_id("codearts", self.name)

    def build(self, world: World, number: int | None = None) -> Moment | None:
        """The build with this number, or the newest; ``None`` if there is none."""
        moment = world.moment(self.job_id, self.life, number)
        return None if moment is None or moment.phase is Phase.UNBORN else moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview(Task):
    """A task made for one pull request, built once and deleted a while later."""

    request: int

    def build(self, world: World, number: int | None = None) -> Moment | None:
        """Its only build: the one with the number of the pull request, of a life that all previews share."""
        moment = world.moment("codearts/previews", self.life, self.request)
        return replace(moment, run=1) if moment is not None and number in (None, 1) else None


TASKS = (
    Task(
        name="Web shop",
        life=Life(16 * MINUTE, lag=0, ends=FINE, work=(9 * MINUTE, 10 * MINUTE)),
        array=True,
        labels={"squad": "shop"},
        expect={"success_within": "2h", "run_within": "30m"},
    ),
    Task(
        name="Checkout service",
        life=Life(16 * MINUTE, lag=0.5, ends=FINE, work=(9 * MINUTE, 10 * MINUTE)),
        labels={"squad": "shop"},
    ),
    Task(name="Mobile app", life=Life(12 * MINUTE), array=True, labels={"squad": "mobile"}),
    Task(name="Release 12 of the web shop", life=ended(End.SUCCEEDED), build_no=12, array=True),
    Task(name="Load tests", life=ended(End.TIMED_OUT), labels={"squad": "quality"}),
    Task(name="Nightly integration", life=ended(End.FAILED), array=True, labels={"squad": "quality"}),
    Task(name="Browser tests", life=ended(End.WITH_ERRORS), labels={"squad": "quality"}),
    Task(name="Design system", life=ended(End.CANCELED), array=True),
    Task(name="Firmware", life=hanging(Phase.QUEUED), expect={"start_within": "5m"}),
    Task(name="Licence scan", life=ended(End.ODD)),
    Task(name="New search, not built yet", life=hanging(Phase.UNBORN), array=True),
)
# Every four minutes a pull request; the five newest still have their task.
_PULL_REQUESTS = Life(4 * MINUTE, work=(MINUTE, 2 * MINUTE), ends=((End.SUCCEEDED, 3), (End.FAILED, 1)))
_OPEN = 5


def tasks(world: World) -> Iterator[Task]:
    """The tasks that there are now."""
    yield from TASKS
    for moment in latest_runs(world, "codearts/previews", _PULL_REQUESTS, _OPEN):
        name = f"Preview of pull request {moment.run}"
        yield Preview(name=name, life=_PULL_REQUESTS, request=moment.run)


@dataclass(frozen=True, slots=True)
class BuildService:
    """The build service of one region."""

    world: World
    iam: Iam

    def routes(self) -> list[BaseRoute]:
        """Its paths, below the system's prefix."""
        return [
            Route("/v1/job/{project_id}/list", self.project),
            Route("/v1/job/{job_id}/running-status", self.running_status),
            Route("/v1/job/{job_id}/{build_no}/build-info", self.build_info),
            Route("/v1/record/{job_id}/{build_no}/build-info-record", self.record),
            Route("/{rest:path}", self.nothing),
        ]

    async def project(self, request: Request) -> Response:
        """A page of the tasks of the one project, each with its newest build."""
        await self.iam.admit(request)
        page = number(request, "page_index", 0)
        size = number(request, "page_size", 10, range(1, MAX_PAGE_SIZE + 1))
        if page is None or size is None:
            raise _invalid()
        if request.path_params["project_id"] != PROJECT:
            raise refusal(404, {"error_code": "CB.00060203", "error_msg": "The project does not exist"})
        listed = sorted((self._row(task) for task in tasks(self.world)), key=lambda row: str(row["job_name"]))
        return JSONResponse({"jobs": listed[page * size : (page + 1) * size], "total": len(listed)})

    def _row(self, task: Task) -> dict[str, Any]:
        moment = task.build(self.world)
        word, phase = "none", None
        times: dict[str, int | None] = {"last_build_time": None, "build_time": None}
        if moment is not None:
            word = _WORDS[moment.end][1] if moment.phase is Phase.ENDED else "building"
            phase = _running_status(moment)
            begin, end = moment.started_at or moment.queued_at or moment.now, moment.ended_at or moment.now
            times = {"last_build_time": _milliseconds(begin), "build_time": _milliseconds(end - begin)}
        return {
            "id": task.job_id,
            "job_name": task.name,
            "job_creator": hex_id("user", "build-robot"),
            "user_name": "build-robot",
            "health_score": 80,
            "source_code": "codehub",
            "last_build_status": word,
            "is_finished": phase in (None, "Finished"),
            "disabled": False,
            "favorite": False,
            "last_build_user": "build-robot",
            "trigger_type": "manual",
            "build_project_id": guid("codearts", task.name),
            "last_job_running_status": phase,
            **times,
        }

    async def running_status(self, request: Request) -> Response:
        """The newest build number of a task and whether it is being built."""
        task = await self._task(request)
        moment = task.build(self.world)
        run, word = (None, "none") if moment is None else (str(moment.run), _running_status(moment))
        return _result(
            {
                "last_job_id": run and hex_id(task.job_id, run),
                "last_build_no": run,
                "last_build_status": word,
                "is_running": word == "Running",
            }
        )

    async def build_info(self, request: Request) -> Response:
        """The result of one build."""
        task, moment = await self._build(request)
        result = {
            "building": moment.phase in (Phase.RUNNING, Phase.ENDING),
            "build_result": _build_result(moment),
            "region": REGION,
        }
        return _result([result] if task.array else result)

    async def record(self, request: Request) -> Response:
        """The record of one build, with most fields; times in milliseconds."""
        _, moment = await self._build(request)
        begin = moment.started_at
        day = datetime.fromtimestamp(begin or moment.now, UTC)
        took = None if begin is None else _milliseconds((moment.ended_at or moment.now) - begin)
        return _result(
            {
                "number": moment.run,
                "state": _build_result(moment),
                "job_running_status": _running_status(moment, "Starting"),
                "build_time": took,
                "start_time": None if begin is None else _milliseconds(begin),
                "cost_time": took,
                "trigger_type": "manual",
                "commit_id": hex_id(moment.key, "commit"),
                "code_branch": "main",
                "executor": "build-robot",
                "daily_build_number": f"{day:%Y%m%d}.{moment.run % 90 + 1}",
            }
        )

    async def nothing(self, request: Request) -> Response:
        """The response of the gateway for an unknown path."""
        del request
        raise gateway_refusal(404, "APIGW.0101", "The API does not exist")

    async def _build(self, request: Request) -> tuple[Task, Moment]:
        task = await self._task(request)
        build_no = request.path_params["build_no"]
        if not re.fullmatch("[1-9][0-9]{0,8}", build_no, re.ASCII):
            raise _invalid()
        moment = task.build(self.world, int(build_no))
        if moment is None:
            raise refusal(404, {"error_code": "CB.00060200", "error_msg": "The build does not exist"})
        return task, moment

    async def _task(self, request: Request) -> Task:
        await self.iam.admit(request)
        job_id = request.path_params["job_id"]
        if not re.fullmatch("[0-9a-z]{32}", job_id, re.ASCII):
            raise refusal(400, {"error_code": "CB.00060201", "error_msg": "Invalid job id"})
        for task in tasks(self.world):
            if task.job_id == job_id:
                return task
        raise refusal(404, {"error_code": "CB.00060201", "error_msg": "The job does not exist"})


def _invalid() -> Refused:
    return refusal(400, {"error_code": "CB.00060200", "error_msg": "Invalid param"})


def _build_result(moment: Moment) -> str | None:
    return _WORDS[moment.end][0] if moment.phase is Phase.ENDED else None


def _running_status(moment: Moment, queued: str = "InQueue") -> str:
    return {Phase.QUEUED: queued, Phase.ENDED: "Finished"}.get(moment.phase, "Running")


def _result(result: object) -> Response:
    return JSONResponse({"result": result, "error": None, "status": "success"})


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def routes(world: World) -> list[BaseRoute]:
    """The paths of the build service and of the token endpoint."""
    auth = iam(world)
    return [
        Mount("/codearts", routes=BuildService(world, auth).routes()),
        Mount("/iam", routes=auth.routes()),
    ]


def systems(base_url: str) -> dict[str, Any]:
    """Its system in a configuration."""
    return {
        "builds": {
            "provider": "codearts",
            "base_url": f"{base_url}/codearts",
            "labels": {"squad": "platform"},
            "auth": {
                "type": "huawei_aksk",
                "access_key": USER.access_key,
                "secret_key": USER.secret_key,
            },
            "discover": {"project_id": PROJECT},
            "jobs": [task.entry(job_id=task.job_id, build_no=task.build_no) for task in TASKS],
        }
    }
