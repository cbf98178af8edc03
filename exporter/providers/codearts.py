"""Huawei Cloud CodeArts Build: one numbered run of a build task, or always the newest.

Sources: the API pages "Obtaining the Status, Completion Percentage, and Estimated Time Remaining for
a Named Build" (build-info; it has neither percentage nor time), ShowRunningStatus (running-status),
ShowBuildInfoRecord (build-info-record) and ListProjectJobs (a project's tasks; its fields are those of
the vendor's SDK). A guess: a task's ``last_build_time`` is the start of its newest run.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from msgspec.structs import replace
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from exporter.config_types import Keys
from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import ACTIVE, RESULTS, Job, Kind, State, Status
from exporter.model.retention import too_old
from exporter.providers.base import (
    NOT_OF_PATH,
    DiscoverKeys,
    Found,
    Listing,
    Provider,
    StateOf,
    Steps,
    invalid,
    path,
)
from exporter.providers.fields import Fields
from exporter.providers.paging import PAGE_SIZE, NumberedPage, check_number, paged
from exporter.providers.rate_limit import RateLimit, Window
from exporter.providers.values import count, mapping, text

LATEST = "latest"
_ID = re.compile(r"[0-9A-Za-z]{32}", re.ASCII)
_ID_SCHEMA = WithJsonSchema({"type": "string", "pattern": f"^{_ID.pattern}$"})
_BUILD_NO = re.compile(r"[1-9]\d{0,9}", re.ASCII)
_BUILD_NO_TEXT = {"type": "string", "pattern": f"^({LATEST}|[1-9][0-9]{{0,9}})$"}
_BUILD_NO_SCHEMA = WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, _BUILD_NO_TEXT]})

# No word has two meanings in build-info, the record, running-status and task lists, so there is one table.
_STATES = {
    **dict.fromkeys(("inqueue", "starting"), State.QUEUED),
    **dict.fromkeys(("running", "building"), State.RUNNING),
    **dict.fromkeys(("success", "blue"), State.SUCCEEDED),
    **dict.fromkeys(("unstable", "yellow"), State.SUCCEEDED_WITH_ERRORS),
    **dict.fromkeys(("failure", "red", "error", "timeout"), State.FAILED),
    "aborted": State.CANCELED,
    **dict.fromkeys(("none", "not_built"), State.IDLE),
}

# The run has ended; how is elsewhere.
_FINISHED = "finished"
_NO_STATE = "no response has a word for the state of the run"

_ERROR_CODE = re.compile(r"[A-Z]{2,8}\.\d{4,10}", re.ASCII)
_GATEWAY_REASONS = {
    "APIGW.0101": Reason.NOT_FOUND,
    "APIGW.0301": Reason.UNAUTHORIZED,
    "APIGW.0302": Reason.FORBIDDEN,
    "APIGW.0308": Reason.RATE_LIMITED,
}

_YEAR_2010 = 1_262_304_000
_YEAR_2100 = 4_102_444_800
_MAX_DURATION_MS = 2**31


def _id(value: str, place: str) -> str:
    if not _ID.fullmatch(value):
        raise ValueError(f"must be 32 letters and digits, as {place}")
    return value


_job_id = partial(_id, place="at the end of the task page's address")
_project_id = partial(_id, place="in the addresses of the project's pages")


def _build_no(value: object) -> str:
    number = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if number != LATEST and not _BUILD_NO.fullmatch(number):
        raise ValueError("must be latest or a build number, 1 or greater")
    return number


class CodeArtsOptions(Keys):
    """CodeArts needs no keys of its own."""


class CodeArtsJob(Keys):
    """One build task: its newest run, or the run with that number."""

    job_id: Annotated[str, AfterValidator(_job_id), _ID_SCHEMA] = Field(
        description="id of the build task: the 32 letters and digits at the end of its address"
    )
    build_no: Annotated[str, BeforeValidator(_build_no), _BUILD_NO_SCHEMA] = Field(
        LATEST, description="number of the run, or latest for the newest one"
    )


class CodeArtsDiscover(DiscoverKeys):
    """The build tasks of one project, each as a slot."""

    project_id: Annotated[str, AfterValidator(_project_id), _ID_SCHEMA] = Field(
        description="id of the project whose build tasks are watched: 32 letters and digits"
    )


_GATEWAY_LIMIT = re.compile(
    r"remain: ?(\d{1,16}) ?, ?limit: ?\d{1,16} ?, ?time: ?(\d{1,9}) (second|minute|hour|day)"
)
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


class _GatewayLimit(RateLimit):
    """Reads ``X-Apig-RateLimit-api: remain:9,limit:10,time:10 second``, and `-user`, `-app`, `-ip`.

    https://support.huaweicloud.com/intl/en-us/usermanual-apig/apig_03_0047.html
    """

    def windows(self, headers: Mapping[str, str], now: float) -> Iterator[Window]:
        """The usual ones and those of the gateway, which gives the length of a window, not its end."""
        yield from super().windows(headers, now)
        for name in headers:
            if name.startswith("x-apig-ratelimit-") and (found := _GATEWAY_LIMIT.match(headers[name])):
                left, length, unit = found.groups()
                yield Window(int(left), float(length) * _UNITS[unit])


class CodeArts(Provider):
    """Reads ``running-status`` for the newest number, then the record of that run or ``build-info``."""

    name: ClassVar[str] = "codearts"
    Options: ClassVar[type[Keys]] = CodeArtsOptions
    JobKeys: ClassVar[type[Keys]] = CodeArtsJob
    Discover: ClassVar[type[DiscoverKeys] | None] = CodeArtsDiscover
    states: ClassVar[Mapping[str, State]] = _STATES
    # The gateway counts the requests of a client, not those for one task (error APIGW.0308).
    rate_limit_scope: ClassVar[Literal["job", "system"]] = "system"

    def rate_limit(self) -> RateLimit:
        """That of Huawei's API gateway."""
        return _GatewayLimit(self.rate_limit_scope)

    @classmethod
    def identify(cls, keys: Mapping[str, str]) -> tuple[str, Kind]:
        """``latest`` is a slot; a number is one run."""
        if keys["build_no"] == LATEST:
            return keys["job_id"], Kind.SLOT
        return f"{keys['job_id']}/{keys['build_no']}", Kind.RUN

    def read(self, job: Job, previous: Status | None) -> Steps:
        """One or two requests for a run by its number; two or three for the newest run."""
        job_id, build_no = job.keys["job_id"], job.keys["build_no"]
        if build_no == LATEST:
            return (yield from _read_latest(job_id, self.state_of))
        run = yield from _read_run(job_id, build_no, self.state_of)
        if not run.raw:
            raise Failure(Reason.INVALID_RESPONSE, _NO_STATE)
        return replace(_status(int(build_no), run), final=run.state in RESULTS)

    def discover(self, keys: CodeArtsDiscover, now: float) -> Listing:
        """One request for each 100 tasks, with their states.

        A task is a slot, which never ends for the exporter, so ``newer_than`` is applied here.
        """

        def request(number: int, _before: int) -> Request:
            pages = {"page_index": str(number), "page_size": str(PAGE_SIZE)}
            return Request(path("v1", "job", keys.project_id, "list", **pages))

        return paged(request, partial(_tasks, self.state_of, newer_than=keys.newer_than, now=now))


