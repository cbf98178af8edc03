"""A clock that was ahead and is set back: no time that the exporter has noted stays in the future."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.collector.collector import Collector
from exporter.metrics.exposition import Format
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.failure import Failure, Reason
from exporter.model.job import State, Status
from exporter.providers.base import Found
from exporter.providers.sitecore import SitecoreDiscover
from tests.clock import FakeClock
from tests.collector.test_collector import FakeUpstream, plan, scrape

YEAR = 365 * 86400.0
HOUR = SitecoreDiscover.model_validate({"newer_than": "1h"})
OWN = {
    f"remote_job_{name}_timestamp_seconds"
    for name in ("read", "watched_since", "state", "progress_changed", "last_success", "last_failure")
}
"""The times that the exporter notes itself where the vendor gives none."""
MESSAGE = "the clock was set back; future times are set to now"


def half(state: State = State.RUNNING, **more: object) -> Status:
    return Status(state, progress=0.5, **more)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=1000.0)


@pytest.fixture
def upstream(clock: FakeClock) -> FakeUpstream:
    return FakeUpstream(clock)


@pytest.fixture
def collector(clock: FakeClock) -> Collector:
    return Collector(Instrumentation("0"), clock=clock)


def ahead(samples: dict[tuple[str, str], float], clock: FakeClock) -> set[tuple[str, str]]:
    """The series of own times that are in the future."""
    return {series for series, value in samples.items() if series[0] in OWN and value > clock.time() + 0.001}


@pytest.mark.parametrize("seconds", [3600.0, YEAR, 30 * YEAR])
async def test_no_time_stays_in_the_future_after_the_clock_was_set_back(
    seconds: float,
    collector: Collector,
    upstream: FakeUpstream,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock.epoch += seconds
    collector.replace([plan(upstream, "running", "ended", "refused", "failed")])
    upstream.results = {
        "running": half(),
        "ended": half(State.SUCCEEDED, final=True),
        "failed": half(State.FAILED, final=True),
        "refused": Failure(Reason.CONNECT),
    }
    before = await scrape(collector)
    assert not ahead(before, clock)
    assert {name for name, _ in before} >= OWN
    clock.epoch -= seconds
    # Not long enough for any job to be read again.
    clock.turn(1)
    asked = len(upstream.asked)
    after = await scrape(collector)
    assert not ahead(after, clock)
    assert after.keys() == before.keys()
    assert len(upstream.asked) == asked
    await scrape(collector)
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    (line,) = (record for record in lines if record.getMessage() == MESSAGE)
    assert vars(line)["seconds"] == pytest.approx(seconds, abs=0.1)


async def test_a_job_that_is_only_probed_is_capped_as_well(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    async def read_at() -> float:
        probe = await collector.probe([("system", "xmc"), ("id", "other")], 60)
        assert probe.record.view is not None
        return probe.record.view.read_at

    collector.replace([plan(upstream)])
    clock.epoch += YEAR
    assert await read_at() == pytest.approx(clock.time(), abs=0.01)
    clock.epoch -= YEAR
    assert await read_at() == pytest.approx(clock.time(), abs=0.01)
    assert upstream.asked == ["other"]


async def test_what_happens_after_the_clock_was_set_back_is_seen(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    clock.epoch += YEAR
    collector.replace([plan(upstream, "a")])
    upstream.results["a"] = Status(State.QUEUED)
    await scrape(collector)
    clock.epoch -= YEAR
    clock.turn(600)
    await scrape(collector)
    clock.turn(600)
    upstream.results["a"] = Status(State.SUCCEEDED, ended_at=clock.time() - 100)
    samples = await scrape(collector)
    page = await collector.scrape(60, Format.TEXT)
    assert b'remote_job_runs_finished_total{system="xmc",job_id="a",result="succeeded"} 1\n' in page
    assert samples["remote_job_last_success_timestamp_seconds", "a"] == pytest.approx(clock.time() - 100)
    clock.turn(600)
    upstream.results["a"] = half()
    assert (await scrape(collector))["remote_job_state_timestamp_seconds", "a"] == pytest.approx(
        clock.time(), abs=0.01
    )


async def test_a_clock_that_is_set_back_during_a_read_leaves_no_time_in_the_future(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    collector.replace([plan(upstream, "a")])
    await scrape(collector)
    clock.turn(60)
    upstream.takes = -30.0  # the whole clock goes back, as the fake has but one
    upstream.results["a"] = half()
    assert not ahead(await scrape(collector), clock)


@pytest.mark.parametrize("seconds", [0.2, 0.9])
async def test_small_corrections_are_no_event(
    seconds: float,
    collector: Collector,
    upstream: FakeUpstream,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    collector.replace([plan(upstream, "a")])
    for step in (seconds, -seconds) * 3:
        clock.epoch += step
        await scrape(collector)
    assert MESSAGE not in caplog.messages


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.4, -0.4, 3600.0, -3600.0, YEAR, -YEAR]),
            st.sampled_from([1.0, 15.0, 700.0]),
            st.sampled_from([half(), half(State.FAILED), Status(State.SUCCEEDED), Failure(Reason.CONNECT)]),
        ),
        max_size=8,
    )
)
async def test_whatever_the_clock_does_no_time_is_ahead_and_no_read_is_lost(
    steps: list[tuple[float, float, Status | Failure]],
) -> None:
    clock = FakeClock(now=1000.0)
    upstream, collector = FakeUpstream(clock), Collector(Instrumentation("0"), clock=clock)
    collector.replace([plan(upstream, "a")])
    await scrape(collector)
    asked_at, reads = clock.now, 1
    for jump, passes, result in steps:
        clock.epoch += jump
        clock.turn(passes)
        upstream.results["a"] = result
        due = clock.now - asked_at >= 10
        reads, asked_at = reads + due, clock.now if due else asked_at
        samples = await scrape(collector)
        assert {
            value for series, value in samples.items() if series[0] in OWN and value > clock.time() + 1
        } == set()
        assert len(upstream.asked) == reads


async def test_a_run_that_ended_in_the_future_displaces_no_active_run_and_does_not_stay(
    collector: Collector, upstream: FakeUpstream, clock: FakeClock
) -> None:
    odd = Status(State.FAILED, final=True, ended_at=clock.time() + 30 * YEAR)
    upstream.listing = {
        "odd": Found({"id": "odd"}, odd, complete=True),
        "active": Found({"id": "active"}, half(), complete=True),
    }
    collector.replace([plan(upstream, discover=HOUR, max_jobs=1)])
    assert {job for name, job in await scrape(collector) if name == "remote_job_up"} == {"active"}
    collector.replace([plan(upstream, discover=HOUR, max_jobs=2)])
    clock.turn(60)
    assert {job for name, job in await scrape(collector) if name == "remote_job_up"} == {"active", "odd"}
    del upstream.listing["odd"]
    clock.turn(2 * 86400)
    assert {job for name, job in await scrape(collector) if name == "remote_job_up"} == {"active"}
