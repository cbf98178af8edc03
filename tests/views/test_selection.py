"""Order, filters and counts of jobs, and the words for times."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.model.job import State
from exporter.views import (
    STATES,
    UNREADABLE,
    FilterError,
    Filters,
    JobReport,
    ago,
    duration,
    percent,
    select,
)
from exporter.views.selection import MAX_FILTER_LENGTH, MAX_FILTERS
from grafana.source import queries


def job(state: str, name: str = "", system: str = "docs", **labels: str) -> JobReport:
    return JobReport(system, f"id-{name}", name, "caps", "slot", labels=labels, state=state, word="Busy")


def test_trouble_comes_first_then_what_is_in_progress_then_system_and_name() -> None:
    first = [
        job("failed", "z"),
        job(UNREADABLE, "y"),
        job("stopped", "a"),
        job("unknown", "b"),
        job("succeeded_with_errors"),
        job("canceling"),
        job("running", "A"),
        job("running", "b"),
        job("queued"),
        job("succeeded", "b", "a"),
        job("idle", "a", "b"),
        job("canceled", "c", "b"),
        job("unread", "d", "b"),
    ]
    mixed = first.copy()
    random.Random(4).shuffle(mixed)
    assert select(mixed, Filters()).jobs == first


def test_the_dashboards_have_the_same_order() -> None:
    words = {code: state.value for code, state in enumerate(State)} | {queries.UNREADABLE: UNREADABLE}
    assert queries.RANKS.keys() == words.keys()
    # Two names for each: if states have the same place, their jobs are in the order of the names.
    jobs = [job(word, name) for word in words.values() for name in ("a", "b")]
    ranks = {word: queries.RANKS[code] for code, word in words.items()}
    shown = [(ranks[each.state], each.name) for each in select(jobs, Filters()).jobs]
    assert shown == sorted(shown)


def test_counts_leave_out_the_filter_by_state_so_that_each_can_be_chosen() -> None:
    jobs = [job("failed"), job("running", system="site"), job("running"), job("idle")]
    found = select(jobs, Filters(systems=("docs",), states=("failed",)))
    assert (found.jobs, found.counts, found.total) == ([jobs[0]], {"failed": 1, "running": 1, "idle": 1}, 4)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ([("text", "LIVE docs")], ["Docs live"]),
        ([("text", "busy")], ["Docs live", "Site"]),
        ([("text", "id-Site")], ["Site"]),
        ([("label", "squad=x")], ["Docs live"]),
        ([("label", "squad=x"), ("label", "squad=y")], []),
        ([("system", "docs"), ("system", "site")], ["Docs live", "Site"]),
        ([("system", "other")], []),
        ([("state", "failed"), ("state", "idle")], ["Docs live"]),
        ([("text", ""), ("system", ""), ("state", ""), ("label", "")], ["Docs live", "Site"]),
    ],
)
def test_a_job_is_shown_if_it_matches_all_filters(query: list[tuple[str, str]], names: list[str]) -> None:
    jobs = [job("failed", "Docs live", squad="x"), job("running", "Site", "site", squad="y")]
    assert [each.name for each in select(jobs, Filters.parse(query)).jobs] == names


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ([("colour", "red")], "unknown parameter; allowed are text, system, state, label"),
        ([("state", "broken")], "state: allowed are failed, unreadable"),
        ([("label", "squad")], "label: allowed is NAME=VALUE"),
        ([("label", "=x")], "label: allowed is NAME=VALUE"),
        ([("text", "x" * (MAX_FILTER_LENGTH + 1))], "text: is too long; allowed are 256 characters"),
        ([("system", "x")] * (MAX_FILTERS + 1), "too many filters: allowed are 20"),
    ],
)
def test_a_filter_that_cannot_be_used_is_an_error_that_says_what_is_allowed(
    query: list[tuple[str, str]], error: str
) -> None:
    with pytest.raises(FilterError, match=error.partition(";")[0]):
        Filters.parse(query)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["text", "system", "state", "label", "x"]) | st.text(), st.text())))
def test_any_query_is_filters_or_an_error_in_one_line(pairs: list[tuple[str, str]]) -> None:
    error = ""
    try:
        select([job("failed", "Docs", squad="x")], Filters.parse(pairs))
    except FilterError as refused:
        error = str(refused)
    assert error.isprintable()


WORDS = st.text(min_size=1, max_size=8).map(lambda text: " ".join(text.split())).filter(bool)


@settings(max_examples=40)
@given(
    st.builds(
        Filters,
        text=st.one_of(st.just(""), WORDS),
        systems=st.lists(WORDS, max_size=3, unique=True).map(tuple),
        states=st.lists(st.sampled_from(STATES), max_size=3, unique=True).map(tuple),
        labels=st.lists(
            st.tuples(WORDS.filter(lambda name: "=" not in name), st.text(max_size=4)), max_size=3
        ).map(tuple),
    )
)
def test_the_query_of_filters_is_read_as_the_same_filters(filters: Filters) -> None:
    assert Filters.parse(filters.pairs()) == filters


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (86400, "1 d"),
        (90061, "1 d 1 h"),
        (10**12, "11574074 d 1 h"),
    ],
)
def test_durations_have_at_most_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_times_and_ratios_are_rounded_so_that_nothing_is_promised() -> None:
    assert (ago(None, 5), ago(5, 65)) == ("never", "1 min ago")
    words = [percent(ratio) for ratio in (0, 0.001, 0.29, 0.999, 1)]
    assert words == ["0%", "1%", "29%", "99%", "100%"]