def _read_latest(job_id: str, state_of: StateOf) -> Steps:
    response = yield Request(path("v1", "job", job_id, "running-status"))
    newest = Fields(_result(response), "running-status.")
    word = newest.text("last_build_status")
    is_running = newest.flag("is_running") is True
    known = State.RUNNING if is_running else state_of(word)
    number = newest.count("last_build_no")
    if not number:
        if known not in ACTIVE and newest.notes:
            raise invalid(response, newest.notes[0])
        # There is no run to read yet: the task waits for its first one, or has just started it.
        return Status(state=known if known in ACTIVE else State.IDLE, raw=word, notes=newest.notes)
    try:
        run = yield from _read_run(job_id, str(number), state_of)
    except Failure as failure:
        if failure.reason is not Reason.NOT_FOUND or known not in ACTIVE:
            raise
        run = Status(known, raw=word)  # a queued run has a number and no record yet
    if known in ACTIVE and run.state not in ACTIVE:
        # A result may be that of the run before, in each response. If the run has ended since the first
        # response, the next read shows that.
        run = Status(known, raw="Running" if is_running else word, notes=run.notes)
    elif is_running:
        run = replace(run, state=State.RUNNING)
    elif not run.raw:
        run = replace(run, raw=word, state=known)
    if not run.raw:
        raise invalid(response, _NO_STATE)
    return replace(_status(number, run), run=str(number), notes=newest.notes + run.notes)


def _read_run(job_id: str, build_no: str, state_of: StateOf) -> Steps:
    """The run, see `_run`. The record has more than ``build-info`` at the same cost, so it is read first."""
    try:
        record = _result((yield Request(path("v1", "record", job_id, build_no, "build-info-record"))))
    except Failure as failure:
        if failure.reason in NOT_OF_PATH or failure.reason is Reason.UNAUTHORIZED:
            raise  # build-info would fail as well
        record = {}
    run = _from_record(Fields(record, "build-info-record."), state_of)
    if run.raw and run.raw.casefold() != _FINISHED:
        return run
    result = _result((yield Request(path("v1", "job", job_id, build_no, "build-info"))))
    info = Fields(result, "build-info.")
    # ``building`` takes precedence: ``build_result`` may still be that of the run before.
    word = "building" if info.flag("building") is True else info.text("build_result")
    run = replace(run, notes=run.notes + info.notes)
    return replace(run, raw=word, state=state_of(word)) if word else run


def _from_record(record: Fields, state_of: StateOf) -> Status:
    phase, result = record.text("job_running_status"), record.text("state")
    # During a run, ``state`` can be anything; after it, the phase does not say how the run ended.
    raw = (result or phase) if phase.casefold() == _FINISHED else phase or result
    # The other duration, ``cost_time``, is not used: its unit is not documented.
    return _run(raw, state_of(raw), record, "start_time")


