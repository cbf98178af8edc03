from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator.app import VENDORS
from exporter.simulator.lives import EPOCH, HOUR, MINUTE, End, Life, Part, Phase, World, ended, hanging
from tests.simulator.conftest import NOON, Clock

PARTS = [
    part
    for vendor in VENDORS
    for value in vars(vendor).values()
    if isinstance(value, tuple)
    for part in value
    if isinstance(part, Part)
]
ORDER = list(Phase)

lives = st.sampled_from([part.life for part in PARTS])
times = st.floats(EPOCH + 3 * 24 * HOUR, EPOCH + 2e8)
speeds = st.floats(0.1, 1000)


@given(lives, times, speeds, st.integers())
def test_a_moment_is_a_pure_function_of_seed_job_and_clock(
    life: Life, now: float, speed: float, seed: int
) -> None:
    first = World(speed, seed, lambda: now).moment("a", life)
    assert first is not None
    assert World(speed, seed, lambda: now).moment("a", life) == first
    assert first.items == first.items


@given(lives, times, speeds, st.integers(), st.lists(st.floats(0, 3600), min_size=2, max_size=8))
def test_a_run_only_goes_forward(life: Life, now: float, speed: float, seed: int, later: list[float]) -> None:
    clock = Clock()
    world = World(speed, seed, clock)
    seen = []
    for clock.now in sorted(now + seconds / speed for seconds in later):
        moment = world.moment("a", life)
        assert moment is not None
        seen.append(moment)
    for before, after in pairwise(seen):
        assert after.run >= before.run
        if after.run == before.run:
            assert ORDER.index(after.phase) >= ORDER.index(before.phase)
            assert after.done >= before.done
            assert all(b >= a for a, b in zip(before.items, after.items, strict=True))


@given(lives, times, speeds, st.integers())
def test_times_are_in_order_and_never_in_the_future(life: Life, now: float, speed: float, seed: int) -> None:
    moment = World(speed, seed, lambda: now).moment("a", life)
    assert moment is not None
    told = [at for at in (moment.queued_at, moment.started_at, moment.ended_at) if at is not None]
    # A story second is a fraction of a real one; times near 2e9 resolve to less than a microsecond.
    assert all(before <= after + 1e-5 for before, after in pairwise([*told, now]))
    assert (moment.ended_at is None) == (moment.phase is not Phase.ENDED)
    assert 0 <= moment.done <= 1
    total, succeeded, failed = moment.items
    assert 0 <= succeeded + failed <= total


@given(times, st.integers(), st.integers(1, 20))
def test_earlier_runs_have_all_ended_even_those_that_hung(now: float, seed: int, back: int) -> None:
    world = World(1.0, seed, lambda: now)
    for life in (Life(), hanging(Phase.RUNNING), hanging(Phase.QUEUED), ended(End.FAILED)):
        newest = world.moment("a", life)
        assert newest is not None
        if newest.run > back:
            earlier = world.moment("a", life, newest.run - back)
            assert earlier is not None
            assert earlier.phase is Phase.ENDED


def test_there_is_no_run_zero_and_none_after_the_newest() -> None:
    world = World(1.0, 0, lambda: NOON)
    newest = world.moment("a", Life())
    assert newest is not None
    assert world.moment("a", Life(), 0) is None
    assert world.moment("a", Life(), newest.run + 1) is None
    assert world.moment("a", Life(), newest.run) == newest


def test_a_busy_job_goes_through_its_phases_again_and_again() -> None:
    clock = Clock()
    world = World(1.0, 3, clock)
    seen: list[tuple[int, Phase]] = []
    for second in range(0, 45 * 60, 5):
        clock.now = NOON + second
        moment = world.moment("a", Life())
        assert moment is not None
        if not seen or seen[-1] != (moment.run, moment.phase):
            seen.append((moment.run, moment.phase))
    runs = sorted({run for run, _ in seen})[1:-1]
    assert len(runs) >= 2
    for run in runs:
        phases = [phase for seen_run, phase in seen if seen_run == run]
        assert phases[0] is Phase.QUEUED
        assert phases[1] is Phase.RUNNING
        assert phases[-1] is Phase.ENDED
        assert phases == sorted(phases, key=ORDER.index)


def test_most_runs_succeed_and_every_other_end_occurs() -> None:
    world = World(1.0, 0, lambda: NOON)
    ends = [moment.end for run in range(1, 1001) if (moment := world.moment("a", Life(), run))]
    assert 750 < ends.count(End.SUCCEEDED) < 920
    assert {End.WITH_ERRORS, End.FAILED, End.CANCELED} < set(ends)


def test_a_stuck_run_makes_no_progress_for_hours() -> None:
    world = World(1.0, 0, clock := Clock())
    before = world.moment("a", hanging(Phase.RUNNING))
    clock.now += 3 * HOUR
    after = world.moment("a", hanging(Phase.RUNNING))
    assert before is not None
    assert after is not None
    assert after.phase is Phase.RUNNING
    assert 0 < after.done == before.done < 1
    assert after.started_at == before.started_at


def test_runs_of_a_life_take_one_to_ten_minutes() -> None:
    world = World(1.0, 0, lambda: NOON)
    for run in range(1, 300):
        moment = world.moment("a", Life(ends=((End.SUCCEEDED, 1),)), run)
        assert moment is not None
        assert moment.started_at is not None
        assert moment.ended_at is not None
        assert MINUTE - 1e-3 <= moment.ended_at - moment.started_at <= 10 * MINUTE


@given(st.integers(), st.integers(1, 100))
def test_speed_shortens_lives_and_nothing_else(seed: int, run: int) -> None:
    slow = World(1.0, seed, lambda: NOON).moment("a", Life(), run)
    fast = World(20.0, seed, lambda: NOON).moment("a", Life(), run)
    assert slow is not None
    assert fast is not None
    assert (fast.end, fast.items) == (slow.end, slow.items)
    assert slow.started_at is not None
    assert slow.ended_at is not None
    assert fast.started_at is not None
    assert fast.ended_at is not None
    difference = (slow.ended_at - slow.started_at) / 20 - (fast.ended_at - fast.started_at)
    assert abs(difference) < 1e-3


def test_another_seed_gives_other_runs() -> None:
    lives_of = [
        [World(1.0, seed, lambda: NOON).moment("a", Life(), run) for run in (1, 2, 3)] for seed in (1, 2)
    ]
    assert lives_of[0] != lives_of[1]


@given(times, st.floats(0.5, 100))
def test_windows_follow_each_other_and_tell_how_long_they_last(now: float, speed: float) -> None:
    clock = Clock(now)
    world = World(speed, 0, clock)
    index, left = world.window("w", 60, 20, 40)
    assert 0 < left <= (60, 20, 40)[index] / speed
    clock.now += left + 1e-3
    assert world.window("w", 60, 20, 40)[0] == (index + 1) % 3


def test_every_live_run_ends_before_the_next_begins() -> None:
    for part in PARTS:
        life = part.life
        if life.hang is None:
            assert life.queue[1] + life.work[1] + 40 < life.every
