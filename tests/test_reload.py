"""The config changes while the exporter runs: taken whole or not at all, and nothing known is lost."""

import asyncio
import gc
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from exporter import config, service
from exporter.collector.collector import Collector
from exporter.config import loader
from exporter.runtime.logging import Logfmt
from exporter.transport import ReloadingPool
from tests.clock import FakeClock
from tests.vendor import Asked, Exporter, Samples, Told, caps, caps_config, exporter, read_samples, vendor
from tests.waiting import seen

SUCCESSFUL = "remote_job_exporter_config_last_reload_successful"
TAKEN_AT = "remote_job_exporter_config_last_reload_success_timestamp_seconds"


async def reload(running: Exporter, folder: Path, text: str) -> requests.Response:
    (folder / "config.yaml").write_text(text)
    return await asyncio.to_thread(requests.post, running.url + "/-/reload", timeout=60)


def jobs(samples: Samples) -> set[str]:
    return {labels["job_id"] for labels, _ in samples.all("remote_job_up")}


async def test_a_job_that_comes_is_read_and_one_that_goes_leaves_no_series(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url, 3), tmp_path) as running,
    ):
        before = await running.scrape()
        answer = await reload(running, tmp_path, "systems:\n" + caps_config(docs.url, 1, name="other"))
        assert (answer.status_code, answer.text) == (200, "reloaded\n")
        after = await running.scrape()
        assert jobs(before) == {"p/0/en", "p/1/en", "p/2/en"}
        assert jobs(after) == {"p/0/en"}
        assert {dict(labels).get("system", "other") for _, labels in after} == {"other"}


async def test_a_job_that_stays_keeps_its_past_and_is_not_asked_again(tmp_path: Path) -> None:
    answers = iter([Told(caps("Running")), Told(caps())])
    text = "defaults: {{min_interval: {interval}}}\nsystems:\n{system}"
    async with (
        vendor(lambda _: next(answers)) as docs,
        exporter(text.format(interval="0s", system=caps_config(docs.url)), tmp_path) as running,
    ):
        await running.scrape()
        before = await running.scrape()
        docs.answer = lambda _: Told(caps())
        await reload(running, tmp_path, text.format(interval="10m", system=caps_config(docs.url, 2)))
        after = await running.scrape()
        assert docs.count()["/v1/Projects/p/BuildJobs/0/properties?locale=en"] == 2
        for name in ("remote_job_watched_since_timestamp_seconds", "remote_job_read_timestamp_seconds"):
            assert after.get_one(name, job_id="p/0/en") == before.get_one(name, job_id="p/0/en")
        finished = "remote_job_runs_finished_total"
        assert after.get_one(finished, job_id="p/0/en", result="succeeded") == 1
        assert after.get_one(finished, job_id="p/1/en", result="succeeded") == 0


async def test_what_the_config_says_of_a_job_that_stays_changes_at_once(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url, more="labels: {squad: a}"), tmp_path) as running,
    ):
        assert (await running.scrape()).all("remote_job_up")[0][0]["squad"] == "a"
        await reload(running, tmp_path, "systems:\n" + caps_config(docs.url, more="labels: {squad: b}"))
        after = await running.scrape()
        assert [labels["squad"] for labels, _ in after.all("remote_job_up")] == ["b"]
        assert after.get_one("remote_job_system_up", squad="b") == 1
        assert len(docs.asked) == 1


async def test_a_word_that_is_added_has_its_state_and_the_job_keeps_its_past(tmp_path: Path) -> None:
    text = "defaults: {{min_interval: 0s}}\nsystems:\n{system}    states: {states}\n"
    async with vendor(lambda _: Told(caps("Broken"))) as docs:
        system = caps_config(docs.url)
        async with exporter(text.format(system=system, states={}), tmp_path) as running:
            before = await running.scrape()
            await reload(running, tmp_path, text.format(system=system, states="{failed: [Broken]}"))
            after = await running.scrape()
    assert (before.state("p/0/en"), after.state("p/0/en")) == ("unknown", "failed")
    assert after.get_one("remote_job_runs_finished_total", job_id="p/0/en", result="failed") == 1
    since = "remote_job_watched_since_timestamp_seconds"
    assert after.get_one(since, job_id="p/0/en") == before.get_one(since, job_id="p/0/en")


async def test_a_job_at_another_address_is_another_job(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(caps("Running"))) as old,
        vendor(lambda _: Told(caps("Failed"))) as new,
        exporter("systems:\n" + caps_config(old.url), tmp_path) as running,
    ):
        before = await running.scrape()
        await reload(running, tmp_path, "systems:\n" + caps_config(new.url))
        after = await running.scrape()
        assert after.state("p/0/en") == "failed"
        since = "remote_job_watched_since_timestamp_seconds"
        assert (after.get_one(since) or 0) > (before.get_one(since) or 0)
        assert after.get_one("remote_job_runs_finished_total", result="failed") == 0