def _run(raw: str, state: State, fields: Fields, start: str) -> Status:
    """A run in one response, for `_status`; ``raw`` is empty if the response does not have its state."""
    started, duration = _epoch(fields.count(start)), fields.count("build_time")
    ended = None
    if state not in ACTIVE and started is not None and duration and duration < _MAX_DURATION_MS:
        ended = round(started + duration / 1000, 3)
    return Status(state, raw=raw, started_at=started, ended_at=ended, notes=fields.notes)


def _tasks(state_of: StateOf, response: Response, *, newer_than: float | None, now: float) -> NumberedPage:
    """Reads a page of a project's tasks, with or without the envelope of the other calls."""
    body = response.object()
    if "jobs" not in body:
        body = _result(response)
    tasks, total = body.get("jobs", body.get("job_list")), count(body.get("total"))
    if tasks is None and total == 0:
        tasks = []
    if not isinstance(tasks, list):
        raise invalid(response, "the response has no list of tasks")
    check_number(tasks, PAGE_SIZE)
    found: dict[str, Found | None] = {}
    skipped = 0
    for task in map(mapping, tasks):
        job_id = task.get("id")
        if not isinstance(job_id, str) or not _ID.fullmatch(job_id):
            skipped += 1
            continue
        status = _listed(Fields(task), state_of)
        keys = {"job_id": job_id, "build_no": LATEST}
        each = Found(keys, status, complete=status is not None, name=text(task.get("job_name")))
        found[job_id] = None if _ended_before(status, newer_than, now) else each
    return NumberedPage(len(tasks), found, total, skipped)


def _listed(task: Fields, state_of: StateOf) -> Status | None:
    """The status of a task in its project's list; ``None`` if the list does not have it."""
    word, phase = task.text("last_build_status"), task.text("last_job_running_status")
    finished, is_active = task.flag("is_finished"), state_of(phase) in ACTIVE
    if state_of(word) in RESULTS and finished is not True and is_active is not (finished is False):
        return None  # the result may be that of the run before: the task itself says which run has ended
    if is_active and not finished:
        word = phase
    if word.casefold() in ("", _FINISHED):
        return None
    number, disabled = task.count("build_number"), task.flag("disabled")
    run = _run(word, state_of(word), task, "last_build_time")
    return replace(
        _status(number or None, run),
        run=str(number) if number else "",
        enabled=None if disabled is None else not disabled,
    )


def _ended_before(status: Status | None, newer_than: float | None, now: float) -> bool:
    """Whether the newest run ended too long ago to be listed."""
    if status is None or status.state not in RESULTS:
        return False
    return too_old(status.state, status.ended_at or status.started_at, newer_than, now)


def _status(number: int | None, run: Status) -> Status:
    """A run with its number, and without times that do not fit its state."""
    over = run.state in RESULTS
    started = None if run.state in (State.QUEUED, State.IDLE) else run.started_at
    ended = run.ended_at if over or run.state is State.UNKNOWN else None
    return replace(
        run,
        run_number=number,
        started_at=started,
        ended_at=ended,
        state_since=ended if over else started if run.state is State.RUNNING else None,
    )


def _epoch(stamp: int | None) -> float | None:
    """A Unix time in milliseconds, or in seconds if that gives a year from 2010 to 2099."""
    if stamp is None:
        return None
    seconds = stamp / 1000 if stamp >= _YEAR_2100 else float(stamp)
    return seconds if _YEAR_2010 <= seconds < _YEAR_2100 else None


def _result(response: Response) -> Mapping[str, Any]:
    """``result`` of a response, an object or an array with one object; empty if there is none.

    Raises:
        Failure: the call failed although its HTTP status is 200, or ``result`` has another type.
    """
    body = response.object()
    result = body.get("result")
    if isinstance(result, list):
        result = result[0] if result else None
    word = text(body.get("status"))
    failed = word.casefold() != "success" if word else "result" not in body
    if failed or (not result and (body.get("error") or body.get("error_code"))):
        raise _failure(body, response)
    if result is not None and not isinstance(result, dict):
        raise invalid(response, "result is neither object nor array")
    return mapping(result)


def _failure(body: Mapping[str, Any], response: Response) -> Failure:
    """The failure of a call with HTTP status 200. It quotes the error code, if that is well-formed."""
    error = body.get("error")
    fields = [body.get("error_code"), body.get("errorCode"), body.get("code"), error]
    fields += [mapping(error).get("error_code"), mapping(error).get("code")]
    codes = [field for field in fields if isinstance(field, str) and _ERROR_CODE.fullmatch(field)]
    if not codes:
        return invalid(response, "the response says that the call failed")
    # A code of the service itself means that the request is wrong, not that the server has an error.
    reason = _GATEWAY_REASONS.get(codes[0], Reason.CLIENT_ERROR)
    return Failure(reason, f"the response says that the call failed: {codes[0]}", status=response.status)
