"""Huawei Cloud CodeArts Build, played: numbered runs of build tasks.

Paths and bodies are those of ShowBuildDetails (build-info), ShowRunningStatus and
ShowBuildInfoRecord. ``result`` of build-info is an array for some tasks and an object for others,
as the vendor's pages differ. Guessed: ``UNSTABLE``, ``last_build_status`` while a build runs
(``Running``) and of a task that never ran (``none``, no number), milliseconds in the record.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from exporter.simulator.answers import hex_id, refusal
from exporter.simulator.huawei import REGION, USER, Iam, gateway_refusal
from exporter.simulator.lives import FINE, MINUTE, End, Moment, Part, Phase, World, busy, ended, hanging

_WORDS = {
    End.SUCCEEDED: "SUCCESS",
    End.WITH_ERRORS: "UNSTABLE",
    End.FAILED: "FAILURE",
    End.TIMED_OUT: "timeout",
    End.CANCELED: "ABORTED",
    End.ODD: "SUPERSEDED",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Part):
    """One build task; ``array``: its build-info has the result in an array."""

    build_no: str | int = "latest"
    array: bool = False

    @property
    def job_id(self) -> str:
        """32 digits and letters."""
        return hex_id("codearts", self.name)


TASKS = (
    Task(
        name="Web shop",
        life=busy(16 * MINUTE, lag=0, ends=FINE, work=(9 * MINUTE, 10 * MINUTE)),
        array=True,
        labels={"squad": "shop"},
        expect={"success_within": "2h", "run_within": "30m"},
    ),
    Task(
        name="Checkout service",
        life=busy(16 * MINUTE, lag=0.5, ends=FINE, work=(9 * MINUTE, 10 * MINUTE)),
        labels={"squad": "shop"},
    ),
    Task(name="Mobile app", life=busy(12 * MINUTE), array=True, labels={"squad": "mobile"}),
    Task(name="Release 12 of the web shop", life=ended(End.SUCCEEDED), build_no=12, array=True),
    Task(name="Load tests", life=ended(End.TIMED_OUT), labels={"squad": "quality"}),
    Task(name="Nightly integration", life=ended(End.FAILED), array=True, labels={"squad": "quality"}),
    Task(name="Browser tests", life=ended(End.WITH_ERRORS), labels={"squad": "quality"}),
    Task(name="Design system", life=ended(End.CANCELED), array=True),
    Task(name="Firmware", life=hanging(Phase.QUEUED), expect={"start_within": "5m"}),
    Task(name="Licence scan", life=ended(End.ODD)),
    Task(name="New search, not built yet", life=hanging(Phase.UNBORN), array=True),
)


@dataclass(frozen=True, slots=True)
class CodeArts:
    """The build service of one region."""

    world: World
    iam: Iam

    def routes(self) -> list[BaseRoute]:
        """Its paths, below the system's prefix."""
        return [
            Route("/v1/job/{job_id}/running-status", self.running_status),
            Route("/v1/job/{job_id}/{build_no}/build-info", self.build_info),
            Route("/v1/record/{job_id}/{build_no}/build-info-record", self.record),
            Route("/{rest:path}", self.nothing),
        ]

    async def running_status(self, request: Request) -> Response:
        """The newest build number of a task and whether it is being built."""
        task = await self._task(request)
        moment = self.world.moment(task.job_id, task.life)
        if moment is None or moment.phase is Phase.UNBORN:
            number, word = None, "none"
        else:
            number = str(moment.run)
            word = {Phase.QUEUED: "InQueue", Phase.ENDED: "Finished"}.get(moment.phase, "Running")
        return _answer(
            {
                "last_job_id": number and hex_id(task.job_id, number),
                "last_build_no": number,
                "last_build_status": word,
                "is_running": word == "Running",
            }
        )

    async def build_info(self, request: Request) -> Response:
        """The result of one build."""
        task, moment = await self._build(request)
        result = {
            "building": moment.phase in (Phase.RUNNING, Phase.ENDING),
            "build_result": _WORDS[moment.end] if moment.phase is Phase.ENDED else None,
            "region": REGION,
        }
        return _answer([result] if task.array else result)

    async def record(self, request: Request) -> Response:
        """The richest answer about one build; times in milliseconds."""
        _, moment = await self._build(request)
        running = {Phase.QUEUED: "Starting", Phase.ENDED: "Finished"}.get(moment.phase, "Running")
        begin = moment.started_at
        day = datetime.fromtimestamp(begin or moment.now, UTC)
        took = None if begin is None else _milliseconds((moment.ended_at or moment.now) - begin)
        return _answer(
            {
                "number": moment.run,
                "state": _WORDS[moment.end] if moment.phase is Phase.ENDED else None,
                "job_running_status": running,
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
        """What the gateway says of a path it does not know."""
        del request
        raise gateway_refusal(404, "APIGW.0101", "The API does not exist")

    async def _build(self, request: Request) -> tuple[Task, Moment]:
        task = await self._task(request)
        number = request.path_params["build_no"]
        if not re.fullmatch("[1-9][0-9]{0,8}", number, re.ASCII):
            raise refusal(400, {"error_code": "CB.00060200", "error_msg": "Invalid param"})
        moment = self.world.moment(task.job_id, task.life, int(number))
        if moment is None or moment.phase is Phase.UNBORN:
            raise refusal(404, {"error_code": "CB.00060200", "error_msg": "The build does not exist"})
        return task, moment

    async def _task(self, request: Request) -> Task:
        await self.iam.admit(request)
        job_id = request.path_params["job_id"]
        if not re.fullmatch("[0-9a-z]{32}", job_id, re.ASCII):
            raise refusal(400, {"error_code": "CB.00060201", "error_msg": "Invalid job id"})
        for task in TASKS:
            if task.job_id == job_id:
                return task
        raise refusal(404, {"error_code": "CB.00060201", "error_msg": "The job does not exist"})


def _answer(result: object) -> Response:
    return JSONResponse({"result": result, "error": None, "status": "success"})


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def systems(base_url: str) -> dict[str, Any]:
    """Its part of the config."""
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
            "jobs": [task.entry(job_id=task.job_id, build_no=task.build_no) for task in TASKS],
        }
    }
