"""Responses that the vendor confirms with 304 instead of sending them again."""

from collections.abc import Mapping, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from exporter.auth.none import NoCredential, NoneKeys
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.clock import SYSTEM_CLOCK
from exporter.model.http import Headers, Request, Response
from exporter.transport import ConnectionSettings, HeaderFields, PreparedRequest
from exporter.upstream import stored
from exporter.upstream.client import Client, ClientSettings
from exporter.upstream.stored import KEPT_SECONDS, OVERHEAD, StoredResponses
from tests.clock import FakeClock
from tests.vendor import Asked, Told, exporter, vendor

ETAG = '"a1"'
OLD = formatdate(0, usegmt=True)
RUNNING = {"state": "running"}


def config(url: str, more: str = "", defaults: str = "min_interval: 0s") -> str:
    return f"""defaults: {{{defaults}}}
systems:
  forge:
    provider: json
    base_url: {url}
    read: {{path: "/runs/{{id}}", state: state}}
    jobs: [{{id: a}}]
    {more}
"""


class Forge:
    """Has one state, and confirms it to those who know its ETag or its date."""

    def __init__(self, **headers: str) -> None:
        self.body: Any = RUNNING
        self.headers = headers or {"ETag": ETAG}
        self.more: Mapping[str, str] = {}

    def __call__(self, asked: Asked) -> Told:
        known = asked.headers.get("if-none-match") or asked.headers.get("if-modified-since")
        headers = {name.replace("_", "-"): value for name, value in self.headers.items()}
        if known is not None and known in headers.values():
            return Told(b"", 304, {**self.more})
        return Told(self.body, 200, {**headers, **self.more})


@pytest.mark.parametrize(
    "headers", [{"ETag": ETAG}, {"ETag": "W/" + ETAG}, {"ETag": "5f3a-1b"}, {"Last_Modified": OLD}]
)
async def test_a_response_that_did_not_change_is_confirmed_and_not_sent_again(
    headers: dict[str, str], tmp_path: Path
) -> None:
    forge = Forge(**headers)
    async with vendor(forge) as server, exporter(config(server.url), tmp_path) as running:
        moments = []
        for left in (10, 9, 9):
            forge.more = {"X-RateLimit-Remaining": str(left)}
            samples = await running.scrape()
            assert samples.state("a") == "running"
            assert samples.get_one("remote_job_system_rate_limit_remaining") == left
            moments.append(samples.get_one("remote_job_read_timestamp_seconds") or 0.0)
        forge.body, forge.headers = {"state": "queued"}, {"ETag": '"a2"'}
        assert (await running.scrape()).state("a") == "queued"
        samples = await running.scrape()
        assert samples.state("a") == "queued"
    assert moments == sorted(set(moments))
    count = "remote_job_exporter_requests_total"
    assert samples.get_one(count, code="200") == 2
    assert samples.get_one(count, code="304") == 3


async def conditions(server: Any, running: Any, scrapes: int = 3) -> list[tuple[str | None, str | None]]:
    """The conditions of the requests of some scrapes."""
    for _ in range(scrapes):
        await running.scrape()
    names = ("if-none-match", "if-modified-since")
    return [tuple(asked.headers.get(name) for name in names) for asked in server.asked]


NEVER = [(None, None)] * 3


@pytest.mark.parametrize(
    ("more", "defaults"),
    [("conditional: false", "min_interval: 0s"), ("", "min_interval: 0s, conditional: false")],
)
async def test_conditional_requests_can_be_switched_off(more: str, defaults: str, tmp_path: Path) -> None:
    async with (
        vendor(Forge()) as server,
        exporter(config(server.url, more, defaults), tmp_path) as running,
    ):
        assert await conditions(server, running) == NEVER


async def test_a_signed_request_gets_no_condition(tmp_path: Path) -> None:
    auth = "auth: {type: huawei_aksk, access_key: a, secret_key: hush}"
    async with vendor(Forge()) as server, exporter(config(server.url, auth), tmp_path) as running:
        assert await conditions(server, running) == NEVER


