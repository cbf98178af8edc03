"""What upstreams do wrong, and what a provider may do wrong, seen on the page of a whole exporter."""

import ssl
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from exporter.auth.oauth2 import OAuth2
from exporter.model.http import Request
from exporter.model.job import Category, Job, State, Status
from exporter.providers.base import Listing, Steps
from exporter.providers.caps import Caps
from exporter.providers.sitecore import Sitecore
from exporter.transport import reloading
from exporter.upstream.reading import Upstream
from tests.clock import FakeClock
from tests.transport.servers import Script, answer, answering, greeting, listening, mute, saying
from tests.vendor import Asked, Told, caps, caps_config, exporter, vendor, with_provider
from tests.waiting import never

EAGER = "defaults: {min_interval: 0s}\n"
CAPS = answer(b'{"job_status": "Running"}')


class Ahead(FakeClock):
    """Goes like the machine's clock, as far ahead of it as it was turned."""

    def monotonic(self) -> float:
        return super().monotonic() + time.monotonic()


def in_seconds(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("written", "held"),
    [
        (lambda: "60", True),
        (lambda: "0", False),
        (lambda: format_datetime(in_seconds(60), usegmt=True), True),
        (lambda: format_datetime(in_seconds(60)), True),
        (lambda: in_seconds(60).strftime("%a, %d %b %Y %H:%M:%S -0000"), True),
        (lambda: in_seconds(60).strftime("%A, %d-%b-%y %H:%M:%S GMT"), True),
        (lambda: in_seconds(60).strftime("%a %b %d %H:%M:%S %Y"), True),
        (lambda: format_datetime(in_seconds(-60), usegmt=True), False),
        (lambda: "soon", False),
        (lambda: "", False),
        (lambda: "-60", False),
        (lambda: "1e9", False),
        (lambda: "9" * 400, False),
        (lambda: "Mon, 99 Foo 2030 99:99:99 GMT", False),
        (lambda: "Mon, 01 Jan 99999 00:00:00 GMT", False),
    ],
)
async def test_retry_after_is_a_number_or_a_date_and_nothing_else(
    written: Callable[[], str], tmp_path: Path, *, held: bool
) -> None:
    told = Told(status=429, headers={"Retry-After": written()})
    async with (
        vendor(lambda _: told) as docs,
        exporter(EAGER + "systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        for _ in range(2):
            assert (await running.scrape()).reason("p/0/en") == "rate_limited"
        assert len(docs.asked) == (1 if held else 2)


@pytest.mark.parametrize(
    ("script", "scheme", "reason"),
    [
        (saying(), "http", "connect"),
        (saying(CAPS[:-5]), "http", "connect"),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n{}"), "http", "invalid_response"),
        (saying(b"\x00" * 100), "http", "invalid_response"),
        (mute, "http", "timeout"),
        (saying(CAPS[:-5], close=False), "http", "timeout"),
        (greeting, "https", "tls"),
    ],
    ids=["closed", "cut off", "no length", "no HTTP", "silent", "half", "no TLS"],
)
async def test_whatever_goes_wrong_on_the_wire_has_its_reason(
    script: Script, scheme: str, reason: str, tmp_path: Path
) -> None:
    async with listening(script) as server:
        more = "timeout: 400ms" if reason == "timeout" else ""
        text = "systems:\n" + caps_config(server.url("", scheme), more=more)
        async with exporter(text, tmp_path) as running:
            samples = await running.scrape()
    assert samples.reason("p/0/en") == reason
    failures = "remote_job_exporter_request_failures_total"
    assert samples.get_one(failures, system="docs", reason=reason) == 1


async def test_a_name_that_nobody_has_is_told_as_such(tmp_path: Path) -> None:
    async with exporter("systems:\n" + caps_config("http://docs.invalid"), tmp_path) as running:
        assert (await running.scrape()).reason("p/0/en") == "dns"


async def test_the_timeout_is_for_the_whole_read_however_many_requests_it_takes(tmp_path: Path) -> None:
    clock = Ahead()
    text = """systems:
  twins: {{provider: itwin, service: contextcapture, base_url: '{url}', timeout: 2m, jobs: [{{id: a}}]}}
"""

    async def slowly() -> None:
        clock.turn(119)

    def answered(_: Asked) -> Told:
        over = {"progress": {"percentage": 5, "state": "Over"}}
        return Told(over, after=slowly if len(twins.asked) == 1 else never)

    async with (
        vendor(answered) as twins,
        exporter(text.format(url=twins.url), tmp_path, clock=clock) as running,
    ):
        samples = await running.scrape()
    assert len(twins.asked) == 2
    # Not "deadline": the second request had what was left of the two minutes, less than the scrape.
    assert samples.reason("a") == "timeout"
    seconds = samples.get_one("remote_job_read_duration_seconds", job_id="a")
    assert seconds is not None
    assert seconds >= 120


async def test_a_replaced_ca_file_is_trusted_and_the_old_one_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "CHECK_SECONDS", 0.0)
    theirs, other = trustme.CA(), trustme.CA()
    tls, ca_file = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tmp_path / "ca.pem"
    theirs.issue_cert("127.0.0.1").configure_cert(tls)

    def trust(ca: trustme.CA) -> None:
        new = tmp_path / "new.pem"
        ca.cert_pem.write_to_path(str(new))
        new.rename(ca_file)

    trust(theirs)
    async with listening(answering(CAPS), tls) as server:
        text = EAGER + "systems:\n" + caps_config(server.url("", "https"), more="tls: {ca_file: ca.pem}")
        async with exporter(text, tmp_path) as running:
            assert (await running.scrape()).state("p/0/en") == "running"
            trust(other)
            assert (await running.scrape()).reason("p/0/en") == "tls"
            ca_file.unlink()
            assert (await running.scrape()).reason("p/0/en") == "tls"
            trust(theirs)
            assert (await running.scrape()).state("p/0/en") == "running"
    assert server.accepts == 4


class Misread(Caps):
    """A provider with errors, each in the job of its name."""

    def read(self, job: Job, previous: Status | None) -> Generator[Any, Any, Status]:
        """Reads as the name of the job says."""
        match job.keys["build_job_id"]:
            case "0":
                raise RuntimeError("hunter2")
            case "1":
                yield Request("/once")
                raise KeyError("hunter2")
            case "2":
                yield Request("/once")
                shown: Any = 7
                return Status(State.RUNNING, categories={"a": shown})
        yield Request("/once")
        return Status(State.RUNNING, raw="Running", categories={"a": Category(1)})


async def test_an_error_of_ours_costs_its_own_job_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter(
            "systems:\n" + caps_config(docs.url, 4, more="concurrency: 1"),
            tmp_path,
            registry=with_provider(Misread),
        ) as running,
    ):
        page = (await running.get("/metrics")).text
        samples = await running.scrape()
    assert [samples.reason(f"p/{job}/en") for job in range(4)] == [*["internal"] * 3, None]
    assert samples.state("p/3/en") == "running"
    assert samples.state("p/2/en") is None
    assert "hunter2" not in page
    formatted = "".join(record.getMessage() for record in caplog.records)
    assert "hunter2" not in formatted