async def test_a_bad_file_changes_nothing_and_shows(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        before = await running.scrape()
        bad = "systems:\n" + caps_config(docs.url, more="colour: blue\ntimeout: soon")
        answer = await reload(running, tmp_path, bad)
        assert answer.status_code == 500
        assert [line.split(": ")[1] for line in answer.text.splitlines()] == [
            "systems.docs.colour",
            "systems.docs.timeout",
        ]
        after = await running.scrape()
        assert jobs(after) == {"p/0/en"}
        assert (before.get_one(SUCCESSFUL), after.get_one(SUCCESSFUL)) == (1, 0)
        assert before.get_one(TAKEN_AT) == after.get_one(TAKEN_AT)
        await reload(running, tmp_path, "systems:\n" + caps_config(docs.url))
        assert (await running.scrape()).get_one(SUCCESSFUL) == 1


async def test_reloading_is_refused_for_get(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        answer = await running.get("/-/reload")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_tokens_and_connections_outlive_a_reload_that_does_not_concern_them(tmp_path: Path) -> None:
    auth = "auth: {{type: oauth2, token_url: '{url}/token', client_id: me, client_secret: {secret}}}"

    def answer(asked: Asked) -> Told:
        return Told({"access_token": "t", "expires_in": 3600} if asked.path == "/token" else caps())

    async with vendor(answer) as docs:
        hush = auth.format(url=docs.url, secret="hush")
        async with exporter("systems:\n" + caps_config(docs.url, more=hush), tmp_path) as running:
            await running.scrape()
            await reload(running, tmp_path, "systems:\n" + caps_config(docs.url, 2, more=hush))
            await running.scrape()
            assert docs.count()["/token"] == 1
            other = auth.format(url=docs.url, secret="other")
            await reload(running, tmp_path, "systems:\n" + caps_config(docs.url, 3, more=other))
            await running.scrape()
            assert docs.count()["/token"] == 2


@pytest.mark.slow
async def test_no_scrape_under_load_fails_or_shows_two_configs_at_once(tmp_path: Path) -> None:
    one, two = {"p/0/en", "p/1/en", "p/2/en"}, {"q/0/en", "q/1/en"}

    def text(url: str, *, first: bool) -> str:
        config = caps_config(url, 3 if first else 2, more="min_interval: 0s\nconcurrency: 2")
        return "systems:\n" + (config if first else config.replace("project_id: p", "project_id: q"))

    gate = asyncio.Event()
    slow = Told(caps(), after=gate.wait)
    async with vendor(lambda _: slow) as docs, exporter(text(docs.url, first=True), tmp_path) as running:
        reloading = True
        pages: list[frozenset[str]] = []

        async def scrape() -> None:
            while reloading:
                samples = await running.scrape()
                assert samples.all("remote_job_read_error_info") == []
                pages.append(frozenset(jobs(samples)))

        async def several_scrapes() -> None:
            enough = len(pages) + 8
            await seen(lambda: len(pages) >= enough, "eight scrapes more")

        scrapers = [asyncio.create_task(scrape()) for _ in range(4)]
        for number in range(12):
            gate.clear()
            await seen(lambda: docs.at_once, "reads under way")
            assert (
                await reload(running, tmp_path, text(docs.url, first=bool(number % 2)))
            ).status_code == 200
            gate.set()
            await several_scrapes()
        reloading = False
        await asyncio.gather(*scrapers)
        assert set(pages) == {frozenset(one), frozenset(two)}


async def test_a_read_under_way_during_a_reload_is_shared_and_not_asked_twice(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with (
        vendor(lambda _: Told(caps(), after=gate.wait)) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        scrape = asyncio.create_task(running.scrape())
        await docs.has_been_asked(1)
        await reload(running, tmp_path, "systems:\n" + caps_config(docs.url, more="labels: {squad: b}"))
        gate.set()
        samples = await scrape
        assert samples.state("p/0/en") == "succeeded"
        assert samples.all("remote_job_up")[0][0]["squad"] == "b"
        assert len(docs.asked) == 1


@asynccontextmanager
async def serving(file: Path, caplog: pytest.LogCaptureFixture, *, watch: bool) -> AsyncIterator[str]:
    """The whole command, signals included, in this process."""
    caplog.set_level(logging.INFO)

    def listening() -> list[str]:
        lines = [record for record in caplog.records if record.getMessage() == "listening"]
        return [vars(record)["addresses"] for record in lines]

    task = asyncio.create_task(service.serve(file, service.Options(("127.0.0.1:0",), watch=watch)))
    await seen(lambda: listening() or task.done(), "word of listening")
    if task.done():
        task.result()
    try:
        yield listening()[0]
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 60)


async def page(url: str) -> str:
    return (await asyncio.to_thread(requests.get, url + "/metrics", timeout=60)).text


async def shows(url: str, *wanted: str) -> None:
    """Waits until exactly these jobs are shown."""

    async def look() -> bool:
        return jobs(read_samples(await page(url))) == set(wanted)

    await seen(look, f"the jobs {wanted}")


async def test_sighup_reads_the_config_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "config.yaml"
    async with vendor(lambda _: Told(caps())) as docs:
        file.write_text("systems:\n" + caps_config(docs.url, 1))
        async with serving(file, caplog, watch=False) as url:
            file.write_text("systems:\n" + caps_config(docs.url, 2))
            os.kill(os.getpid(), signal.SIGHUP)
            await shows(url, "p/0/en", "p/1/en")
            file.write_text("systems: nonsense")
            os.kill(os.getpid(), signal.SIGHUP)

            async def refused() -> bool:
                return f"{SUCCESSFUL} 0.0" in await page(url)

            await seen(refused, "a config that is not taken")
            assert jobs(read_samples(await page(url))) == {"p/0/en", "p/1/en"}


@pytest.mark.parametrize("folder", [False, True])
async def test_watching_notices_a_mounted_config_map_that_is_swapped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, *, folder: bool
) -> None:
    """Kubernetes mounts links to a link that it replaces at once."""
    monkeypatch.setattr(service, "WATCH_SECONDS", 0.1)
    async with vendor(lambda _: Told(caps())) as docs:
        for version, count in (("v1", 1), ("v2", 2)):
            (tmp_path / version).mkdir()
            (tmp_path / version / "jobs.yaml").write_text("systems:\n" + caps_config(docs.url, count))
        (tmp_path / "..data").symlink_to("v1")
        mounted = tmp_path / "mounted"
        mounted.mkdir()
        (mounted / "jobs.yaml").symlink_to("../..data/jobs.yaml")
        async with serving(mounted if folder else mounted / "jobs.yaml", caplog, watch=True) as url:
            assert jobs(read_samples(await page(url))) == {"p/0/en"}
            (tmp_path / "..new").symlink_to("v2")
            (tmp_path / "..new").rename(tmp_path / "..data")
            await shows(url, "p/0/en", "p/1/en")


def failing_once(
    monkeypatch: pytest.MonkeyPatch, module: object, name: str, *, times: int = 1
) -> asyncio.Event:
    """Has a function of the config fail in a way that nobody expects; the event: it has failed so often."""
    real, left, done = getattr(module, name), [None] * times, asyncio.Event()
    loop = asyncio.get_running_loop()

    def fails(*arguments: object, **named: object) -> object:
        if not left:
            return real(*arguments, **named)
        left.pop()
        if not left:
            loop.call_soon_threadsafe(done.set)
        raise RuntimeError("hush")

    monkeypatch.setattr(module, name, fails)
    return done


async def test_a_watched_config_is_taken_after_looking_at_it_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "WATCH_SECONDS", 0.01)
    file = tmp_path / "config.yaml"
    async with vendor(lambda _: Told(caps())) as docs:
        file.write_text("systems:\n" + caps_config(docs.url, 1))
        async with serving(file, caplog, watch=True) as url:
            await asyncio.wait_for(failing_once(monkeypatch, config, "stamp", times=5).wait(), 60)
            file.write_text("systems:\n" + caps_config(docs.url, 2))
            await shows(url, "p/0/en", "p/1/en")
    message = "failed to check configuration files for changes; trying again every second"
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [message]


@pytest.mark.parametrize("by", ["signal", "watch", "request"])
async def test_a_reload_that_fails_in_an_unexpected_way_is_logged_and_the_next_one_works(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "WATCH_SECONDS", 0.05)
    file = tmp_path / "config.yaml"

    def reload(url: str, count: int) -> None:
        new = tmp_path / "new"
        new.write_text("systems:\n" + caps_config(docs.url, count))
        new.rename(file)
        if by == "signal":
            os.kill(os.getpid(), signal.SIGHUP)
        elif by == "request":
            requests.post(f"{url}/-/reload", timeout=60)

    async def successful() -> float | None:
        return read_samples(await page(url)).get_one(SUCCESSFUL)

    async def refused() -> bool:
        return await successful() == 0

    async with vendor(lambda _: Told(caps())) as docs:
        file.write_text("systems:\n" + caps_config(docs.url, 1))
        async with serving(file, caplog, watch=by == "watch") as url:
            failing_once(monkeypatch, loader, "load")
            await asyncio.to_thread(reload, url, 2)
            await seen(refused, "a reload that has failed")
            assert jobs(read_samples(await page(url))) == {"p/0/en"}
            await asyncio.to_thread(reload, url, 3)
            await shows(url, "p/0/en", "p/1/en", "p/2/en")
            assert await successful() == 1
    lines = [Logfmt().format(record) for record in caplog.records if record.message == service.FAILED]
    assert len(lines) == 1
    assert 'error="RuntimeError at exporter/config/loader.py:' in lines[0]


async def test_a_system_that_cannot_be_closed_is_logged_and_costs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(_: ReloadingPool, grace: float) -> None:
        raise RuntimeError(f"hush {grace}")

    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        with monkeypatch.context() as patch:
            patch.setattr(ReloadingPool, "close", fails)
            text = "systems:\n" + caps_config(docs.url, name="other")
            assert (await reload(running, tmp_path, text)).status_code == 200
            assert (await running.scrape()).all("remote_job_up")[0][0]["system"] == "other"
    (record,) = (record for record in caplog.records if record.message == "task failed")
    assert vars(record)["task"] == "close a system"


async def test_reloads_of_the_same_moment_are_one_and_each_client_sees_its_own_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, load, reload = tmp_path / "config.yaml", config.load, service.Service.reload
    go_on, loads, asked = threading.Semaphore(0), 0, 0

    def slow_load(*arguments: Any, **named: Any) -> config.Config:
        nonlocal loads
        loaded = load(*arguments, **named)  # what changes from here on is not in it
        loads += 1
        assert go_on.acquire(timeout=60)
        return loaded

    async def counted_reload(running: service.Service) -> None:
        nonlocal asked
        asked += 1
        await reload(running)

    monkeypatch.setattr(service.Service, "reload", counted_reload)
    # Clients wait in threads, and must leave some for the exporter.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(16))
    async with vendor(lambda _: Told(caps())) as docs:

        def write(count: int) -> None:
            file.write_text("systems:\n" + caps_config(docs.url, count))

        async def post(count: int) -> None:
            answer = await asyncio.to_thread(requests.post, f"{url}/-/reload", timeout=60)
            assert (answer.status_code, answer.text) == (200, "reloaded\n")
            assert len(jobs(read_samples(await page(url)))) >= count

        write(1)
        async with serving(file, caplog, watch=False) as url:
            monkeypatch.setattr(loader, "load", slow_load)
            write(2)
            clients = [asyncio.create_task(post(2))]
            await seen(lambda: loads, "a load")
            write(3)
            clients += [asyncio.create_task(post(3)) for _ in range(5)]
            for _ in range(20):
                os.kill(os.getpid(), signal.SIGHUP)
            await seen(lambda: asked == 6, "all requests")
            go_on.release(2)
            await asyncio.gather(*clients)
            assert loads == 2


async def test_a_reload_that_changes_nothing_touches_nothing_and_is_logged_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path, clock=clock) as running,
    ):

        def fails(*_: object, **__: object) -> None:
            raise AssertionError

        before = await running.own()
        monkeypatch.setattr(Collector, "replace", fails)
        monkeypatch.setattr(loader, "load", fails)
        for seconds, lines in ((0, 1), (1, 1), (58, 1), (2, 2)):
            clock.turn(seconds)
            answer = await asyncio.to_thread(requests.post, running.url + "/-/reload", timeout=60)
            assert (answer.status_code, answer.text) == (200, "reloaded\n")
            assert [record.message for record in caplog.records].count(service.UNCHANGED) == lines
        after = await running.own()
        assert (after.get_one(SUCCESSFUL), before.get_one(SUCCESSFUL)) == (1, 1)
        assert (after.get_one(TAKEN_AT) or 0) > (before.get_one(TAKEN_AT) or 0)


async def test_no_reload_collects_all_garbage_which_would_hold_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        monkeypatch.setattr(gc, "collect", lambda *_: pytest.fail("a full collection"))
        for text, status in (("", 200), ("timeout: 7s", 200), ("timeout: soon", 500)):
            answer = await reload(running, tmp_path, "systems:\n" + caps_config(docs.url, more=text))
            assert answer.status_code == status


async def test_errors_are_logged_once_for_each_load_and_each_client_gets_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path, clock=clock) as running,
    ):
        long = loader.REMEMBER_ERRORS_SECONDS
        for seconds, text, lines in ((0, "a", 1), (0, "a", 1), (0, "b", 2), (0, "b", 2), (long, "b", 3)):
            clock.turn(seconds)
            answer = await reload(running, tmp_path, f"systems: {text}")
            assert answer.status_code == 500
            assert "systems: " in answer.text
            assert [record.message for record in caplog.records].count(service.FAILED) == lines
            assert (await running.own()).get_one(SUCCESSFUL) == 0
