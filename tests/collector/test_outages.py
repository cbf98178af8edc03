"""What the log says while many jobs of a system cannot be read: an outage is one event."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clock import FakeClock
from tests.vendor import Asked, Told, caps, caps_config, exporter, vendor

pytestmark = pytest.mark.slow

EAGER = "defaults: {min_interval: 0s}\nsystems:\n"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[dict[str, Any]]]:
    """What is logged of outages: level, message and fields of each line."""
    lines: list[dict[str, Any]] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append({"level": record.levelname, **vars(record)})

    handler = Lines()
    with caplog.at_level(logging.DEBUG, logger="exporter"):
        logging.getLogger("exporter.collector.outages").addHandler(handler)
        yield lines
        logging.getLogger("exporter.collector.outages").removeHandler(handler)


def number(asked: Asked) -> int:
    """Which job a request is about."""
    return int(asked.path.split("/")[5])


def short(line: dict[str, Any]) -> tuple[str, str, int]:
    jobs = line["jobs"] if "jobs" in line else line["jobs_failing"]
    return line["msg"], str(line["reason"]), int(jobs)


async def test_an_outage_is_one_line_when_it_begins_and_one_when_it_ends(
    tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    broken = True
    async with vendor(lambda _: Told(caps(), status=502 if broken else 200)) as docs:
        config = EAGER + caps_config(docs.url, 100)
        async with exporter(config, tmp_path, clock=(clock := FakeClock())) as running:
            for _ in range(10):
                await running.scrape()
                clock.turn(15)
            broken = False
            for _ in range(2):
                await running.scrape()
        assert list(map(short, lines)) == [
            ("jobs cannot be read", "server_error", 100),
            ("read failures ended", "server_error", 0),
        ]
        begun, ended = lines
        assert (begun["level"], ended["level"]) == ("WARNING", "INFO")
        assert (begun["system"], begun["host"]) == ("docs", docs.url.removeprefix("http://"))
        assert (begun["job_id"].count("/"), begun["detail"]) == (2, "HTTP status 502")


async def test_probes_of_the_jobs_of_a_dead_system_are_one_outage_too(
    tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    config = EAGER + caps_config("http://127.0.0.1:1", 20)
    async with exporter(config, tmp_path, clock=(clock := FakeClock())) as running:
        for times in range(2):
            for job in range(20):
                await running.get(f"/probe?system=docs&project_id=p&build_job_id={job}&locale=en")
            assert list(map(short, lines))[times:] == [("jobs cannot be read", "connect", (1, 20)[times])]
            clock.turn(61)


async def test_a_line_comes_again_when_the_number_of_jobs_has_changed_much(
    tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    failing = 10
    async with vendor(lambda asked: Told(caps(), status=404 if number(asked) < failing else 200)) as docs:
        config = EAGER + caps_config(docs.url, 50)
        async with exporter(config, tmp_path, clock=(clock := FakeClock())) as running:
            for failing, seconds in ((10, 0), (40, 30), (40, 31), (39, 300), (12, 300), (0, 15)):  # noqa: B007
                clock.turn(seconds)
                await running.scrape()
    assert list(map(short, lines)) == [
        ("jobs cannot be read", "not_found", 10),
        ("jobs cannot be read", "not_found", 40),
        ("jobs cannot be read", "not_found", 12),
        ("read failures ended", "not_found", 0),
    ]


async def test_a_job_that_comes_and_goes_does_not_fill_the_log(
    tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    answers = iter(range(1000))
    async with vendor(lambda _: Told(caps(), status=500 if next(answers) % 2 else 200)) as docs:
        config = EAGER + caps_config(docs.url)
        async with exporter(config, tmp_path, clock=(clock := FakeClock())) as running:
            for _ in range(40):
                await running.scrape()
                clock.turn(15)
    assert 2 <= len(lines) <= 2 * 10 + 2


async def test_a_reload_does_not_begin_an_outage_anew(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    config = EAGER + caps_config("http://127.0.0.1:1", 20)
    async with exporter(config, tmp_path, clock=(clock := FakeClock())) as running:
        for jobs in (20, 20, 19):
            (tmp_path / "config.yaml").write_text(EAGER + caps_config("http://127.0.0.1:1", jobs))
            await running.service.reload()
            await running.scrape()
            clock.turn(100)
        (tmp_path / "config.yaml").write_text(EAGER + caps_config("http://127.0.0.1:1", 20, name="other"))
        await running.service.reload()
        await running.scrape()
    assert [(line["system"], short(line)) for line in lines] == [
        ("docs", ("jobs cannot be read", "connect", 20)),
        ("docs", ("read failures ended", "connect", 0)),
        ("other", ("jobs cannot be read", "connect", 20)),
    ]


async def test_an_outage_ends_with_the_place_or_the_system_that_it_was_of(
    tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    async with vendor(lambda _: Told(caps())) as docs:
        configs = [caps_config("http://127.0.0.1:1", 8), caps_config(docs.url, 8)]
        configs += [caps_config("http://127.0.0.1:1", 2), caps_config(docs.url, 1, name="other")]
        async with exporter(EAGER + configs[0], tmp_path, clock=(clock := FakeClock())) as running:
            for config in configs:
                (tmp_path / "config.yaml").write_text(EAGER + config)
                await running.service.reload()
                await running.scrape()
                clock.turn(100)
    assert list(map(short, lines)) == [
        ("jobs cannot be read", "connect", 8),
        ("read failures ended", "connect", 0),
        ("jobs cannot be read", "connect", 2),
        ("read failures ended", "connect", 0),
    ]


async def test_the_example_is_a_job_that_fails(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    failing = 8
    async with vendor(lambda asked: Told(caps(), status=404 if number(asked) < failing else 200)) as docs:
        config = EAGER + caps_config(docs.url, 8, more="concurrency: 1")
        async with exporter(config, tmp_path, clock=(clock := FakeClock())) as running:
            for failing in (8, 4):  # noqa: B007
                await running.scrape()
                clock.turn(100)
    assert [(line["jobs"], line["job_id"]) for line in lines] == [(8, "p/7/en"), (4, "p/3/en")]


async def test_the_proxy_in_use_is_named_without_its_password(
    tmp_path: Path, lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://me:hush@127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")  # the scraper has none
    config = EAGER + caps_config("http://docs.example.com")
    async with exporter(config, tmp_path, clock=FakeClock()) as running:
        await running.scrape()
    (line,) = lines
    assert (line["host"], line["proxy"]) == ("docs.example.com", "127.0.0.1:1")
    assert "hush" not in str(line)


async def test_each_job_and_each_request_is_a_line_at_level_debug(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="exporter")
    async with vendor(lambda asked: Told(caps(), status=500 if number(asked) else 200)) as docs:
        async with exporter(EAGER + caps_config(docs.url, 3), tmp_path, clock=FakeClock()) as running:
            await running.scrape()
        records = [vars(record) for record in caplog.records if record.levelname == "DEBUG"]
        failing = [record["job_id"] for record in records if record["msg"] == "job cannot be read"]
        assert sorted(failing) == ["p/1/en", "p/2/en"]
        sent = [record for record in records if record["msg"] == "request"]
        assert {(each["method"], each["url"], each["status"]) for each in sent} == {
            ("GET", docs.url + asked.path, 500 if number(asked) else 200) for asked in docs.asked
        }
        assert len(sent) == 3
        assert all(0 < each["seconds"] < 30 for each in sent)


async def test_a_request_that_is_not_answered_is_a_line_too_and_hides_what_may_be_a_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="exporter")
    config = """systems:
  ci:
    provider: json
    base_url: http://127.0.0.1:1
    read: {path: "/job/{id}", query: {api_key: hush}, state: s}
    jobs: [{id: a}]
"""
    async with exporter(config, tmp_path) as running:
        await running.scrape()
    (sent,) = (vars(record) for record in caplog.records if record.msg == "request")
    assert sent["url"] == "http://127.0.0.1:1/job/a?api_key=***"
    assert sent["reason"] == "connect"
    assert "hush" not in caplog.text