class Eager(Sitecore):
    """A plug-in whose methods fail before they ask anything: they are no generators."""

    def read(self, job: Job, previous: Status | None) -> Steps:
        """Fails."""
        raise RuntimeError("hunter2")

    def discover(self, keys: Any, now: float) -> Listing:
        """Fails too."""
        raise RuntimeError("hunter2")


async def test_a_provider_that_fails_at_once_costs_its_jobs_and_its_listing(tmp_path: Path) -> None:
    keys = "provider: sitecore, base_url: 'http://127.0.0.1:1', discover: {}, jobs: [{id: a}]"
    text = f"systems:\n  xmc: {{{keys}}}\n"
    async with exporter(text, tmp_path, registry=with_provider(Eager)) as running:
        samples = await running.scrape()
    assert samples.reason("a") == "internal"
    assert samples.get_one("remote_job_system_read_error_info", reason="internal") == 1


async def test_a_reader_that_fails_is_logged_and_the_next_scrape_reads_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("hunter2")

    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter(EAGER + "systems:\n" + caps_config(docs.url, 3), tmp_path) as running,
    ):
        with monkeypatch.context() as patch:
            patch.setattr(Upstream, "read", fails)
            assert (await running.scrape()).all("remote_job_up") == []
        assert len((await running.scrape()).all("remote_job_up")) == 3
    failed = [vars(record) for record in caplog.records if record.message == "task failed"]
    assert {record["task"] for record in failed} == {"read docs"}


async def test_a_credential_that_fails_before_it_is_renewed_is_renewed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, failures = OAuth2.version, iter([RuntimeError("hunter2")])

    def fails_once(self: OAuth2) -> object:
        for failure in failures:
            raise failure
        return version(self)

    monkeypatch.setattr(OAuth2, "version", fails_once)
    token = Told({"access_token": "t", "expires_in": 3600})
    async with vendor(lambda asked: token if asked.path == "/token" else Told(caps())) as docs:
        text = EAGER + "systems:\n" + caps_config(docs.url, more=with_token(docs.url))
        async with exporter(text, tmp_path, clock=(clock := FakeClock())) as running:
            assert (await running.scrape()).reason("p/0/en") == "auth"
            clock.turn(10)
            assert (await running.scrape()).state("p/0/en") == "succeeded"


