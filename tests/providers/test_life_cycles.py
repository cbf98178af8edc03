"""No provider invents an end, a success or a start, however a system lives and whenever it is read.

A model of each system lives run after run. A read can be answered at several moments and by a replica that
lags behind. The states of CrafterCMS have their own tests, since its responses name no runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from exporter.model.failure import Failure, reason_of_status
from exporter.model.history import History
from exporter.model.http import Request, Response
from exporter.model.job import ACTIVE, State, Status
from exporter.providers.base import Provider
from exporter.providers.caps import Caps, CapsOptions
from exporter.providers.codearts import CodeArts, CodeArtsOptions
from exporter.providers.itwin import ITwin, ITwinOptions
from exporter.providers.sitecore import Sitecore, SitecoreOptions
from tests.providers.conftest import job, response_of

GOOD, BAD, CANCELED = "good", "bad", "canceled"
RESULTS = (GOOD, BAD, CANCELED)
RESULT_OF = {
    State.SUCCEEDED: GOOD,
    State.SUCCEEDED_WITH_ERRORS: GOOD,
    State.FAILED: BAD,
    State.CANCELED: CANCELED,
}


@dataclass(frozen=True)
class Run:
    """One real run; times in Unix seconds."""

    number: int
    queued: float
    started: float | None = None
    ended: float | None = None
    result: str = ""

    @property
    def phase(self) -> str:
        return "ended" if self.ended else "running" if self.started else "queued"


Runs = tuple[Run, ...]


def iso(moment: float | None) -> str | None:
    if not moment:
        return None
    return datetime.fromtimestamp(MIDNIGHT + moment, UTC).isoformat()


CHEAP = settings(max_examples=60, stateful_step_count=25)
MIDNIGHT = 1_772_323_200.0


@dataclass
class System:
    """A system as it is read: what it has answered may be of any of its last moments.

    Args:
        quirks: the numbers of the liberties that this vendor takes.
    """

    quirks: frozenset[int]
    past: list[Runs] = field(default_factory=lambda: [()])

    @property
    def runs(self) -> Runs:
        return self.past[-1]

    @property
    def newest(self) -> Run | None:
        return self.runs[-1] if self.runs else None

    def seen(self, lag: int) -> Runs:
        """The runs as a replica knows them that is ``lag`` steps behind."""
        return self.past[max(0, len(self.past) - 1 - lag)]

    def move(self, now: float, step: str, *, again: bool) -> None:
        """Takes a step of the life cycle, if it is the next one."""
        runs, newest = self.runs, self.newest
        if step == "queue" and (newest is None or (newest.ended and again)):
            runs = (*runs, Run(len(runs) + 1, now))
        elif step == "start" and newest and newest.phase == "queued":
            runs = (*runs[:-1], replace(newest, started=now))
        elif step in RESULTS and newest and newest.phase == "running":
            runs = (*runs[:-1], replace(newest, ended=now, result=step))
        self.past.append(runs)


def caps(runs: Runs, _request: Request, quirks: frozenset[int]) -> Response:
    newest = runs[-1] if runs else None
    if newest is None:
        return response_of({"entity_id": "d--promote", "job_status": None})
    before = runs[-2] if len(runs) > 1 else None
    active = newest.ended is None
    started, ended = newest.started, newest.ended
    if active and before and 0 in quirks:
        ended = before.ended
        started = started or before.started
    blob = newest.number if newest.started or 1 in quirks else newest.number - 1
    words = {GOOD: "Succeeded", BAD: "Failed", CANCELED: "Canceled"}
    return response_of(
        {
            "job_status": words.get(newest.result, newest.phase),
            "latest_blob_id": str(2**62 - blob) if 2 in quirks else None,
            "started_at": iso(started),
            "ended_at": None if 3 in quirks else iso(ended),
            "failed_count": 1 if 4 in quirks else 0,
        }
    )


def codearts(runs: Runs, request: Request, quirks: frozenset[int]) -> Response:
    def done(result: object) -> Response:
        return response_of({"result": result, "error": None, "status": "success"})

    newest = runs[-1] if runs else None
    parts = request.path.split("?")[0].split("/")
    phases = {"queued": "InQueue", "running": "Running", "ended": "Finished"}
    words = {GOOD: "SUCCESS", BAD: "FAILURE", CANCELED: "ABORTED", "": None}
    if parts[-1] == "running-status":
        if newest is None:
            return done({"last_build_no": None, "last_build_status": None, "is_running": False})
        number = newest.number
        if newest.phase == "queued" and 0 in quirks:
            number -= 1
        word = phases[newest.phase]
        return done(
            {"last_build_no": number or None, "last_build_status": word, "is_running": word == "Running"}
        )
    number = int(parts[-2])
    run = runs[number - 1] if number <= len(runs) else None
    before = runs[number - 2] if 1 < number <= len(runs) + 1 else None
    leftover = words[before.result] if before and 1 in quirks else None
    if run is None or (run.phase == "queued" and 2 in quirks):
        return response_of(b"", 404)
    if parts[-1] == "build-info":
        return done({"building": run.phase == "running", "build_result": words[run.result] or leftover})
    if 3 in quirks:
        return response_of(b"", 500)
    start, end = run.started, run.ended
    return done(
        {
            "job_running_status": phases[run.phase],
            "state": (words[run.result] or leftover) if 4 not in quirks else None,
            "start_time": None if start is None else int((MIDNIGHT + start) * 1000),
            "build_time": int((end - start) * 1000) if start and end and 5 not in quirks else None,
        }
    )


def itwin(runs: Runs, request: Request, quirks: frozenset[int]) -> Response:
    run = runs[-1] if runs else None
    ends = {GOOD: "Success", BAD: "Failed", CANCELED: "Cancelled"}
    if request.path.endswith("/progress"):
        if run is None or run.phase == "queued" or (run.ended and 0 in quirks):
            return response_of(b"", 404)
        word = "Over" if run.ended and 1 in quirks else ends.get(run.result, "Active")
        return response_of({"jobProgress": {"state": word, "percentage": 50, "step": "s"}})
    word = (
        "Unsubmitted" if run is None else ends.get(run.result, "Queued" if run.started is None else "Active")
    )
    times = {}
    if run is not None:
        times = {"submittedDateTime": run.queued, "startedDateTime": run.started}
        times |= {} if 2 in quirks else {"endedDateTime": run.ended}
    return response_of(
        {"job": {"state": word, "executionInformation": {name: iso(at) for name, at in times.items()}}}
    )


def sitecore(runs: Runs, _request: Request, quirks: frozenset[int]) -> Response:
    run = runs[-1] if runs else Run(1, 1.0)
    words = {GOOD: "Completed", BAD: "Failed", CANCELED: "Canceled"}
    ended = None if 0 in quirks else iso(run.ended)
    return response_of(
        {
            "id": "j",
            "system": {
                "status": words.get(run.result, run.phase),
                "queuedTime": iso(run.queued),
                "startTime": iso(run.started),
                "finishTime": ended,
            },
            "statistics": None if 1 in quirks else {"itemsSent": 3, "itemsFailed": 1 if 2 in quirks else 0},
        }
    )


class LifeCycle(RuleBasedStateMachine):
    """A system that lives, and one job of it that is read now and then."""

    provider: ClassVar[Provider]
    keys: ClassVar[dict[str, object]]
    # Whether the same job runs again.
    again: ClassVar[bool] = False
    # The quirk by which ends have no time. Nothing then distinguishes a run that is shown again.
    undated: ClassVar[int | None] = None

    @initialize(quirks=st.frozensets(st.integers(0, 5)))
    def begin(self, quirks: frozenset[int]) -> None:
        self.system = System(quirks)
        self.now = 60.0
        self.history: History | None = None

    def respond(self, runs: Runs, request: Request, quirks: frozenset[int]) -> Response:
        """What the system answers while these are its runs."""
        raise NotImplementedError

    def _move(self, step: str) -> None:
        self.now += 100  # the history tolerates vendors whose times are of whole minutes
        self.system.move(self.now, step, again=self.again)

    @rule(step=st.sampled_from(("queue", "start", *RESULTS, "wait")))
    def move(self, step: str) -> None:
        self._move(step)

    @rule(result=st.sampled_from(RESULTS))
    def run(self, result: str) -> None:
        for step in ("queue", "start", result):
            self._move(step)

    @rule(
        lag=st.sampled_from((0, 0, 1, 3)),
        between=st.lists(st.sampled_from(("queue", "start", *RESULTS)), max_size=4),
    )
    def read(self, lag: int, between: list[str]) -> None:
        if self.undated in self.system.quirks:
            lag = 0
        began = self.system.seen(lag)
        status = self._read(lag, between)
        if status is None:
            return
        if self.history is None:
            self.history = History(watched_since=MIDNIGHT + self.now)
            # What had ended when the read began is no event. What ended later may be one.
            self.known = {run.number for run in began if run.ended}
        self.history.observe(status, MIDNIGHT + self.now)
        self._nothing_is_invented(self.history)
        if not lag and not between:
            self._start_is_real(status)

    @precondition(lambda self: self.history is not None)
    @rule(result=st.sampled_from(RESULTS))
    def run_in_full_view(self, result: str) -> None:
        assert self.history is not None
        newest = self.system.newest
        if newest is not None and (not self.again or newest.ended is None):
            return
        self.read(0, [])
        before = self._counted(self.history, result)
        for step in ("queue", "start", result):
            self._move(step)
            self.read(0, [])
        assert self._counted(self.history, result) == before + 1

    def _counted(self, history: History, result: str) -> int:
        return sum(runs for state, runs in history.finished.items() if RESULT_OF[state] == result)

    def _read(self, lag: int, between: Sequence[str]) -> Status | None:
        steps = self.provider.read(
            job(self.provider, self.keys), self.history.status if self.history else None
        )
        moves = list(between)
        try:
            request = next(steps)
            while True:
                response = self.respond(self.system.seen(lag), request, self.system.quirks)
                if moves:
                    self._move(moves.pop(0))
                if 200 <= response.status < 300 or response.status in request.expect:
                    request = steps.send(response)
                else:
                    request = steps.throw(Failure(reason_of_status(response.status), status=response.status))
        except StopIteration as stop:
            status: Status = stop.value
            return status
        except Failure:
            return None

    def _nothing_is_invented(self, history: History) -> None:
        ended = [run for run in self.system.runs if run.ended]
        for result in RESULTS:
            happened = sum(run.result == result and run.number not in self.known for run in ended)
            counted = self._counted(history, result)
            assert counted <= happened, f"{counted} of {happened} {result}"
        for last, result in ((history.last_success, GOOD), (history.last_failure, BAD)):
            assert last is None or any(run.result == result for run in ended)

    def _start_is_real(self, status: Status) -> None:
        newest = self.system.newest
        if status.state is State.RUNNING and status.started_at is not None:
            assert newest is not None
            assert newest.started is not None
            assert status.started_at == MIDNIGHT + newest.started
        if status.state in ACTIVE:
            assert status.ended_at is None


class CapsLives(LifeCycle):
    provider = Caps(CapsOptions())
    keys: ClassVar[dict[str, object]] = {"project_id": "p", "build_job_id": "d--promote", "locale": "en-US"}
    again = True
    undated = 3

    def respond(self, runs: Runs, request: Request, quirks: frozenset[int]) -> Response:
        return caps(runs, request, quirks)


class CodeArtsLives(LifeCycle):
    provider = CodeArts(CodeArtsOptions())
    keys: ClassVar[dict[str, object]] = {"job_id": "48c66c6002964721be537cdc6ce0297b", "build_no": "latest"}
    again = True

    def respond(self, runs: Runs, request: Request, quirks: frozenset[int]) -> Response:
        return codearts(runs, request, quirks)


class ITwinLives(LifeCycle):
    provider = ITwin(ITwinOptions(service="contextcapture"))
    keys: ClassVar[dict[str, object]] = {"id": "j"}

    def respond(self, runs: Runs, request: Request, quirks: frozenset[int]) -> Response:
        return itwin(runs, request, quirks)


class SitecoreLives(LifeCycle):
    provider = Sitecore(SitecoreOptions())
    keys: ClassVar[dict[str, object]] = {"id": "j"}

    def respond(self, runs: Runs, request: Request, quirks: frozenset[int]) -> Response:
        return sitecore(runs, request, quirks)


TestCaps = CapsLives.TestCase
TestCaps.settings = CHEAP
TestCodeArts = CodeArtsLives.TestCase
TestCodeArts.settings = CHEAP
TestITwin = ITwinLives.TestCase
TestITwin.settings = CHEAP
TestSitecore = SitecoreLives.TestCase
TestSitecore.settings = CHEAP