@pytest.mark.parametrize(
    "headers",
    [
        {"Last_Modified": "now"},  # it may change again in the same second
        {"Last_Modified": "yesterday"},
        {"ETag": '"a b"'},
        {"ETag": '"' + "x" * 600 + '"'},
        {"ETag": ""},
        {"ETag": '""'},  # the same for every version
        {"ETag": "*"},  # as a condition: any version
        {"ETag": '"a1","a2"'},
        {"ETag": ETAG, "Cache_Control": "private, no-store"},
        {"ETag": ETAG, "Vary": "*"},
    ],
)
async def test_a_response_that_must_not_be_confirmed_is_read_again(
    headers: dict[str, str], tmp_path: Path
) -> None:
    headers = {name: formatdate(usegmt=True) if value == "now" else value for name, value in headers.items()}
    async with vendor(Forge(**headers)) as server, exporter(config(server.url), tmp_path) as running:
        assert await conditions(server, running) == NEVER


async def test_a_condition_of_the_configuration_is_not_replaced(tmp_path: Path) -> None:
    own = """headers: {If-None-Match: '"mine"'}"""
    async with vendor(Forge()) as server, exporter(config(server.url, own), tmp_path) as running:
        assert await conditions(server, running) == [('"mine"', None)] * 3


async def test_a_304_to_a_request_without_a_condition_is_an_error(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(b"", 304, {"ETag": ETAG})) as server,
        exporter(config(server.url), tmp_path) as running,
    ):
        assert (await running.scrape()).reason("a") == "redirect"