async def test_the_calls_that_are_left_are_shown_only_while_the_vendor_says_so(tmp_path: Path) -> None:
    left = {"x-ratelimit-remaining": "41"}
    cases = [
        (Told(caps(), headers=left), 41),
        (Told(status=500, headers=left), 41),
        (Told(status=502), None),
        (Told(caps(), headers={"RateLimit": '"default";r=40;t=9'}), 40),
        (None, None),  # the connection is closed
    ]
    answers = iter([answer for answer, _ in cases])

    def answer(_: Asked) -> Told:
        if (told := next(answers, None)) is None:
            raise ConnectionResetError
        return told

    async with (
        vendor(answer) as docs,
        exporter(EAGER + "systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        for _, shown in cases:
            samples = await running.scrape()
            assert samples.get_one("remote_job_system_rate_limit_remaining") == shown


def json_config(url: str, *jobs: str, more: str = "") -> str:
    listed = ", ".join(f"{{id: {job}}}" for job in jobs)
    return f"""{EAGER}systems:
  forge:
    provider: json
    base_url: {url}
    read: {{path: "/runs/{{id}}", state: state}}
    jobs: [{listed}]
    {more}
"""


FORBIDDEN = Told(status=403)
NO_CALLS = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795889224"}
"""The headers of GitHub; the time has passed."""


@pytest.mark.parametrize(
    ("told", "reason", "asked"),
    [
        (Told(status=403, headers=NO_CALLS), "rate_limited", 1),
        (Told(status=403, headers={"Retry-After": "60", "X-RateLimit-Remaining": "9"}), "rate_limited", 1),
        (Told(status=403, headers={"X-RateLimit-Remaining": "9", "X-RateLimit-Reset": "30"}), "forbidden", 3),
        (Told(status=403), "forbidden", 3),
        (Told({"message": "You have exceeded a secondary rate limit."}, 403), "rate_limited", 1),
        (Told(status=429, headers={"RateLimit-Reset": "60"}), "rate_limited", 1),
        (Told(status=503, headers={"RateLimit-Reset": "60"}), "server_error", 1),
        (Told(status=500, headers=NO_CALLS), "server_error", 3),
    ],
)
async def test_a_vendor_that_limits_requests_gets_no_other_before_it_allows_them(
    told: Told, reason: str, asked: int, tmp_path: Path
) -> None:
    async with (
        vendor(lambda _: told) as forge,
        exporter(json_config(forge.url, "a", "b"), tmp_path) as running,
    ):
        for _ in range(3):
            assert (await running.scrape()).reason("a") == reason
    assert forge.count() == {"/runs/a": asked, "/runs/b": asked}


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (FORBIDDEN, None),
        (Told(status=403, headers=NO_CALLS), "rate_limited"),
        (Told(status=302, headers={"Location": "/login"}), "redirect"),
    ],
)
async def test_an_accepted_status_is_no_missing_run_if_it_is_about_the_client(
    told: Told, reason: str | None, tmp_path: Path
) -> None:
    read = "state: state, kind: slot, missing: idle, accept: [302, 403]"
    async with vendor(lambda _: Told(b"", told.status, told.headers)) as forge:
        config = json_config(forge.url, "a").replace("state: state", read)
        async with exporter(config, tmp_path) as running:
            assert (await running.scrape()).reason("a") == reason


@pytest.mark.parametrize("scope", ["job", "system"])
async def test_a_success_with_a_time_to_wait_delays_the_next_read_of_its_job(
    scope: str, tmp_path: Path
) -> None:
    def answer(asked: Asked) -> Told:
        headers = {"Retry-After": "300"} if asked.path == "/runs/a" else {"Retry-After": "0"}
        return Told({"state": "running"}, headers={**headers, "X-RateLimit-Delay": "1.5"})

    limit, clock = f"rate_limit: {{scope: {scope}}}", Ahead()
    async with (
        vendor(answer) as forge,
        exporter(json_config(forge.url, "a", "b", more=limit), tmp_path, clock=clock) as running,
    ):
        for _ in range(3):
            samples = await running.scrape()
            assert [samples.state(job) for job in "ab"] == ["running"] * 2
        assert forge.count() == {"/runs/a": 1, "/runs/b": 3}
        clock.turn(301)
        await running.scrape()
    assert forge.count() == {"/runs/a": 2, "/runs/b": 4}


async def test_a_rate_limit_of_the_account_pauses_the_whole_system(tmp_path: Path) -> None:
    limit = "rate_limit: {scope: system, remaining_header: X-Left, reset_header: X-Until}\n    concurrency: 1"
    told = Told(status=403, headers={"X-Left": "0", "X-Until": "60"})
    clock = Ahead()
    async with (
        vendor(lambda _: told) as forge,
        exporter(json_config(forge.url, "a", "b", more=limit), tmp_path, clock=clock) as running,
    ):
        for _ in range(2):
            samples = await running.scrape()
            assert [samples.reason(job) for job in "ab"] == ["rate_limited"] * 2
        assert len(forge.asked) == 1
        told = Told({"state": "running"}, headers={"X-Left": "59"})
        clock.turn(61)
        samples = await running.scrape()
    assert [samples.state(job) for job in "ab"] == ["running"] * 2
    assert samples.get_one("remote_job_system_rate_limit_remaining") == 59


