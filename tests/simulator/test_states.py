from collections import defaultdict
from itertools import pairwise

import pytest

from exporter.model.failure import Failure, Reason
from exporter.model.job import State
from tests.simulator.conftest import NOON, Simulated, own_keys
from tests.systems import ROOT, VENDORS, states_on_page

PAGES = {name: ROOT / "docs" / "guides" / "systems" / f"{name}.md" for name in VENDORS}
# What the page says, and a word that is not on it, which the simulated Sitecore does not have.
EXPECTED = {name: {*states_on_page(page).values(), State.UNKNOWN} for name, page in PAGES.items()}
EXPECTED["sitecore"] -= {State.UNKNOWN}
# Words of tasks after 4.2, which no simulated Studio has.
EXPECTED["crafter"] -= {State.SUCCEEDED, State.CANCELED}


def look(simulated: Simulated) -> tuple[dict[str, set[State]], dict[str, list[Reason]]]:
    """The states of all jobs of the config by provider, and the failures by system."""
    states: dict[str, set[State]] = defaultdict(set)
    failures: dict[str, list[Reason]] = defaultdict(list)
    for name, system in simulated.systems.items():
        for entry in system["jobs"]:
            try:
                states[system["provider"]].add(simulated.read(name, own_keys(entry)).state)
            except Failure as failure:
                failures[name].append(failure.reason)
    return states, failures


@pytest.mark.parametrize("later", [0, 1, 333, 4_000, 40_000, 100_000, 1_000_003])
def test_every_state_is_visible_at_any_time(simulated: Simulated, later: float) -> None:
    simulated.clock.now = NOON + later
    states, failures = look(simulated)
    for provider, expected in EXPECTED.items():
        assert expected <= states[provider], provider
    assert set(failures) <= {"docs-eu", "site"}
    assert len(failures.get("site", [])) <= 1


def test_every_job_of_the_config_is_read_or_has_its_intended_fault(simulated: Simulated) -> None:
    reasons: dict[str, set[Reason]] = defaultdict(set)
    answered = set()
    for minute in range(0, 30, 2):
        simulated.clock.now = NOON + minute * 60
        for name, job in (("docs-eu", "User guide (de)"), ("site", "Campaigns")):
            try:
                simulated.read(name, simulated.keys(name, job))
            except Failure as failure:
                reasons[name].add(failure.reason)
            else:
                answered.add(name)
    assert reasons == {"docs-eu": {Reason.SERVER_ERROR, Reason.CONNECT}, "site": {Reason.RATE_LIMITED}}
    assert answered == {"docs-eu", "site"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("system", "job"),
    [
        ("docs", "User guide, live"),
        ("builds", "Web shop"),
        ("site", "Corporate site"),
        ("xmc", "Home page and navigation"),
    ],
)
def test_a_job_is_seen_queued_then_running_then_done(simulated: Simulated, system: str, job: str) -> None:
    keys = simulated.keys(system, job)
    seen: list[State] = []
    for second in range(0, 34 * 60, 4):
        simulated.clock.now = NOON + second
        state = simulated.read(system, keys).state
        if not seen or seen[-1] is not state:
            seen.append(state)
    done = State.IDLE if system == "site" else State.SUCCEEDED
    begin = seen.index(State.QUEUED)
    assert seen[begin : begin + 4] == [State.QUEUED, State.RUNNING, done, State.QUEUED]


def test_progress_grows_while_a_run_lives(simulated: Simulated) -> None:
    keys = simulated.keys("docs", "User guide, live")
    shown: list[float] = []
    for second in range(0, 14 * 60, 10):
        simulated.clock.now = NOON + second
        status = simulated.read("docs", keys)
        if status.state is State.RUNNING and status.progress is not None:
            shown.append(status.progress)
    falls = sum(after < before for before, after in pairwise(shown))
    assert len(set(shown)) > 4
    assert falls <= 1  # from one run to the next


def test_the_same_clock_gives_the_same_bytes(simulated: Simulated) -> None:
    def answer() -> bytes:
        path = simulated.path("docs") + "/v1/Projects/{project_id}/BuildJobs/{build_job_id}/properties"
        keys = simulated.keys("docs", "Release notes")
        response = simulated.get(
            path.format(**keys), params={"locale": keys["locale"]}, headers=simulated.headers("docs")
        )
        assert response.status_code == 200
        return response.content

    first = answer()
    simulated.clock.now += 3600
    assert answer() != first
    simulated.clock.now = NOON
    assert answer() == first
