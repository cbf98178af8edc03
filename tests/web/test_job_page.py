"""The page of one job, over real sockets."""

from pathlib import Path
from urllib.parse import quote, urljoin

import pytest

from exporter.cli.options import WebAddress
from exporter.service import Options, Service
from tests.clock import FakeClock
from tests.vendor import Asked, Exporter, Told, caps, caps_config, exporter, vendor
from tests.web.pages import Page

ID = "p/0/en"


def config(url: str, more: str = "") -> str:
    return "systems:\n" + caps_config(url, 1, more=f"labels: {{squad: docs}}\n{more}")


async def page(running: Exporter, path: str = f"/jobs/docs/{ID}") -> Page:
    answer = await running.get(path)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-cache"
    return Page(answer.text)


async def test_everything_known_of_a_job_is_shown_without_a_request(tmp_path: Path) -> None:
    answers = [
        Told(caps("Running", job_progress=0.5, categorized_count=[])),
        Told(status=503),
        Told(caps("Failed")),
    ]
    clock = FakeClock()
    text = config("URL", "min_interval: 10s\nexpect: {run_within: 1h}")
    async with (
        vendor(lambda _: answers[min(len(docs.asked), 3) - 1]) as docs,
        exporter(text.replace("URL", docs.url), tmp_path, clock=clock) as running,
    ):
        shown = await page(running)
        assert "This job has not been read yet." in shown.words
        assert "The next scrape reads it." in shown.words
        for _ in answers:
            await running.scrape()
            clock.turn(60)
        await running.scrape()
        clock.turn(4)
        shown = await page(running)
        assert len(docs.asked) == 4
        assert "✖ failed Failed" in shown.words
        history = shown.words.partition("State since the exporter started")[2]
        order = [history.index(word) for word in ("failed", "unreadable", "server_error", "running")]
        assert order == sorted(order)
        assert (
            "A scrape in 6 s or later reads it; not now because the last read is younger than" in shown.words
        )
        assert "4 s ago, by itself, in " in shown.words
        assert f"First requestGET {docs.url}{docs.asked[0].path}" in shown.words
        assert "RemoteJobFailed fires, due 1 min 4 s ago: the newest run" in shown.words
        assert "at most 1 h for a run" in shown.words
        assert f'remote_job_state_code{{system="docs", job_id="{ID}"}}' in shown.text
        assert shown.links["../../../../jobs?label=squad%3Ddocs"] == "squad=docs"
        assert "in Grafana" not in shown.text
        probe = next(link for link, text in shown.links.items() if text == "Read the job and explain it")
        whole = urljoin(f"{running.url}/jobs/docs/{ID}", probe)
        assert (await running.get(whole.removeprefix(running.url))).status_code == 200


async def test_a_failed_read_shows_its_detail_and_the_alert_that_will_fire(tmp_path: Path) -> None:
    async with vendor(lambda _: Told(status=403)) as docs, exporter(config(docs.url), tmp_path) as running:
        await running.scrape()
        shown = await page(running)
        assert "The account has no right to read this job. HTTP status 403" in shown.words
        assert "RemoteJobUnreadable fires in 5 min" in shown.words


async def test_a_credential_is_rejected_for_the_system_from_its_first_job_on(tmp_path: Path) -> None:
    clock, rejected = FakeClock(), ["/0/"]

    def answer(asked: Asked) -> Told:
        return Told(status=401) if any(id_ in f"{asked.path}/" for id_ in rejected) else Told(caps())

    async with (
        vendor(answer) as docs,
        exporter("systems:\n" + caps_config(docs.url, 2), tmp_path, clock=clock) as running,
    ):
        await running.scrape()
        rejected.append("/1/")
        clock.turn(200)
        await running.scrape()
        assert "RemoteJobCredentialsRejected fires in 1 min 40 s" in (await page(running)).words
        shown = await page(running, "/jobs/docs/p/1/en")
        assert "RemoteJobCredentialsRejected fires in 1 min 40 s" in shown.words


