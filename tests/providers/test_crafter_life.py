"""No site of CrafterCMS has an end, a success or a failure that did not happen, whenever it is read.

The stories were recorded from real servers, ten times a second; names and ids are replaced. The models make
the steps of the server's code, which are listed on the page of the system.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from exporter.model.failure import Failure, Reason
from exporter.model.history import History
from exporter.model.http import Response
from exporter.model.job import State, Status
from exporter.providers.crafter.studio import Crafter, CrafterOptions
from tests.providers.conftest import DATA, drive, response_of

KEYS = {"site_id": "my-site"}
V1 = "/api/1/services/api/1/publish/status.json?site_id=my-site"
V2 = "/api/2/publish/status?siteId=my-site"
PACKAGES = "/api/2/publish/packages?siteId=my-site&states={}&offset=0&limit=200"
COMPLETED, WAITING = PACKAGES.format("COMPLETED"), PACKAGES.format("READY_FOR_LIVE%2CPROCESSING")
FORBIDDEN: Mapping[str, Response | Failure] = dict.fromkeys(
    (COMPLETED, WAITING), Failure(Reason.FORBIDDEN, status=403)
)
NOON = 1_772_366_400.0


def v2_of(status: Mapping[str, Any]) -> Response:
    return response_of({"response": {"code": 0}, "publishingStatus": status})


def packages_of(waiting: Iterable[str], completed: Iterable[str]) -> Mapping[str, Response | Failure]:
    """The responses of a server whose packages are these."""
    shown = {WAITING: sorted(set(waiting)), COMPLETED: sorted(set(completed))}
    return {
        path: response_of({"response": {"code": 0}, "packages": [{"id": each} for each in ids]})
        for path, ids in shown.items()
    }


class Reader:
    """Reads one site as a record of it does."""

    def __init__(self, api: str) -> None:
        self.provider = Crafter(CrafterOptions.model_validate({"api": api}))
        self.history = History(watched_since=NOON)

    def read(
        self, response: Response, now: float, packages: Mapping[str, Response | Failure] = FORBIDDEN
    ) -> Status:
        responses = {V1: response, V2: response, **packages}
        status = drive(self.provider, KEYS, responses, previous=self.history.status).status
        assert status.progress is None or 0 <= status.progress < 1
        assert status.items.total is None or (status.items.processed or 0) <= status.items.total
        self.history.observe(status, now)
        return status

    @property
    def good(self) -> int:
        return self.history.finished[State.SUCCEEDED] + self.history.finished[State.SUCCEEDED_WITH_ERRORS]

    @property
    def bad(self) -> int:
        return self.history.finished[State.FAILED]


# Recorded


@dataclass(frozen=True)
class Story:
    """What a server responded, and how many cycles really succeeded and failed.

    Attributes:
        at_once_a_second: counted by reads once a second at the least.
        packages: how many were completed, by the time in seconds; each has its number as id.
    """

    good: int
    bad: int
    at_once_a_second: tuple[int, int]
    packages: Mapping[float, int] = field(default_factory=dict)


STORIES = {
    "first_publish_one_package_250": Story(0, 0, (0, 0)),
    "one_package_250": Story(1, 0, (1, 0), {26: 1}),
    "three_packages_one_cycle": Story(1, 0, (1, 0), {51.5: 3}),
    "three_packages_fail_at_commit": Story(0, 1, (0, 1)),
    "stop_publish_start_then_cancel": Story(2, 0, (2, 0), {24.6: 1, 44: 2}),
    "one_package_fails_twice_then_succeeds": Story(1, 2, (1, 2), {35: 1}),
    "second_package_submitted_while_first_publishes": Story(3, 0, (2, 0), {19.8: 1, 30.9: 2}),
    "stop_and_start_while_publishing": Story(1, 0, (1, 0), {33: 1}),
    "after_server_was_killed_while_publishing": Story(1, 0, (1, 0), {19.2: 1}),
    "3_1_17_first_publish_then_one_package": Story(2, 0, (2, 0)),
}


def recorded(name: str) -> list[tuple[float, Response]]:
    lines = (DATA / "crafter" / "stories" / f"{name}.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return [(entry["after_ms"] / 1000, v2_of(entry["publishingStatus"])) for entry in entries]


def packages_at(story: Story, seconds: float) -> Mapping[str, Response | Failure]:
    number = max((done for at, done in story.packages.items() if at <= seconds), default=0)
    ids = [f"00000000-0000-4000-8000-{each:012}" for each in range(1, 4)]
    return packages_of(ids[number:], ids[:number])


def replayed(name: str, interval: float, phase: float, *, packages: bool = False) -> Reader:
    """Reads a story until its last response has been read twice."""
    entries, reader, index = recorded(name), Reader("v2"), -1
    seconds = entries[0][0] + phase
    while seconds <= entries[-1][0] + 2 * interval:
        while index + 1 < len(entries) and entries[index + 1][0] <= seconds:
            index += 1
        shown = packages_at(STORIES[name], seconds) if packages else FORBIDDEN
        reader.read(entries[index][1], NOON + seconds, shown)
        seconds += interval
    return reader


@pytest.mark.parametrize("packages", [False, True])
@pytest.mark.parametrize("name", STORIES)
def test_a_recorded_story_has_no_end_that_did_not_happen_at_any_interval(
    name: str, *, packages: bool
) -> None:
    story = STORIES[name]
    for interval in range(1, 61):
        for phase in range(6):
            reader = replayed(name, interval, phase * interval / 6, packages=packages)
            assert reader.good <= story.good, (interval, phase)
            assert reader.bad <= story.bad, (interval, phase)
            assert packages or interval > 1 or (reader.good, reader.bad) >= story.at_once_a_second


@pytest.mark.parametrize("name", STORIES)
def test_all_ends_of_a_story_that_can_be_seen_once_a_second_are_counted(name: str) -> None:
    story = STORIES[name]
    for phase in range(20):
        reader = replayed(name, 1, phase / 20)
        assert (reader.good, reader.bad) >= story.at_once_a_second
    every = replayed(name, 0.1, 0)
    assert (every.good, every.bad) == (story.good, story.bad)


def test_a_cycle_that_was_seen_to_run_is_counted_at_a_usual_interval_where_packages_can_be_read() -> None:
    for phase in (0, 0.1, 0.2, 0.3):
        assert replayed("one_package_250", 15, 15 * phase, packages=True).good <= 1
    assert replayed("one_package_250", 15, 5, packages=True).good == 1
    assert replayed("one_package_250", 15, 5).good == 0
    # The first of three cycles is over when the next read is of the second one.
    assert replayed("second_package_submitted_while_first_publishes", 5, 0, packages=True).good == 2
    assert replayed("second_package_submitted_while_first_publishes", 5, 0).good == 0


# Written by hand: steps that look like an end, at reads once a second


def shown(line: str) -> Response:
    """A response by its word, ``off`` if publishing is disabled, and ``done/total`` of a counter."""
    word, *rest = line.split()
    done, total = next((each.split("/") for each in rest if "/" in each), (0, 0))
    target, package = ("live", "p1") if total else (None, None)
    fields = {"numberOfItems": int(done), "totalItems": int(total)}
    body = {"enabled": "off" not in rest, "status": word, "publishingTarget": target, "submissionId": package}
    return v2_of(body | fields)


@pytest.mark.parametrize(
    ("lines", "ends"),
    [
        (("processing 2/2", "publishing 0/2", "publishing 2/2", "ready 2/2", "ready"), (1, 0)),
        (("publishing 2/2", "publishing 4/2", "queued"), (1, 0)),
        # Stopped, and the cycle goes on.
        (("publishing 1/2", "stopped off 2/2", "ready off"), (1, 0)),
        (("publishing 1/4", "stopped off 2/4", "ready 3/4", "ready"), (1, 0)),
        # The next cycle.
        (("publishing 2/2", "queued 0/2", "processing 1/2"), (1, 0)),
        (("publishing 4/4", "publishing 1/2"), (1, 0)),
        # A submission in the moment without a counter.
        (("processing 2/4", "queued", "publishing 1/4"), (0, 0)),
        # A submission replaces the word of an error, with and without the counter that is left.
        (("publishing 2/2", "queued off", "ready"), (0, 0)),
        (("publishing 2/2", "queued off 2/2", "ready"), (0, 0)),
        (("publishing 2/2", "queued off 2/2", "processing 0/2"), (0, 0)),
        (("publishing 2/2", "error off 2/2", "queued off 2/2", "error off", "queued off"), (0, 1)),
        (("publishing 2/2", "error off 2/2", "queued off", "error off"), (0, 1)),
        (("publishing 2/2", "error off", "ready", "publishing 1/2", "error off"), (0, 2)),
        # Publishing is disabled for a moment while the site is copied.
        (("ready", "readyWithErrors", "readyWithErrors off", "readyWithErrors"), (1, 0)),
        # The server was killed.
        (("publishing 2/2", "publishing", "publishing", "ready"), (0, 0)),
        # Another word than the server has.
        (("publishing 2/2", "paused", "ready"), (0, 0)),
    ],
)
def test_only_an_end_is_an_end(lines: tuple[str, ...], ends: tuple[int, int]) -> None:
    reader = Reader("v2")
    for seconds, line in enumerate(lines):
        reader.read(shown(line), NOON + seconds)
    assert (reader.good, reader.bad) == ends


def test_a_cycle_runs_since_its_first_read_through_all_its_phases() -> None:
    reader = Reader("v2")
    lines = ("ready", "processing 1/2", "publishing 0/2", "queued 1/2", "stopped off 3/2", "ready 4/2")
    for seconds, line in enumerate(lines):
        reader.read(shown(line), NOON + seconds)
    assert reader.history.state_since == NOON + 1


def test_a_large_package_of_which_a_part_is_published_has_not_succeeded() -> None:
    for waiting, good in (((), 1), (("p1",), 0)):
        reader = Reader("v2")
        for seconds, line in ((0, "processing 1/2"), (30, "ready")):
            reader.read(shown(line), NOON + seconds, packages_of(waiting, ["p1"]))
        assert reader.good == good


# By the code


@dataclass
class Counted:
    """A Studio of 4.0 to 4.2: the word of the database, and the counter of the task that runs."""

    api: ClassVar[str] = "v2"
    enabled: bool = True
    word: str = "ready"
    counter: dict[str, Any] | None = None
    due: list[tuple[str, int]] = field(default_factory=list)
    planned: int = 0
    running: list[tuple[str, int]] = field(default_factory=list)
    completed: list[str] = field(default_factory=list)
    good: int = 0
    bad: int = 0
    failing: bool = False
    resetting: bool = False
    submitted: int = 0
    ends_undated: int = 0
    now: float = NOON

    @property
    def waits(self) -> bool:
        """Whether the end of a cycle leaves the site queued."""
        return self.planned > 0

    def submit(self, items: int, *, later: bool) -> None:
        self.submitted += 1
        if later:
            self.planned += 1
        else:
            self.due.append((f"p{self.submitted}", items))
        self.word = "queued"

    def arrive(self, items: int) -> None:
        """More items of the last package, whose first items may be published already."""
        self.due.append((f"p{self.submitted}", items))

    def cancel(self) -> None:
        canceled = {name for name, _ in self.due}
        self.completed = [name for name in self.completed if name not in canceled]
        self.due.clear()
        self.planned = 0

    def stop(self) -> None:
        self.enabled, self.word = False, "stopped"

    def start(self) -> None:
        self.enabled, self.word = True, "queued" if self.waits else "ready"

    def publish_all_with_errors(self) -> bool:
        """Whether this version has a word for it."""
        self.word = "readyWithErrors"
        return True

    def steps(self, target: str, targets: int) -> Iterator[None]:
        """One task: all due packages in one cycle, then those that became due meanwhile."""
        while self.due and self.enabled:
            packages, self.due = self.due, []
            self.running = packages
            ids = [name for name, items in packages for _ in range(items)]
            self.count(target, ids)
            yield
            self.word = "processing"
            yield
            yield from self.pass_all(ids)
            self.counter = None  # in the same moment as the last item
            yield
            self.word = "publishing"
            yield
            self.count(target, ids)
            yield
            for _ in range(targets):
                yield from self.pass_all(ids)
                yield
            if self.failing:
                yield from self.fail_twice(packages)
                break
            self.running = []
            self.completed += [name for name, _ in packages]
            self.good += 1
            self.word = "queued" if self.waits else "ready"
            yield
        self.counter = None

    def fail_twice(self, packages: list[tuple[str, int]]) -> Iterator[None]:
        """The error of an item is written once more when all items of the cycle are reset."""
        self.bad += 1
        self.failing, self.resetting = False, True
        self.fail(packages[-1][0])
        yield
        self.due, self.running, self.resetting = packages + self.due, [], False
        self.fail(packages[-1][0])
        yield

    def fail(self, name: str) -> None:
        del name
        self.enabled, self.word = False, "error"

    def count(self, target: str, ids: list[str]) -> None:
        self.counter = {
            "publishingTarget": target,
            "submissionId": ids[0],
            "numberOfItems": 0,
            "totalItems": len(ids),
        }

    def pass_all(self, ids: list[str]) -> Iterator[None]:
        for index, name in enumerate(ids):
            if index:
                yield
            if self.counter is not None:
                self.counter["submissionId"] = name
                self.counter["numberOfItems"] += 1

    def packages(self) -> Mapping[str, Response | Failure]:
        return packages_of([name for name, _ in self.due + self.running], self.completed)

    def response(self) -> Response:
        nothing = {"publishingTarget": None, "submissionId": None, "numberOfItems": 0, "totalItems": 0}
        return v2_of({"enabled": self.enabled, "status": self.word, **(self.counter or nothing)})


def written(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Messages(Counted):
    """A Studio of 3.1.14 to 3.1: a message for each item, and at each end."""

    message: str = "Ready"

    def submit(self, items: int, *, later: bool) -> None:
        super().submit(items, later=later)
        self.message = "Items are queued for publishing"

    def stop(self) -> None:
        super().stop()
        self.message = f"Publishing was stopped by user ada on {written(self.now)}"

    def publish_all_with_errors(self) -> bool:
        return False

    def start(self) -> None:
        super().start()
        self.message = "Items are queued for publishing" if self.waits else "Ready"

    def steps(self, target: str, targets: int) -> Iterator[None]:
        del target, targets
        while self.due and self.enabled:
            packages, self.due = self.due, []
            ids = [name for name, items in packages for _ in range(items)]
            for index, name in enumerate(ids, 1):
                self.item(name, index, len(ids))
                yield
            if self.failing:
                yield from self.fail_twice(packages)
                return
            self.end(ids)
            yield

    def item(self, name: str, index: int, total: int) -> None:
        self.word = "publishing"
        text = f"Currently publishing package: {name} on {written(self.now)}."
        self.message = f"{text} Item {index} of {total} is being published"

    def fail(self, name: str) -> None:
        super().fail(name)
        self.message = "Publishing is disabled due to errors. Check logs for error details"

    def end(self, ids: list[str]) -> None:
        self.good += 1
        if self.waits:
            self.ends_undated += 1
            self.word, self.message = "queued", "Items are queued for publishing"
        else:
            name, size = ids[-1], len(ids)
            self.word = "ready"
            self.message = (
                f"Last successful publish was for package: {name} on {written(self.now)} with {size} items"
            )

    def response(self) -> Response:
        return v2_of({"enabled": self.enabled, "status": self.word, "message": self.message})


@dataclass
class Oldest(Messages):
    """A Studio of 3.0: items and packages have messages of their own; a stop and a failure have one word."""

    api: ClassVar[str] = "v1"
    word: str = "idle"
    message: str = "Idle"

    @property
    def waits(self) -> bool:
        return bool(self.due)

    def start(self) -> None:
        self.enabled, self.word = True, "started"
        self.message = f"User ada enabled publishing for site on {written(self.now)}"

    def item(self, name: str, index: int, total: int) -> None:
        del total
        if index % 2:
            self.word, kind = "busy", "item: /site/a.xml"
        else:
            self.word, kind = "publishing", f"package: {name}"
        self.message = f"Currently publishing {kind} on {written(self.now)}"

    def fail(self, name: str) -> None:
        self.enabled, self.word = False, "stopped"
        self.message = f"Stopped while trying to publish item: {name} on {written(self.now)}"

    def end(self, ids: list[str]) -> None:
        super().end(ids)
        self.word = self.word.replace("ready", "idle")

    def response(self) -> Response:
        return response_of({"status": self.word, "message": self.message})


@dataclass
class Tasks(Counted):
    """A Studio after 4.2: one task for each package, with stages; a failure disables nothing."""

    def steps(self, target: str, targets: int) -> Iterator[None]:
        del target, targets
        while self.due and self.enabled:
            name, items = self.due.pop(0)
            for stage in range(2):
                for done in range(items + 1):
                    self.counter = self.task(name, stage, done, items)
                    yield
            self.good += not self.failing
            self.bad += self.failing
            self.failing, self.counter = False, None
            yield

    def task(self, name: str, at: int, done: int, total: int) -> dict[str, Any]:
        first = {"name": "prepare", "state": "IN_PROGRESS", "processed": done, "total": total}
        second = {**first, "name": "publish"}
        complete = {**first, "state": "COMPLETED", "processed": total}
        return {
            "taskId": {"siteId": "my-site", "packageId": int(name[1:])},
            "type": "publish",
            "startTime": "2026-03-01T12:00:00.123Z",
            "endTime": None,
            "state": "IN_PROGRESS",
            "stages": [complete, second] if at else [first],
        }

    def response(self) -> Response:
        return v2_of({"enabled": self.enabled, "published": True, "currentTask": self.counter})


class Life(RuleBasedStateMachine):
    """A site that is read at some moments."""

    studio: ClassVar[type[Counted]]

    @initialize(packages=st.booleans())
    def begin(self, *, packages: bool) -> None:
        self.server, self.reader, self.now = self.studio(), Reader(self.studio.api), NOON
        self.packages, self.with_errors = packages, 0
        self.task: Iterator[None] | None = None
        self.is_read(0.0)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.server.now = self.now

    @rule(items=st.integers(1, 4), later=st.booleans())
    def submits(self, items: int, *, later: bool) -> None:
        self.server.submit(items, later=later and not self.server.planned)

    @precondition(lambda self: self.server.running)
    @rule(items=st.integers(1, 4))
    def more_items_of_a_package_arrive(self, items: int) -> None:
        self.server.arrive(items)

    @precondition(lambda self: self.server.enabled and self.studio is not Oldest)
    @rule(seconds=st.sampled_from([0.0, 1.0]))
    def is_copied(self, seconds: float) -> None:
        self.server.enabled = False
        self.is_read(seconds)
        self.server.enabled = True

    @precondition(lambda self: self.task is None)
    @rule()
    def cancels(self) -> None:
        self.server.cancel()

    @rule()
    def stops(self) -> None:
        self.server.stop()

    @precondition(lambda self: not self.server.resetting)
    @rule(seen=st.booleans())
    def starts(self, *, seen: bool) -> None:
        # A person sees first that publishing has stopped.
        self.wait(1.0)
        if seen:
            self.is_read(0.0)
        self.wait(1.0)
        self.server.start()

    @rule(
        steps=st.integers(1, 12),
        seconds=st.sampled_from([0.0, 1.0]),
        environment=st.sampled_from(["live", "staging"]),
        times=st.integers(1, 2),
    )
    def works(self, steps: int, seconds: float, environment: str, times: int) -> None:
        for _ in range(steps):
            if self.task is None:
                self.task = self.server.steps(environment, times)
            if next(self.task, self) is self:
                self.task = None
            self.wait(seconds)

    @precondition(lambda self: self.task is not None)
    @rule()
    def will_fail(self) -> None:
        self.server.failing = True

    @precondition(lambda self: self.task is None)
    @rule()
    def publishes_all_with_errors(self) -> None:
        self.with_errors += self.server.publish_all_with_errors()

    @precondition(lambda self: self.task is not None)
    @rule()
    def is_killed(self) -> None:
        self.task, self.server.counter, self.server.resetting = None, None, False
        self.wait(10.0)

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 30.0]))
    def is_read(self, seconds: float) -> None:
        self.wait(seconds)
        self.reader.read(
            self.server.response(), self.now, self.server.packages() if self.packages else FORBIDDEN
        )
        assert self.reader.good <= self.server.good + self.with_errors
        assert self.reader.bad <= self.server.bad


class CountedLife(Life):
    studio = Counted


class MessagesLife(Life):
    studio = Messages


class OldestLife(Life):
    studio = Oldest


class TasksLife(Life):
    studio = Tasks


TestCounted, TestMessages = CountedLife.TestCase, MessagesLife.TestCase
TestOldest, TestTasks = OldestLife.TestCase, TasksLife.TestCase
for _tests in (TestCounted, TestMessages, TestOldest, TestTasks):
    _tests.settings = settings(max_examples=40, stateful_step_count=30)


@dataclass(frozen=True)
class Planned:
    """A cycle, and what a person does at one of its steps."""

    items: int
    fails: bool
    targets: int
    act: str
    at: int


CYCLES = st.lists(
    st.builds(
        Planned,
        items=st.integers(1, 3),
        fails=st.booleans(),
        targets=st.integers(1, 2),
        act=st.sampled_from(["", "submit", "plan", "stop", "stop and start"]),
        at=st.integers(1, 3),
    ),
    min_size=1,
    max_size=3,
)


@pytest.mark.parametrize("studio", [Counted, Messages, Oldest])
@settings(max_examples=40)
@given(cycles=CYCLES)
def test_every_end_is_counted_where_every_step_is_read(studio: type[Counted], cycles: list[Planned]) -> None:
    server, reader = studio(), Reader(studio.api)

    def step(seconds: float = 1.0) -> None:
        server.now += seconds
        reader.read(server.response(), server.now)

    step()
    for cycle in cycles:
        server.submit(cycle.items, later=False)
        step()
        server.failing = cycle.fails
        for number, _ in enumerate(server.steps("live", cycle.targets), 1):
            step()
            if number == cycle.at:
                act(server, cycle.act, step)
        step()
        if not server.enabled:
            server.start()
            step(5.0)
        server.cancel()
    assert (reader.good, reader.bad) == (server.good - server.ends_undated, server.bad)


def act(server: Counted, what: str, step: Callable[[], None]) -> None:
    if what in ("submit", "plan"):
        server.submit(2, later=what == "plan")
        step()
    for each in what.split(" and "):
        if each in ("stop", "start") and not server.resetting:
            getattr(server, each)()
            step()
