"""Days of scrapes at odd moments, lived through in no time: when a job is asked and when it is not."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.model.failure import Failure, Reason
from exporter.model.job import State, Status
from exporter.model.pacing import Pace, Rules, Why
from tests.endurance.book import Book, Told

DAY = 86_400.0
LONG = settings(max_examples=25, deadline=None)


def quarters(least: float, most: float) -> st.SearchStrategy[float]:
    """Seconds that are added and compared without a rounding error."""
    return st.integers(int(least * 4), int(most * 4)).map(lambda number: number / 4)


@dataclass(frozen=True)
class Scrape:
    """One scrape: how long after the one before, and what its read would take and bring."""

    gap: float
    seconds: float
    brings: Status | Failure


RUNNING = st.builds(
    lambda state, percent: Status(state, progress=percent / 100),
    st.sampled_from([State.RUNNING, State.QUEUED]),
    st.sampled_from([0, 50, 51]),
)
ENDED = st.sampled_from([Status(State.SUCCEEDED, final=True), Status(State.FAILED, final=True)])
WAITS = st.none() | quarters(0, 120) | st.sampled_from([901.0, 1e9])
REFUSED = st.one_of(
    st.builds(lambda wait: Failure(Reason.RATE_LIMITED, status=429, retry_after=wait), WAITS),
    st.builds(lambda wait: Failure(Reason.SERVER_ERROR, status=503, retry_after=wait), WAITS),
    st.just(Failure(Reason.SERVER_ERROR, status=500, retry_after=60)),
    st.sampled_from([Failure(Reason.TIMEOUT), Failure(Reason.AUTH), Failure(Reason.INVALID_RESPONSE)]),
)
GAPS = st.one_of(quarters(0, 20), quarters(14, 16), quarters(29, 31), quarters(0, 1000), st.just(DAY))
SCRAPES = st.lists(st.builds(Scrape, GAPS, quarters(0, 8), RUNNING | ENDED | REFUSED), max_size=60)
RULES = st.builds(
    Rules,
    st.sampled_from([0.0, 0.5, 10.0, 60.0]),
    st.sampled_from([0.0, 30.0, 600.0]),
    st.sampled_from([(), (15.0, 30.0, 60.0, 120.0)]),
)


def told(brings: Status | Failure) -> Told:
    if isinstance(brings, Status):
        return Told((brings.state, brings.progress), final=brings.final)
    waits = brings.reason is Reason.RATE_LIMITED or brings.status == 503
    return Told(wait=brings.retry_after if waits else None)


def live(rules: Rules, scrapes: Sequence[Scrape]) -> tuple[Pace, Book]:
    """Each scrape asks the job if it may; the book is right about every one of them."""
    pace, book, now = Pace(rules), Book(rules), 0.0
    known: Status | None = None
    for scrape in scrapes:
        now += scrape.gap
        due = now >= book.due_at()
        assert (pace.why_not(now) is None) is due
        if not due:
            continue
        pace.asked(now)
        ended = now + scrape.seconds
        if isinstance(scrape.brings, Status):
            pace.read(known, scrape.brings)
            known = scrape.brings
        else:
            pace.failed(ended, scrape.brings)
        book.write(now, ended, told(scrape.brings))
        now = ended
    return pace, book


@given(RULES, SCRAPES)
def test_a_job_is_asked_as_soon_as_every_rule_has_passed_and_never_before(
    rules: Rules, scrapes: list[Scrape]
) -> None:
    pace, book = live(rules, scrapes)
    if book.reads:
        assert pace.why_not(book.due_at()) is None
        assert book.due_at() <= book.reads[-1][1] + max(900.0, rules.final_interval, rules.min_interval)


@given(RULES, SCRAPES, st.sampled_from([0.0, 0.25, 10.0, 599.0, DAY]))
def test_a_job_that_is_left_alone_is_told_why(rules: Rules, scrapes: list[Scrape], later: float) -> None:
    pace, book = live(rules, scrapes)
    now = max(0.0, book.asked_at) + later
    why = pace.why_not(now)
    last = book.reads[-1][2] if book.reads else Told()
    assert why in {
        None,
        *([Why.FINAL] if last.final and later < rules.final_interval else []),
        *([Why.FRESH] if later < rules.min_interval else []),
        *([Why.PACING] if last.wait or last.mark else []),
    }


def asked(rules: Rules, moments: Sequence[float]) -> list[float]:
    """When a job that is always readable is asked, if it is scraped at these moments."""
    pace, times, known = Pace(rules), [], None
    for now in sorted(moments):
        if pace.why_not(now) is None:
            pace.asked(now)
            status = Status(State.RUNNING, progress=0.5)
            pace.read(known, status)
            known = status
            times.append(now)
    return times


def server(every: float, offset: float, jitter: Sequence[float]) -> list[float]:
    """A day of one Prometheus, each scrape a little late."""
    count = int(DAY / every)
    return [offset + number * every + jitter[number % len(jitter)] for number in range(count)]


JITTER = st.lists(quarters(0, 0.5), min_size=1, max_size=7)


@LONG
@given(
    every=st.sampled_from([15.0, 30.0, 60.0]),
    share=st.sampled_from([0.55, 0.7, 0.95]),
    offset=st.floats(0, 1),
    one=JITTER,
    other=JITTER,
)
def test_a_second_prometheus_costs_nothing_where_min_interval_is_over_half_of_theirs(
    every: float, share: float, offset: float, one: list[float], other: list[float]
) -> None:
    rules = Rules(every * share, 600)
    first, second = server(every, 0, one), server(every, every * offset, other)
    alone = asked(rules, first)
    assert alone == first
    # One more: who of them comes first may change once, when they scrape just min_interval apart.
    assert len(asked(rules, first + second)) <= len(alone) + 1


@LONG
@given(
    least=st.sampled_from([5.0, 10.0, 25.0]),
    intervals=st.lists(st.sampled_from([5.5, 7.5, 15.0, 60.0, 61.0]), min_size=1, max_size=4),
    jitter=JITTER,
)
def test_however_many_scrape_a_vendor_is_asked_once_per_min_interval_at_most(
    least: float, intervals: list[float], jitter: list[float]
) -> None:
    moments = [moment for every in intervals for moment in server(every, every / 3, jitter)]
    times = asked(Rules(least, 600), moments)
    assert all(later - earlier >= least for earlier, later in pairwise(times))
    assert len(times) <= DAY / least + 1


@LONG
@given(jitter=JITTER, offset=quarters(0, 30))
def test_two_servers_ask_a_job_of_itwin_that_stands_still_no_more_often_than_its_steps_say(
    jitter: list[float], offset: float
) -> None:
    rules = Rules(10, 600, (15.0, 30.0, 60.0, 120.0))
    times = asked(rules, server(30, 0, jitter) + server(30, offset, jitter))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[0] >= 14
    assert gaps[1] >= 29
    assert all(gap >= 59 for gap in gaps[2:])
    assert all(119 <= gap <= 151 for gap in gaps[3:])