@pytest.mark.parametrize("id_", ["<script>alert(1)</script>", "a//b", "ü/ä?#%2F", "{{ 7*7 }}", "a b"])
async def test_a_job_with_any_id_has_a_page_that_the_list_leads_to(id_: str, tmp_path: Path) -> None:
    text = f"""
systems:
  own:
    provider: json
    base_url: URL
    read: {{path: /job, query: {{id: '{{id}}'}}, state: s, states: {{running: [R]}}}}
    jobs: [{{id: '{id_}', name: '{id_}'}}]
"""
    async with (
        vendor(lambda _: Told({"s": "R"})) as own,
        exporter(text.replace("URL", own.url), tmp_path) as running,
    ):
        await running.scrape()
        listed = Page((await running.get("/jobs")).text)
        address = next(link for link, text in listed.links.items() if text == id_)
        answer = await running.get(f"/{address}")
        shown = Page(answer.text)
        assert answer.status_code == 200
        assert f"<h1><bdi>{id_}" not in answer.text or "<" not in id_
        assert shown.text.count(id_) > 3
        assert len(shown.all("script")) == 1
        if "//" in id_:  # urljoin merges slashes, browsers do not
            return
        # Under a prefix that a proxy removes, as the browser sees it.
        for each in [*shown.links, *(str(script["src"]) for script in shown.all("script"))]:
            whole = urljoin(f"https://proxy.example/prefix/{address}", each)
            assert whole.startswith(
                ("https://proxy.example/prefix/", "https://github.com/remote-job-exporter/")
            )


async def test_the_page_leads_to_that_of_the_vendor(tmp_path: Path) -> None:
    text = """
systems:
  own:
    provider: json
    base_url: URL
    link: https://ci.example.com/jobs/{id}?tab={id}#log
    read: {path: /job, query: {id: '{id}'}, state: s, states: {running: [R]}}
    jobs: [{id: 'a/b "<ü'}]
    discover: {path: /list, items: "@", keys: {id: "@"}, state: "'R'"}
"""
    answers = {"/list": ["found?"]}
    async with (
        vendor(lambda asked: Told(answers.get(asked.path, {"s": "R"}))) as own,
        exporter(text.replace("URL", own.url), tmp_path) as running,
    ):
        await running.scrape()
        jobs = (await running.get("/jobs.json")).json()["jobs"]
        assert {job["job_id"]: job["link"] for job in jobs} == {
            'a/b "<ü': "https://ci.example.com/jobs/a%2Fb%20%22%3C%C3%BC?tab=a%2Fb%20%22%3C%C3%BC#log",
            "found?": "https://ci.example.com/jobs/found%3F?tab=found%3F#log",
        }
        shown = await page(running, f"/jobs/own/{quote(jobs[0]['job_id'])}")
        assert shown.links[jobs[0]["link"]] == jobs[0]["link"]


async def test_the_first_request_of_a_read_is_shown_without_secrets(tmp_path: Path) -> None:
    text = """
systems:
  own:
    provider: json
    base_url: URL
    read: {path: /job, query: {id: '{id}', api_key: hidden}, state: s, states: {running: [R]}}
    jobs: [{id: a}]
    discover: {path: /list, items: "@", keys: {id: "@"}, state: "'R'"}
"""
    async with (
        vendor(lambda asked: Told(["b"] if asked.path == "/list" else {"s": "R"})) as own,
        exporter(text.replace("URL", own.url), tmp_path) as running,
    ):
        await running.scrape()
        asked = len(own.asked)
        shown = await page(running, "/jobs/own/a")
        assert f"GET {own.url}/job?id=a&api_key=***" in shown.words
        assert "hidden" not in shown.text
        shown = await page(running, "/jobs/own/b")
        assert " ago, with the listing of its system, in " in shown.words
        assert "First request" not in shown.words
        assert len(own.asked) == asked


@pytest.mark.parametrize("path", ["docs/p/1/en", "other/p/0/en", "docs/", "docs/p/0/en/"])
async def test_a_job_that_is_not_watched_has_no_page(path: str, tmp_path: Path) -> None:
    async with vendor(lambda _: Told(caps())) as docs, exporter(config(docs.url), tmp_path) as running:
        answer = await running.get(f"/jobs/{path}")
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/plain; charset=utf-8")
        assert docs.asked == []


async def test_the_page_leads_to_the_dashboard_of_the_job_in_grafana(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(config("http://127.0.0.1:1"))
    grafana = WebAddress().convert("https://grafana.example/sub/", None, None)
    service = Service(file, Options(listen=("127.0.0.1:0",), grafana=grafana))
    await service.start()
    try:
        shown = await page(Exporter(service))
    finally:
        await service.stop()
    link = f"https://grafana.example/sub/d/remote-job-job?var-system=docs&var-job_id={quote(ID, safe='')}"
    assert shown.links[link] == "in Grafana"
