"""The page of all jobs and the same as data: what is shown, and that looking asks no vendor."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import msgspec
import pytest
import requests
from jsonschema import Draft202012Validator, ValidationError

from exporter.model.failure import Reason
from exporter.model.job import Items
from exporter.views import Filters, JobList, JobReport, problem
from exporter.web.environment import address, items
from exporter.web.job_pages import JOBS_PER_PAGE, OLD_SECONDS, Known, render_jobs
from exporter.web.static_files import StaticFiles
from exporter.web.templates import Templates, root_of
from tests.clock import FakeClock
from tests.vendor import Asked, Exporter, Told, caps, caps_config, exporter, vendor
from tests.web.pages import Page

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "jobs.schema.json"
NOW = 1.8e9
EVERYTHING = Filters()
TEMPLATES = Templates(StaticFiles().paths)
HOSTILE = "<script>alert(1)</script>"


STATUSES = {
    "0": Told(caps("Succeeded")),
    "1": Told(caps("Failed", failed_count=2)),
    "2": Told(caps("Running", job_progress=0.25)),
    "3": Told(status=403),
}


def by_number(asked: Asked) -> Told:
    number = re.search(r"/([0-3])(/|\?|$)", asked.path)
    return STATUSES[number[1] if number else "0"]


def config(url: str, jobs: int = 4) -> str:
    return "systems:\n" + caps_config(url, jobs, more="labels: {squad: docs}")


async def page(running: Exporter, path: str = "/jobs") -> Page:
    answer = await running.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    return Page(answer.text)


async def post(running: Exporter, **headers: str) -> requests.Response:
    return await asyncio.to_thread(
        requests.post, running.url + "/jobs", headers=headers, timeout=60, allow_redirects=False
    )


async def test_looking_asks_no_vendor_and_only_a_button_reads_once(tmp_path: Path) -> None:
    async with vendor(by_number) as docs, exporter(config(docs.url), tmp_path) as running:
        shown = await page(running)
        assert "No job has been read yet." in shown.text
        assert "4 not read yet" in shown.words
        assert {"method": "post", "action": "jobs"} in shown.all("form")
        await running.get("/jobs.json")
        assert docs.asked == []
        assert (await post(running, Origin="https://evil.example")).status_code == 403
        assert docs.asked == []
        read = await post(running, Origin=running.url)
        assert (read.status_code, read.headers["Location"]) == (303, "jobs")
        assert len(docs.asked) == 4
        shown = await page(running)
        assert "No job has been read yet." not in shown.text
        assert all(form["method"] == "get" for form in shown.all("form"))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS"])
async def test_other_methods_are_refused_with_those_that_are_allowed(method: str, tmp_path: Path) -> None:
    async with exporter(config("http://127.0.0.1:1"), tmp_path) as running:
        answer = await asyncio.to_thread(requests.request, method, running.url + "/jobs", timeout=60)
        assert answer.status_code == 405
        assert {word.strip() for word in answer.headers["Allow"].split(",")} == {"GET", "HEAD", "POST"}


async def test_the_button_of_an_old_page_reads_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    async with vendor(by_number) as docs, exporter(config(docs.url), tmp_path, clock=clock) as running:
        await running.scrape()
        clock.turn(3600)
        before = len(docs.asked)
        assert (await post(running)).status_code == 303
        assert len(docs.asked) == before


async def test_jobs_are_shown_trouble_first_with_word_sign_progress_and_next_step(tmp_path: Path) -> None:
    async with vendor(by_number) as docs, exporter(config(docs.url), tmp_path) as running:
        await running.scrape()
        shown = await page(running)
        rows = [row["data-key"] for row in shown.all("tr") if "data-key" in row]
        assert rows == [f"docs/p/{number}/en" for number in (1, 3, 2, 0)]
        for words in ("✖ failed", "⚠ unreadable", "▶ running", "✔ succeeded", "25%", "4 of 4 jobs"):
            assert words in shown.words
        sentences = problem(Reason.FORBIDDEN)
        assert f"{sentences.sentence} HTTP status 403 {sentences.next_step} forbidden" in shown.words
        assert sentences.docs in shown.links
        assert [bar["value"] for bar in shown.all("progress")] == ["0.25"]
        assert shown.all("main")[0]["data-refresh"] == "10"


async def test_counts_on_top_are_links_that_filter_and_the_filters_stay_in_the_address(
    tmp_path: Path,
) -> None:
    async with vendor(by_number) as docs, exporter(config(docs.url), tmp_path) as running:
        await running.scrape()
        shown = await page(running, "/jobs?text=p/&system=docs&label=squad%3Ddocs")
        link = next(href for href, text in shown.links.items() if text.endswith("1 failed"))
        filtered = await page(running, "/" + link)
        assert [row["data-key"] for row in filtered.all("tr") if "data-key" in row] == ["docs/p/1/en"]
        assert "1 of 4 jobs" in filtered.text
        assert {"type": "search", "name": "text", "value": "p/", "maxlength": "256"} in filtered.all("input")
        assert any(text.endswith("1 running") for text in filtered.links.values())
        nothing = await page(running, "/jobs?text=nothing")
        assert "No job matches." in nothing.text


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("colour=red", "unknown parameter; allowed are text, system, state, label\n"),
        ("label=x", "label: allowed is NAME=VALUE\n"),
        ("page=x", "page: allowed is a number\n"),
        ("page=1&page=2", "page: allowed is a number\n"),
        ("page=%D9%A1", "page: allowed is a number\n"),
        ("text=%ff", "the query cannot be read: allowed are up to 50 parameters in UTF-8\n"),
    ],
)
async def test_a_filter_that_cannot_be_used_is_refused_in_one_line(
    query: str, error: str, tmp_path: Path
) -> None:
    async with vendor(by_number) as docs, exporter(config(docs.url, 1), tmp_path) as running:
        answer = await running.get(f"/jobs?{query}")
        assert (answer.status_code, answer.text) == (400, error)
        if not query.startswith("page"):
            assert (await running.get(f"/jobs.json?{query}")).text == error


async def test_the_same_as_data_has_the_documented_form_and_all_filters(tmp_path: Path) -> None:
    async with vendor(by_number) as docs, exporter(config(docs.url), tmp_path) as running:
        await running.scrape()
        answer = await running.get("/jobs.json")
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Content-Encoding"] == "gzip"
        everything = msgspec.json.decode(answer.content, type=JobList)
        assert everything.counts == {"failed": 1, "unreadable": 1, "running": 1, "succeeded": 1}
        assert [job.state for job in everything.jobs] == [*everything.counts]
        assert everything.jobs[1].problem == problem(Reason.FORBIDDEN, "HTTP status 403")
        some = msgspec.json.decode((await running.get("/jobs.json?state=failed")).content, type=JobList)
        assert (some.total, some.counts, some.jobs) == (4, everything.counts, everything.jobs[:1])


async def test_the_data_is_as_the_published_schema_describes_it(tmp_path: Path) -> None:
    schema = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    more = """
  site:
    provider: json
    base_url: URL/site
    read: {path: '/{id}', state: s, step: s, progress: p, items: n, items_failed: n, states: {running: [R]}}
    jobs: [{id: a, name: A}]
    discover: {path: /no/3, items: '@', keys: {id: id}}
