"""The table of jobs in a terminal: what fits, in which order, and whatever the names are."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from exporter.cli.demo import first_screen
from exporter.cli.job_table import notes, page, table
from exporter.model.failure import Reason
from exporter.model.job import Items, State
from exporter.views import (
    STATES,
    UNREAD,
    UNREADABLE,
    Filters,
    JobReport,
    Selection,
    Unlisted,
    problem,
    select,
)

NOW = 1.8e9
HOSTILE = (
    "a\x1b[31mred\x1b[0m",
    "a\r\nb\tc\x9b2J",
    "right \u202eto left",
    "שלום עולם",
    "مرحبا بالعالم",
    "日本語の名前はとても長い" * 4,
    "e" + "\u0301" * 500,
    "👩‍👩‍👧‍👦 family 👍🏽 ❤️",
    "\u200b\u2028\ufeff",
    "[bold]markup[/bold] :smile:",
    "x" * 5000,
    "\ud800",
)


def job(name: str = "Site", state: str = "running", **fields: Any) -> JobReport:
    known = JobReport("web", name, name, "caps", "slot", state=state, since=NOW - 200, read_at=NOW - 5)
    return replace(known, **fields)


def whole(jobs: list[JobReport], width: int, height: int | None = None, **counts: int) -> list[str]:
    """The page of these jobs."""
    return [line.plain for line in page(Selection(jobs, counts, len(jobs)), (), NOW, width, height)]


FULL = job(
    "Corporate site",
    word="publishing",
    step="upload",
    progress=0.45,
    items=Items(total=100, processed=45, failed=2, skipped=1),
    expected_seconds=100.0,
    last_success=NOW - 7300,
)
ALL = "STATE SYSTEM JOB PROGRESS FOR EXPECTED ITEMS DETAILS READ LAST SUCCESS"
BROKEN = job("Campaigns", UNREADABLE, problem=problem(Reason.RATE_LIMITED, "HTTP status 429"))


def shown(*jobs: JobReport, width: int, height: int | None = None) -> list[str]:
    return [line.plain for line in table(jobs, NOW, width, height)]


def test_at_200_columns_all_is_shown() -> None:
    header, row = shown(FULL, width=200)
    assert " ".join(header.split()) == ALL
    assert " ".join(row.split()) == (
        "▶ running web Corporate site ━━━━────── 45% 3 min late 1 min 40 s 45/100, 2 failed, 1 skipped "
        "publishing (upload) 5 s ago 2 h 1 min ago"
    )


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (200, ALL),
        (120, "STATE SYSTEM JOB PROGRESS FOR EXPECTED ITEMS DETAILS READ"),
        (100, "STATE SYSTEM JOB PROGRESS FOR DETAILS READ"),
        (80, "STATE SYSTEM JOB PROGRESS FOR"),
        (60, "STATE SYSTEM JOB % FOR"),
        (40, "STATE JOB %"),
        (20, "JOB"),
    ],
)
def test_columns_go_in_a_fixed_order_where_the_terminal_is_narrow(width: int, columns: str) -> None:
    lines = shown(FULL, BROKEN, width=width)
    assert lines[0].split() == columns.split()
    assert all(cell_len(line) <= width for line in lines)


def test_a_long_name_is_cut_with_an_ellipsis_and_never_wraps() -> None:
    _, row, other = shown(job("long name " * 20), FULL, width=80)
    assert "long name long na" in row
    assert "…" in row
    assert "Corporate site" in other


def test_a_column_without_any_value_is_left_out() -> None:
    header, *_ = shown(job(word=""), width=200)
    assert header.split() == ["STATE", "SYSTEM", "JOB", "FOR", "READ"]


@pytest.mark.parametrize("state", STATES)
def test_each_state_is_a_word_and_a_shape_of_its_own(state: str) -> None:
    cells = {shown(job(state=each), width=40)[1].partition("Site")[0].strip() for each in STATES}
    assert len(cells) == len({cell[0] for cell in cells}) == len({cell[1:] for cell in cells}) == len(STATES)
    (cell,) = {shown(job(state=state), width=40)[1].partition("Site")[0].strip()}
    assert "…" not in cell


def test_the_last_line_counts_what_the_height_leaves_out() -> None:
    jobs = [job(f"Site {number}", State.IDLE) for number in range(50)]
    lines = shown(*jobs, width=80, height=10)
    assert len(lines) == 10
    assert lines[-1] == "… and 42 more: 42 idle"
    assert len(shown(*jobs, width=80, height=51)) == 51
    assert "more" not in shown(*jobs, width=80, height=51)[-1]


def test_old_failures_do_not_hide_what_is_running() -> None:
    jobs = [*(job(f"Bad {number}", State.FAILED) for number in range(50)), job("Now 1"), job("Now 2")]
    lines = shown(*jobs, width=80, height=11)
    assert [line.split()[1] for line in lines[1:-1]] == ["failed"] * 7 + ["running"] * 2
    assert lines[-1] == "… and 43 more: 43 failed"


def test_a_failed_read_shows_its_reason_at_80_columns_and_the_next_step_below() -> None:
    lines = whole([BROKEN], 80, unreadable=1)
    assert lines[0] == "1 job  ⚠ 1 unreadable"
    assert "rate_limited" in lines[2]
    text = " ".join(" ".join(lines[3:]).split())
    assert text.startswith("⚠ rate_limited (1 job): The vendor got too many requests. Wait; ")


def test_a_job_that_is_not_read_yet_says_so() -> None:
    header, row = shown(job(state=UNREAD, since=None, read_at=None), width=80)
    assert row.split() == ["·", "not", "read", "web", "Site"]
    assert "READ" not in header


def test_without_jobs_one_line_says_so() -> None:
    assert shown(width=80) == ["No jobs. The command list shows what the listing of a system finds."]


def test_a_name_from_right_to_left_does_not_move_the_numbers_beside_it() -> None:
    _, row = shown(job("שלום", progress=0.5), width=40)
    assert "שלום\u200e " in row


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_name_is_harmless(name: str, width: int) -> None:
    problems = problem(Reason.CONNECT, name)
    lines = whole([job(name, word=name), job(name, UNREADABLE, problem=problems)], width)
    assert not any(character in "".join(lines) for character in "🏽️\x1b\x9b\r\n\t\u202e\u2028\ud800")
    assert all(cell_len(line) <= width for line in lines)
    assert len([line for line in lines if "running" in line]) == 1


REPORTS = st.builds(
    job,
    st.one_of(st.text(max_size=60), st.sampled_from(HOSTILE)),
    st.one_of(st.sampled_from(STATES), st.text(max_size=10)),
    system=st.text(max_size=20),
    word=st.text(max_size=30),
    progress=st.one_of(st.none(), st.floats(allow_nan=False)),
    since=st.one_of(st.none(), st.floats(-1e300, 1e300)),
    expected_seconds=st.one_of(st.none(), st.floats(0, 1e300)),
    items=st.builds(Items, st.none() | st.integers(), failed=st.none() | st.integers()),
    problem=st.none() | st.builds(problem, st.sampled_from(Reason), st.text(max_size=80)),
)


@given(jobs=st.lists(REPORTS, max_size=6), width=st.integers(20, 220), height=st.none() | st.integers(3, 40))
@settings(max_examples=60, deadline=None)
def test_whatever_the_jobs_are_the_lines_fit(jobs: list[JobReport], width: int, height: int | None) -> None:
    lines = whole(jobs, width, height)
    assert all(cell_len(line) <= width for line in lines)
    assert all(line.isprintable() for line in (line.replace("\u200e", "") for line in lines))
    assert height is None or len(lines) <= height


def test_ten_thousand_jobs_fit_a_terminal_trouble_first() -> None:
    jobs = [job(f"Site {number}", STATES[number % len(STATES)]) for number in range(10_000)]
    selection = select(jobs, Filters())
    lines = [line.plain for line in page(selection, (), NOW, 80, 24)]
    assert len(lines) == 24
    assert lines[0].startswith("10000 jobs  ✖ 834 failed  ⚠ 834 unreadable")
    assert lines[-1].startswith("… and 9981 more: ")
    assert [line.split()[1] for line in lines[4:-1]] == ["failed"] * 13 + ["canceling"] * 6


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (60, 40)])
def test_the_first_screen_of_the_demo_fits_with_its_first_line(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With the path of an interpreter, the last lines have any length.
    monkeypatch.setattr("sys.argv", ["remote-job-exporter", "demo"])
    jobs = [job(f"Site {number}", STATES[number % len(STATES)]) for number in range(100)]
    address = "http://127.0.0.1:10072"
    selection = select([*jobs, BROKEN], Filters())
    lines = [line.plain for line in first_screen(address, address, selection, (), width, height)]
    assert sum(max(1, -(-cell_len(line) // width)) for line in lines) == height
    assert lines[0] == f"Open {address}/jobs to see these jobs in a browser."
    if width >= 80:
        assert len(lines) == height


def test_the_commonest_reasons_are_explained_first() -> None:
    reasons = [Reason.DNS, Reason.TLS, Reason.TLS, Reason.AUTH, Reason.AUTH, Reason.AUTH, Reason.TIMEOUT]
    lines = [line.plain for line in notes([job(problem=problem(reason)) for reason in reasons], (), 1000)]
    assert [line.split(":")[0] for line in lines] == ["⚠ auth (3 jobs)", "⚠ tls (2 jobs)", "⚠ dns (1 job)"]


def test_a_system_whose_jobs_cannot_be_listed_is_shown_although_it_has_no_job() -> None:
    missing = [Unlisted("xmc", problem(Reason.UNAUTHORIZED, "HTTP status 401"))]
    lines = [line.plain for line in page(Selection([], {}, 0), missing, NOW, 80, 24)]
    assert lines[:3] == [
        "0 jobs",
        "⚠ xmc: its jobs cannot be listed (unauthorized: HTTP status 401)",
        "No jobs. The command list shows what the listing of a system finds.",
    ]
    assert lines[4].startswith("⚠ unauthorized (1 system): The vendor does not accept the credential. Check")


def test_a_reason_is_explained_whole_or_not_at_all() -> None:
    bad = [job(str(reason), UNREADABLE, problem=problem(reason)) for reason in (Reason.DNS, Reason.CONNECT)]
    jobs = [*bad, *(job(f"Site {number}", State.IDLE) for number in range(50))]
    for height in range(5, 40):
        text = " ".join(whole(jobs, 80, height)).split("⚠ dns (1 job)")
        assert len(text) == 1 or "resolver of the machine." in " ".join(text[1].split())
        assert "⚠ connect" not in text[-1] or text[-1].endswith("the firewall and the proxy.")
    assert "⚠ connect (1 job)" in " ".join(whole(bad, 80, 24))


def test_no_count_is_cut_at_80_columns() -> None:
    selection = select([job(state=state) for state in STATES for _ in range(100)], Filters())
    lines = [line.plain for line in page(selection, (), NOW, 80, 24)]
    assert "…" not in "".join(lines[:2])
    assert all(f" 100 {word}" in " ".join(lines[:3]) for word in ("failed", "with errors", "not read"))
    assert len(lines) == 24