async def test_the_expiry_of_a_token_is_that_of_the_response_until_the_token_changes(tmp_path: Path) -> None:
    token = tmp_path / "token"
    auth = "auth: {type: bearer, token: {file: token}}"
    expiry = "remote_job_system_credentials_expiry_timestamp_seconds"
    name = "GitHub-Authentication-Token-Expiration"
    token.write_text("first")
    cases = [
        (Told({"state": "running"}, headers={name: "2026-12-01 10:00:00 UTC"}), 1_796_119_200),
        (Told(status=502), 1_796_119_200),
        (Told({"state": "running"}, headers={name: "2027-03-31 00:00:00 -0700"}), 1_806_476_400),
        (Told({"state": "running"}, headers={name: "soon"}), 1_806_476_400),
    ]
    clock = Ahead()
    async with (
        vendor(lambda _: told) as forge,
        exporter(json_config(forge.url, "a", more=auth), tmp_path, clock=clock) as running,
    ):
        for each, shown in cases:
            told = each
            assert (await running.scrape()).get_one(expiry) == shown
        token.write_text("second")
        clock.turn(60)
        told = Told({"state": "running"})
        assert (await running.scrape()).get_one(expiry) is None
        assert forge.asked[-1].headers["authorization"] == "Bearer second"


class Endless(Caps):
    """A provider that always wants to know one thing more of the first job."""

    def read(self, job: Job, previous: Status | None) -> Generator[Any, Any, Status]:
        """Asks on and on."""
        asked = 0
        while job.keys["build_job_id"] == "0":
            yield Request(f"/again/{asked}")
            asked += 1
        return (yield from super().read(job, previous))


async def test_a_provider_that_asks_for_ever_is_stopped_and_other_jobs_are_read(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter(
            "systems:\n" + caps_config(docs.url, 2, more="concurrency: 1"),
            tmp_path,
            registry=with_provider(Endless),
        ) as running,
    ):
        samples = await running.scrape()
    assert samples.get_one("remote_job_up", job_id="p/0/en") == 0
    assert samples.state("p/1/en") == "succeeded"
    assert 1 < len(docs.asked) < 20


def with_token(url: str, **more: str) -> str:
    keys = {
        "type": "oauth2",
        "token_url": f"'{url}/token'",
        "client_id": "me",
        "client_secret": "hush",
        **more,
    }
    return "auth: {" + ", ".join(f"{key}: {value}" for key, value in keys.items()) + "}"


async def test_a_token_that_does_not_come_in_time_is_no_credential(tmp_path: Path) -> None:
    def answered(asked: Asked) -> Told:
        return Told(after=never) if asked.path == "/token" else Told(caps())

    async with (
        vendor(answered) as docs,
        exporter(
            "systems:\n" + caps_config(docs.url, 3, more=f"timeout: 1s\n{with_token(docs.url)}"), tmp_path
        ) as running,
    ):
        samples = await running.scrape()
        assert [samples.reason(f"p/{job}/en") for job in range(3)] == ["auth"] * 3
        assert docs.count() == {"/token": 1}


@pytest.mark.parametrize("error", [RuntimeError("hunter2"), StopIteration("hunter2"), SystemExit(3)])
async def test_an_error_of_ours_in_a_credential_is_no_credential_and_shows_nothing(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def renew(*_: object) -> None:
        raise error

    monkeypatch.setattr(OAuth2, "renew", renew)
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url, more=with_token(docs.url)), tmp_path) as running,
    ):
        samples = await running.scrape()
    assert samples.reason("p/0/en") == "auth"
    assert samples.get_one("remote_job_system_up", system="docs") == 0
    (record,) = (record for record in caplog.records if record.getMessage() == "could not get credentials")
    assert vars(record)["detail"] == "the credential could not be renewed (RuntimeError)"
    assert docs.asked == []


async def test_a_credential_whose_expiry_cannot_be_read_costs_no_scrape_and_one_log_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def expires_at(*_: object) -> None:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(OAuth2, "expires_at", expires_at)
    token = Told({"access_token": "t", "expires_in": 3600})
    async with (
        vendor(lambda asked: token if asked.path == "/token" else Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url, more=with_token(docs.url)), tmp_path) as running,
    ):
        for _ in range(2):
            assert (await running.scrape()).state("p/0/en") == "succeeded"
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("failed to read the expiry of credentials") == 1