"""
    async with (
        vendor(
            lambda asked: Told({"s": "R", "p": 0.5, "n": 7}) if "site/a" in asked.path else by_number(asked)
        ) as docs,
        exporter(config(docs.url) + more.replace("URL", docs.url), tmp_path) as running,
    ):
        schema.validate((await running.get("/jobs.json")).json())
        await running.scrape()
        data = (await running.get("/jobs.json")).json()
        shown = await page(running)
    schema.validate(data)
    assert {job["state"] for job in data["jobs"]} == {"failed", "unreadable", "running", "succeeded"}
    assert [each["system"] for each in data["unlisted"]] == ["site"]
    assert "Jobs of site may be missing: its listing fails. The account has no right" in shown.words
    # It describes every field, with its type.
    for part in (data, data["unlisted"][0], data["jobs"][1], data["jobs"][1]["problem"]):
        for name in part:
            with pytest.raises(ValidationError):
                schema.validate(json.loads(json.dumps(data).replace(f'"{name}":', '"other":')))


async def test_without_jobs_the_page_shows_whether_the_listing_is_unread_or_failed_or_empty(
    tmp_path: Path,
) -> None:
    listing = [Told(status=401)]
    text = """
systems:
  site:
    provider: json
    base_url: URL
    read: {path: '/{id}', state: s}
    discover: {path: /list, items: '@', keys: {id: id}, interval: 1ms}