@pytest.mark.parametrize(
    ("first", "told"),
    [
        ({"ETag": ETAG}, Told(b"", 304, {"ETag": '"a2"'})),
        ({"Last_Modified": OLD}, Told(b"", 304, {"Last-Modified": formatdate(3600, usegmt=True)})),
        ({"ETag": ETAG}, Told(b"", 412)),
    ],
)
async def test_a_server_that_contradicts_a_condition_gets_no_other(
    first: dict[str, str], told: Told, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forge = Forge(**first)

    def answer(asked: Asked) -> Told:
        return told if {"if-none-match", "if-modified-since"} & asked.headers.keys() else forge(asked)

    caplog.set_level("INFO")
    async with vendor(answer) as server, exporter(config(server.url), tmp_path) as running:
        for state in ("running", "queued", "idle"):
            forge.body = {"state": state}
            assert (await running.scrape()).state("a") == state
    assert len(server.asked) == 4
    assert [each.message for each in caplog.records].count(
        "conditional requests do not work and are switched off"
    ) == 1


async def test_only_a_304_that_asks_to_wait_delays_the_next_read(tmp_path: Path) -> None:
    forge, clock = Forge(), FakeClock()
    forge.more = {"Retry-After": "60"}
    async with vendor(forge) as server, exporter(config(server.url), tmp_path, clock=clock) as running:
        for asked, then in ((1, {}), (2, {"Retry-After": "60"}), (3, {}), (3, {})):
            await running.scrape()
            assert len(server.asked) == asked
            forge.more = then
            clock.turn(61 if asked == 1 else 1)


async def test_a_304_may_have_the_strong_form_of_a_weak_etag(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Told:
        known = "if-none-match" in asked.headers
        return Told(b"", 304, {"ETag": ETAG}) if known else Told(RUNNING, headers={"ETag": "W/" + ETAG})

    async with vendor(answer) as server, exporter(config(server.url), tmp_path) as running:
        for _ in range(3):
            assert (await running.scrape()).state("a") == "running"
    assert len(server.asked) == 3


@pytest.mark.parametrize("body", [b"<html>", b'{"state": "runn'])
async def test_a_response_that_was_not_understood_is_never_confirmed(body: bytes, tmp_path: Path) -> None:
    forge = Forge()
    forge.body = body
    async with vendor(forge) as server, exporter(config(server.url), tmp_path) as running:
        assert (await running.scrape()).reason("a") == "invalid_response"
        forge.body = RUNNING
        assert (await running.scrape()).state("a") == "running"
    assert "if-none-match" not in server.asked[1].headers


async def test_another_token_does_not_get_what_the_first_one_read(tmp_path: Path) -> None:
    token, clock = tmp_path / "token", FakeClock()
    token.write_text("first")
    auth = "auth: {type: bearer, token: {file: token}}"
    async with (
        vendor(Forge()) as server,
        exporter(config(server.url, auth), tmp_path, clock=clock) as running,
    ):
        await conditions(server, running, 2)
        token.write_text("second")
        clock.turn(60)
        assert await conditions(server, running, 2) == [(None, None), (ETAG, None)] * 2
    assert server.asked[2].headers["authorization"] == "Bearer second"


async def test_a_page_that_did_not_change_still_names_the_next_page(tmp_path: Path) -> None:
    listing = """discover: {path: /runs, items: runs, keys: {id: id}, state: state, paging: {header: Link}}"""

    def answer(asked: Asked) -> Told:
        if "if-none-match" in asked.headers:
            return Told(b"", 304, {"Content-Type": "text/html"})
        page = asked.path.partition("page=")[2] or "1"
        link = {"Link": f'<{server.url}/runs?page=2>; rel="next"'} if page == "1" else {}
        return Told({"runs": [{"id": page, "state": "running"}]}, headers={"ETag": ETAG, **link})

    async with (
        vendor(answer) as server,
        exporter(config(server.url, listing).replace("    jobs: [{id: a}]\n", ""), tmp_path) as running,
    ):
        for _ in range(2):
            samples = await running.scrape()
            assert [samples.state(job) for job in "12"] == ["running"] * 2
    assert [asked.path for asked in server.asked] == ["/runs", "/runs?page=2"] * 2
    assert samples.get_one("remote_job_exporter_requests_total", code="304") == 2


async def test_a_probe_shows_that_the_last_response_is_used_again(tmp_path: Path) -> None:
    auth = "auth: {type: bearer, token: hush-token}"
    forge = Forge(ETag='"hush-token"')  # sent back by the vendor
    async with vendor(forge) as server, exporter(config(server.url, auth), tmp_path) as running:
        for etag, shown in (('"hush-token"', "***"), (ETAG, ETAG)):
            forge.headers = {"ETag": etag}
            await running.scrape()
            page = (await running.get("/probe?system=forge&id=a&debug=true")).text
            assert f"If-None-Match: {shown}" in page
            assert (
                "HTTP status 304, 0 bytes\n  not modified: the last response (20 bytes) is used again" in page
            )
            assert "hush" not in page


class Cookies(NoCredential):
    """Keeps the cookies of successful responses."""

    keeps_cookies = True

    def __init__(self) -> None:
        super().__init__(NoneKeys())
        self.cookies: list[str] = []

    def store_cookies(self, version: object, cookies: Sequence[str]) -> None:
        self.cookies += cookies


async def test_a_304_updates_the_headers_and_the_cookies() -> None:
    forge, credential = Forge(), Cookies()
    async with vendor(forge) as server:
        client = Client(
            ClientSettings(server.url, {}, timeout=5.0, concurrency=1),
            credential=credential,
            connection=ConnectionSettings(),
            instrumentation=Instrumentation("0").of("forge"),
            clock=SYSTEM_CLOCK,
        )
        for number in "123":
            forge.more = {"Set-Cookie": f"n={number}", "Age": number, "Content-Type": number}
            deadline = SYSTEM_CLOCK.monotonic() + 5
            response = await client.send(Request("/a"), deadline=deadline, max_bytes=100)
            assert (response.status, response.json(), response.headers["age"]) == (200, RUNNING, number)
            assert response.headers["content-type"] == "1"
        await client.close(grace=0)
    assert len([asked for asked in server.asked if "if-none-match" in asked.headers]) == 2
    assert credential.cookies == ["n=1", "n=2", "n=3"]


def response(body: bytes, **headers: str) -> Response:
    lines = [f"{name.replace('_', '-')}: {value}\r\n".encode() for name, value in headers.items()]
    return Response(200, body, Headers(b"".join([b"HTTP/1.1 200 OK\r\n", *lines, b"\r\n"])))


PREPARED = PreparedRequest("GET", "http://a.example/", HeaderFields({}))


async def test_a_post_gets_no_condition(tmp_path: Path) -> None:
    async with vendor(Forge()) as server:
        text = config(server.url).replace('read: {path: "/runs/{id}"', 'read: {method: POST, path: "/{id}"')
        async with exporter(text, tmp_path) as running:
            assert await conditions(server, running) == NEVER


def test_a_large_response_is_not_stored() -> None:
    responses = StoredResponses(FakeClock())
    responses.store(Request("/a"), 1, PREPARED, response(b"x" * (stored.MAX_BODY + 1), ETag=ETAG))
    assert responses.find(Request("/a"), 1) is None
    responses.store(Request("/a"), 1, PREPARED, response(b"x" * stored.MAX_BODY, ETag=ETAG))
    assert responses.find(Request("/a"), 1) is not None


def test_a_response_that_is_used_keeps_its_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MAX_BYTES", 3 * (OVERHEAD + 200))
    clock = FakeClock()
    responses = StoredResponses(clock)

    def store(path: str) -> None:
        responses.store(Request(path), 1, PREPARED, response(b"x" * 100, ETag=ETAG))

    def kept(*paths: str) -> list[str]:
        return [path for path in paths if responses.find(Request(path), 1) is not None]

    for path in "abcd":
        store(path)
    assert kept("d", "c", "b", "a") == ["c", "b", "a"]
    clock.turn(KEPT_SECONDS / 2)
    assert kept("b", "c") == ["b", "c"]
    clock.turn(KEPT_SECONDS / 2)
    store("d")
    store("e")
    assert kept(*"abcde") == ["b", "c", "d"]


def test_responses_that_are_never_used_again_do_not_fill_the_space() -> None:
    clock = FakeClock()
    responses = StoredResponses(clock)
    for minute in range(100):
        responses.store(Request(f"/runs?since={minute}"), 1, PREPARED, response(b"x" * 1000, ETag=ETAG))
        assert responses.find(Request(f"/runs?since={minute}"), 1) is not None
        clock.turn(60)
    assert responses.bytes < (KEPT_SECONDS / 60 + 1) * (1000 + OVERHEAD + 200)


class Store(RuleBasedStateMachine):
    """Any order of responses, whose bodies name request and version."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(stored, "MAX_BYTES", 1 << 20)
        self.clock = FakeClock()
        self.responses = StoredResponses(self.clock)
        self.last: dict[str, tuple[int, bytes]] = {}

    @rule(path=st.sampled_from("abcdef"), version=st.integers(1, 2), size=st.integers(1, 1 << 19))
    def receives(self, path: str, version: int, size: int) -> None:
        body = f"{path}{version}".encode() * (size // 2)
        self.responses.store(Request(path), version, PREPARED, response(body, ETag=ETAG))
        self.last[path] = version, body

    @rule(path=st.sampled_from("abcdef"))
    def receives_without_etag(self, path: str) -> None:
        self.responses.store(Request(path), 1, PREPARED, response(b"{}"))
        self.last.pop(path, None)

    @rule(path=st.sampled_from("abcdef"))
    def rejects(self, path: str) -> None:
        self.responses.forget(Request(path))
        self.last.pop(path, None)

    @rule(path=st.sampled_from("abcdef"), version=st.integers(1, 2))
    def reads(self, path: str, version: int) -> None:
        found = self.responses.find(Request(path), version)
        if found is not None:
            assert self.last[path] == (version, found.body)

    @rule(seconds=st.sampled_from((60.0, KEPT_SECONDS)))
    def waits(self, seconds: float) -> None:
        self.clock.turn(seconds)

    @invariant()
    def is_bounded(self) -> None:
        assert 0 <= self.responses.bytes <= stored.MAX_BYTES

    def teardown(self) -> None:
        for path in "abcdef":
            self.responses.forget(Request(path))
        assert self.responses.bytes == 0
        self.patch.undo()


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