defaults: {min_interval: 0s}
"""
    async with (
        vendor(lambda _: listing[-1]) as site,
        exporter(text.replace("URL", site.url), tmp_path) as running,
    ):

        async def seen() -> list[bool]:
            words = (await page(running)).words
            texts = ("No job has been read yet.", "Jobs of site may be missing", "No job is watched")
            return [text in words for text in texts]

        assert "0 of 0no job found yet" in (await page(running, "/")).words
        assert await seen() == [True, False, False]
        await running.scrape()
        assert await seen() == [False, True, False]
        listing.append(Told([]))
        await running.scrape()
        assert await seen() == [False, False, True]
        assert "0 of 0no job found yet" in (await page(running, "/")).words


async def test_without_a_match_the_data_is_an_empty_list(tmp_path: Path) -> None:
    async with vendor(by_number) as docs, exporter(config(docs.url, 1), tmp_path) as running:
        found = msgspec.json.decode((await running.get("/jobs.json?text=x")).content, type=JobList)
        assert (found.total, found.counts, found.jobs) == (1, {}, [])


async def test_a_page_that_nothing_has_fed_for_long_says_so(tmp_path: Path) -> None:
    clock = FakeClock()
    async with vendor(by_number) as docs, exporter(config(docs.url), tmp_path, clock=clock) as running:
        await running.scrape()
        clock.turn(OLD_SECONDS + 1)
        assert "Nothing has read a job for 5 min 1 s." in (await page(running)).text


async def test_every_address_of_a_page_works_under_a_prefix(tmp_path: Path) -> None:
    async with vendor(by_number) as docs, exporter(config(docs.url), tmp_path) as running:
        await running.scrape()
        shown = await page(running)
        addresses = [
            value
            for _, attributes in shown.elements
            for name, value in attributes.items()
            if name in ("href", "src", "action") and value is not None
        ]
        assert len(addresses) > 10
        for each in addresses:
            whole = urljoin("https://proxy.example/prefix/jobs", each)
            docs_ = each.startswith("https://github.com/remote-job-exporter/")
            assert docs_ or whole.startswith("https://proxy.example/prefix/"), each
        # Nothing that the Content-Security-Policy forbids.
        assert not shown.all("style")
        assert all("src" in script for script in shown.all("script"))
        assert not [name for _, attributes in shown.elements for name in attributes if name.startswith("on")]
        assert not [True for _, attributes in shown.elements if "style" in attributes]


async def test_style_script_and_icon_are_served_once_for_each_version(tmp_path: Path) -> None:
    async with vendor(by_number) as docs, exporter(config(docs.url), tmp_path) as running:
        shown = await page(running)
        paths = [
            *(link["href"] for link in shown.all("link")),
            *(script["src"] for script in shown.all("script")),
        ]
        assert len(paths) == 3
        for path in paths:
            got = await running.get(f"/{path}")
            assert (got.status_code, got.headers["Cache-Control"]) == (200, "max-age=31536000, immutable")
            again = await running.get(f"/{path}", **{"If-None-Match": got.headers["ETag"]})
            assert (again.status_code, again.content) == (304, b"")
            other = await running.get(f"/{str(path).partition('?')[0]}?v=other")
            assert (other.status_code, other.headers["Cache-Control"]) == (200, "no-cache")
        assert (await running.get("/static/other.css")).status_code == 404


def report(**fields: Any) -> JobReport:
    known = {"system": "docs", "job_id": "a", "name": "", "provider": "caps", "kind": "slot"}
    return JobReport(**{**known, **fields})


def shown(*jobs: JobReport, filters: Filters = EVERYTHING, page: int = 1) -> str:
    known = Known(jobs, ("docs",), {}, NOW, unread=False)
    return render_jobs(TEMPLATES, "./", known, filters, page).decode()


def test_the_form_keeps_filters_for_which_it_has_no_field() -> None:
    given = [("text", "a b"), ("system", "docs"), ("system", "x"), ("state", "failed"), ("state", "idle")]
    given += [("label", "a=b=c"), ("label", "d=")]
    html = shown(report(read_at=NOW), filters=Filters.parse(given))
    page = Page(html)
    fields = [(field["name"], field["value"]) for field in page.all("input")]
    fields += [("system", "docs")] if "<option selected>docs</option>" in html else []
    fields += [
        ("state", option["value"])
        for option in page.all("option")
        if "selected" in option and "value" in option
    ]
    assert sorted(fields) == sorted(given)


@pytest.mark.parametrize("text", [HOSTILE, "\"'><img src=x onerror=alert(1)>", "{{ 7 * 7 }}", "a\u202eb"])
def test_hostile_names_are_text(text: str) -> None:
    job = report(name=text, job_id=text, system=text, word=text, step=text, state="running")
    plain = Page(shown(report(name="x", word="x", step="x", state="running")))
    hostile = Page(shown(job))
    assert hostile.text.count(text) == 4
    assert [name for name, _ in plain.elements] == [name for name, _ in hostile.elements]


def many() -> list[JobReport]:
    uuid = "5deff363-2bde-473e-8479-ea9ce1c4a6bc"
    return [
        report(
            job_id=f"{uuid}/{uuid}--promote/{number}",
            name=f"Documentation of product {number:04}, live",
            labels={"squad": "docs"},
            state="unreadable" if number % 2 else "running",
            word="InProgress",
            step="Assembling",
            progress=0.5,
            items=Items(total=12000, processed=6000, failed=12, skipped=3),
            since=NOW - 4000,
            expected_seconds=3600,
            read_at=NOW - 5,
            last_success=NOW - 90000,
            problem=problem(Reason.CONNECT) if number % 2 else None,
        )
        for number in range(5000)
    ]


def test_each_page_of_5000_jobs_stays_below_100_kb_and_leads_to_all_of_them() -> None:
    jobs, seen, link = many(), list[str](), "jobs"
    pages = 0
    while link:
        pages += 1
        html = shown(*jobs, page=pages)
        assert len(html.encode()) < 100_000
        page = Page(html)
        seen += [str(row["data-key"]) for row in page.all("tr") if "data-key" in row]
        assert f"Page {pages} of {-(-5000 // JOBS_PER_PAGE)}" in page.words
        link = next((str(link["href"]) for link in page.all("a") if link.get("rel") == "next"), "")
        assert link in ("", f"jobs?page={pages + 1}")
    assert sorted(seen) == sorted(f"docs/{job.job_id}" for job in jobs)
    assert "Page 63 of 63" in Page(shown(*jobs, page=999)).words


def test_a_late_run_is_marked_in_words() -> None:
    html = shown(report(state="running", since=NOW - 4000, expected_seconds=3600, read_at=NOW))
    assert "1 h 6 min of 1 h, late" in Page(html).words


@pytest.mark.parametrize(
    ("job_id", "path"),
    [
        ("a/b", "jobs/docs/a/b"),
        ("a//b", "jobs/docs/a//b"),
        ("/", "jobs/docs//"),
        ("a?b#c%2F ü", "jobs/docs/a%3Fb%23c%252F%20%C3%BC"),
        (HOSTILE, "jobs/docs/%3Cscript%3Ealert%281%29%3C/script%3E"),
    ],
)
def test_the_address_of_a_job_contains_its_id(job_id: str, path: str) -> None:
    assert address("docs", job_id) == path


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        (Items(), ""),
        (Items(total=300, processed=120, failed=3), "120 of 300 items, 3 failed"),
        (Items(total=1234567), "1,234,567 items"),
        (Items(succeeded=5, failed=0, skipped=2, deleted=1), "7 items, 2 skipped, 1 deleted"),
        (Items(failed=2), "2 items, 2 failed"),
    ],
)
def test_items_are_shown_as_far_as_they_are_reported(counts: Items, text: str) -> None:
    assert ", ".join(text for _, text in items(report(items=counts))) == text
    assert text in Page(shown(report(items=counts, state="running"))).words


def test_a_full_bar_is_shown_only_while_the_job_is_in_progress() -> None:
    for state, progress, bars in (
        ("running", 1.0, 1),
        ("running", None, 0),
        ("failed", 0.4, 1),
        ("succeeded", 1.0, 0),
    ):
        assert len(Page(shown(report(state=state, progress=progress))).all("progress")) == bars, state


def test_a_problem_is_explained_once_for_jobs_of_a_system_that_have_the_same() -> None:
    def failing(system: str, job_id: str, reason: Reason) -> JobReport:
        found = problem(reason, f"detail of {job_id}")
        return report(system=system, job_id=job_id, state="unreadable", problem=found)

    jobs = [
        failing("a", "a0", Reason.DNS),
        failing("a", "a1", Reason.DNS),
        failing("a", "a2", Reason.TLS),
        failing("b", "b0", Reason.TLS),
    ]
    words = Page(shown(*jobs, report(job_id="c"))).words
    for reason, times in ((Reason.DNS, 1), (Reason.TLS, 2)):
        one = problem(reason)
        assert [words.count(text) for text in (one.sentence, one.next_step)] == [times, times]
    assert all(f"detail of {job.job_id}" in words for job in jobs)


@pytest.mark.parametrize(("path", "root"), [(b"/", "./"), (b"/jobs", "./"), (b"/jobs/docs/a/b", "../../../")])
def test_the_root_of_a_page_is_relative(path: bytes, root: str) -> None:
    assert root_of(path) == root
