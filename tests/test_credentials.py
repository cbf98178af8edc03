"""Credentials of a whole exporter: renewed without making reads wait, and when they end."""

import asyncio
import base64
import datetime as dt
import json
import os
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from exporter.simulator import config, create_app
from tests.clock import FakeClock
from tests.simulator.conftest import Clock, serving
from tests.vendor import (
    Asked,
    Exporter,
    Samples,
    Told,
    caps,
    caps_config,
    exporter,
    read_samples,
    vendor,
)
from tests.waiting import seen

EXPIRY = "remote_job_system_credentials_expiry_timestamp_seconds"
EAGER = "defaults: {min_interval: 0s}\n"
PASSWORD = "kept-to-ourselves"
LOGIN = "/api/1/services/api/1/security/login.json"
END = 1_900_000_000


def ups(samples: Samples) -> list[float]:
    return [value for _, value in samples.all("remote_job_up")]


class Issuer:
    """A vendor with a token endpoint: ``token`` answers the n-th token call, reads take any token."""

    def __init__(self, token: Callable[[int], Told]) -> None:
        self.token = token
        self.calls = 0
        self.shown: list[str] = []

    def __call__(self, asked: Asked) -> Told:
        if asked.path == "/token":
            self.calls += 1
            return self.token(self.calls)
        self.shown.append(asked.headers["authorization"])
        return Told(caps())


def issued(name: str, seconds: float = 3600) -> Told:
    return Told({"access_token": name, "token_type": "Bearer", "expires_in": seconds})


def with_oauth2(url: str, jobs: int = 3) -> str:
    auth = f"auth: {{type: oauth2, token_url: {url}/token, client_id: c, client_secret: {PASSWORD}}}"
    return EAGER + "systems:\n" + caps_config(url, jobs, more=auth)


async def scrape_until(running: Exporter, done: Callable[[], bool], what: str) -> None:
    """Scrapes again and again; each has to be complete."""

    async def look() -> bool:
        assert set(ups(await running.scrape())) == {1}
        return done()

    await seen(look, what)


async def test_an_early_renewal_that_hangs_makes_no_read_wait(tmp_path: Path) -> None:
    answered = asyncio.Event()

    def token(call: int) -> Told:
        return issued("t1") if call == 1 else Told(issued("t2").body, after=answered.wait)

    issuer, clock = Issuer(token), FakeClock()
    async with vendor(issuer) as docs, exporter(with_oauth2(docs.url), tmp_path, clock=clock) as running:
        assert set(ups(await running.scrape())) == {1}
        clock.turn(3599)  # the token serves for another second
        await scrape_until(running, lambda: issuer.calls == 2, "an early renewal")
        # Complete, while the renewal cannot end.
        assert set(ups(await running.scrape())) == {1}
        assert set(issuer.shown) == {"Bearer t1"}
        assert issuer.calls == 2
        answered.set()
        await scrape_until(running, lambda: "Bearer t2" in issuer.shown, "the new token")
        assert issuer.calls == 2


@pytest.mark.parametrize(
    ("status", "retry_after", "date", "seconds"),
    [
        (429, "60", "", 60),
        (503, "Sun, 01 Mar 2026 12:01:00 GMT", "Sun, 01 Mar 2026 12:00:00 GMT", 60),
        (429, "86400", "", 900),
        (429, "1", "", 5),
        (429, "soon", "", 5),
        (401, "60", "", 5),
    ],
)
async def test_a_token_endpoint_that_asks_to_wait_gets_no_request_before(
    status: int, retry_after: str, date: str, seconds: float, tmp_path: Path
) -> None:
    headers = {"Retry-After": retry_after, **({"Date": date} if date else {})}
    issuer, clock = Issuer(lambda _: Told({}, status, headers)), FakeClock()
    async with vendor(issuer) as docs, exporter(with_oauth2(docs.url), tmp_path, clock=clock) as running:
        await running.scrape()
        clock.turn(seconds - 0.5)
        await running.scrape()
        assert issuer.calls == 1
        clock.turn(1)
        await running.scrape()
        assert issuer.calls == 2


async def test_an_early_renewal_that_fails_is_told_when_the_old_token_has_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = Issuer(lambda call: issued("t1") if call == 1 else Told({"error": "chatter"}, 503))
    clock, others = FakeClock(), set(threading.enumerate())

    def no_renewal() -> bool:
        """Whether none is under way: each runs in a daemon thread of its own."""
        return not any(thread.daemon for thread in set(threading.enumerate()) - others)

    async with vendor(issuer) as docs, exporter(with_oauth2(docs.url), tmp_path, clock=clock) as running:
        assert set(ups(await running.scrape())) == {1}
        clock.turn(3597)
        await scrape_until(running, lambda: issuer.calls == 2, "an early renewal")
        await seen(no_renewal, "the end of the renewal")
        clock.turn(2.5)
        assert set(ups(await running.scrape())) == {1}
        assert issuer.calls == 2  # the one that failed is held back
        assert "could not get credentials" not in caplog.text
        clock.turn(1)
        samples = await running.scrape()
        assert {samples.reason(f"p/{n}/en") for n in range(3)} == {"auth"}
        assert samples.get_one("remote_job_system_read_error_info", system="docs", reason="auth") == 1
        await running.scrape()
        # Tried at once when it mattered, and then held back again.
        assert issuer.calls == 3
        assert [record.message for record in caplog.records].count("could not get credentials") == 1
        assert samples.get_one("remote_job_exporter_request_failures_total", reason="auth") == 1


def jwt(end: float) -> str:
    parts = ({"alg": "none"}, {"exp": end})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "c2ln"])


def put(path: Path, content: bytes) -> None:
    """Puts a file in place whole, as Kubernetes and careful people do."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    os.replace(new, path)  # noqa: PTH105  pathlib's own says no more


async def test_the_end_of_a_token_in_a_file_is_shown_and_kept_in_step(tmp_path: Path) -> None:
    clock = FakeClock()
    file = tmp_path / "token"
    put(file, jwt(END).encode() + b"\n")
    more = f"labels: {{squad: docs}}\nauth: {{type: bearer, token: {{file: {file}}}}}"
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url, more=more), tmp_path, clock=clock) as running,
    ):
        assert (await running.scrape()).get_one(EXPIRY, system="docs", squad="docs") == END
        put(file, jwt(END + 86400).encode())
        clock.turn(2)
        assert (await running.scrape()).get_one(EXPIRY) == END + 86400
        put(file, b"opaque")
        clock.turn(2)
        assert (await running.scrape()).all(EXPIRY) == []


async def test_the_first_to_end_of_token_and_client_certificate_is_shown(tmp_path: Path) -> None:
    cert, key = tmp_path / "client.pem", tmp_path / "client.key"
    authority = trustme.CA()

    def issue(end: int) -> None:
        leaf = authority.issue_cert("client@example.com", not_after=dt.datetime.fromtimestamp(end, dt.UTC))
        put(cert, leaf.cert_chain_pems[0].bytes())
        put(key, leaf.private_key_pem.bytes())

    issue(END - 5)
    tls = f"tls: {{cert_file: {cert}, key_file: {key}}}"
    async with vendor(lambda _: Told(caps())) as docs:
        systems = caps_config(docs.url, more=f"{tls}\nauth: {{type: bearer, token: {jwt(END)}}}")
        systems += caps_config(docs.url, more=tls, name="open")
        async with exporter("systems:\n" + systems, tmp_path) as running:
            samples = await running.scrape()
            assert samples.get_one(EXPIRY, system="docs") == END - 5
            assert samples.get_one(EXPIRY, system="open") == END - 5
            issue(END + 5)

            async def look() -> bool:
                samples = await running.scrape()
                shown = [samples.get_one(EXPIRY, system=system) for system in ("docs", "open")]
                return shown == [END, END + 5]

            await seen(look, "the end of the new certificate")
            cert.unlink()  # somebody is replacing it just now
            assert (await running.scrape()).get_one(EXPIRY, system="open") == END + 5


async def test_what_the_exporter_renews_itself_shows_no_end(tmp_path: Path) -> None:
    issuer = Issuer(lambda _: issued(jwt(END), 3600))
    async with vendor(issuer) as docs, exporter(with_oauth2(docs.url), tmp_path) as running:
        samples = await running.scrape()
        assert set(ups(samples)) == {1}
        assert samples.all(EXPIRY) == []


class Studio:
    """A Studio 3 that knows one session.

    Args:
        rotate: each answer to a read replaces its id.
        after: what a login waits for.
    """

    def __init__(self, *, rotate: bool = False, after: Callable[[], Awaitable[object]] | None = None) -> None:
        self.rotate = rotate
        self.after = after
        self.logins = 0
        self.refused = 0
        self.ids = 0
        self.session = ""

    def __call__(self, asked: Asked) -> Told:
        if asked.path == LOGIN:
            return self.login(asked)
        if not self.session or f"JSESSIONID={self.session}" not in asked.headers.get("cookie", "").split(
            "; "
        ):
            self.refused += 1
            # As real ones do: a stranger gets a session too, which opens nothing.
            return Told({"message": "Unauthorized"}, 401, {"Set-Cookie": "JSESSIONID=stranger; Path=/"})
        headers = self.new_session() if self.rotate else {}
        return Told({"status": "idle", "message": "idle"}, headers=headers)

    def login(self, asked: Asked) -> Told:
        self.logins += 1
        pair = asked.headers["x-xsrf-token"]
        if asked.headers["cookie"] != f"XSRF-TOKEN={pair}":
            return Told({}, 403)
        if json.loads(asked.body) != {"username": "u", "password": PASSWORD}:
            return Told({"message": f"Unauthorized {asked.body!r}"}, 401)
        return Told({"username": "u"}, headers=self.new_session(), after=self.after)

    def new_session(self) -> dict[str, str]:
        self.ids += 1
        self.session = f"id{self.ids}"
        return {"Set-Cookie": f"JSESSIONID={self.session}; Path=/studio; HttpOnly"}


def studio_config(url: str, sites: int = 8, *, password: str = PASSWORD, **more: Any) -> str:
    system = {
        "provider": "crafter",
        "base_url": url,
        "api": "v1",
        "auth": {"type": "crafter_session", "username": "u", "password": password},
        "jobs": [{"site_id": f"s{number}"} for number in range(sites)],
        **more,
    }
    return EAGER + "systems: " + json.dumps({"site": system})


async def test_many_reads_wait_for_one_login(tmp_path: Path) -> None:
    gate = asyncio.Event()
    studio = Studio(after=gate.wait)
    async with vendor(studio) as server, exporter(studio_config(server.url), tmp_path) as running:
        async with running.asking("/metrics") as body:
            await server.has_been_asked(1)
            gate.set()
            assert ups(read_samples(await body())) == [1] * 8
        for _ in range(2):
            assert ups(await running.scrape()) == [1] * 8
    assert (studio.logins, studio.refused) == (1, 0)


async def test_a_session_that_has_ended_is_logged_in_again_once(tmp_path: Path) -> None:
    studio = Studio()
    async with vendor(studio) as server, exporter(studio_config(server.url), tmp_path) as running:
        await running.scrape()
        studio.session = ""
        samples = await running.scrape()
        assert ups(samples) == [1] * 8
        assert samples.get_one("remote_job_system_up", system="site") == 1
    assert studio.logins == 2
    assert studio.refused == 8


async def test_a_session_whose_id_every_read_changes_lives_on(tmp_path: Path) -> None:
    studio = Studio(rotate=True)
    async with (
        vendor(studio) as server,
        exporter(studio_config(server.url, 4, concurrency=1), tmp_path) as running,
    ):
        for _ in range(3):
            assert ups(await running.scrape()) == [1] * 4
    assert (studio.logins, studio.refused, studio.ids) == (1, 0, 13)


async def test_a_wrong_password_costs_one_login_and_shows_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    studio = Studio()
    async with (
        vendor(studio) as server,
        exporter(studio_config(server.url, password="wrong-but-secret"), tmp_path) as running,
    ):
        pages = [(await running.get("/metrics")).text for _ in range(2)]
    for page in pages:
        assert read_samples(page).get_one("remote_job_system_read_error_info", reason="auth") == 1
        assert set(ups(read_samples(page))) == {0}
    told = "".join(repr(vars(record)) for record in caplog.records)
    assert ": HTTP status 401" in told
    assert "wrong-but-secret" not in "".join([told, *pages])
    assert (studio.logins, studio.refused) == (1, 0)


async def test_a_session_that_ends_with_a_redirect_to_the_login_is_logged_in_again_once(
    tmp_path: Path,
) -> None:
    sessions: list[str] = []

    def gateway(asked: Asked) -> Told:
        if asked.path == "/sign_in":
            assert asked.body == b"user=u&password=kept-to-ourselves"
            sessions.append(f"s{len(sessions)}")
            return Told(status=302, headers={"Location": "/", "Set-Cookie": f"_session={sessions[-1]}"})
        if asked.headers.get("cookie") != f"_session={sessions[-1]}":
            return Told(status=302, headers={"Location": "/sign_in"})
        return Told(caps())

    form = f"form: {{user: u, password: {PASSWORD}}}"
    auth = f"auth: {{type: login, url: /sign_in, {form}, cookies: true}}"
    async with vendor(gateway) as server:
        config = EAGER + "systems:\n" + caps_config(server.url, 3, more=auth)
        async with exporter(config, tmp_path) as running:
            assert ups(await running.scrape()) == [1, 1, 1]
            sessions.append("ended")
            assert ups(await running.scrape()) == [1, 1, 1]
    assert server.count()["/sign_in"] == 2


async def test_a_login_that_does_not_help_is_not_tried_at_every_read(tmp_path: Path) -> None:
    clock = FakeClock()

    def gateway(asked: Asked) -> Told:
        if asked.path == "/token":
            return Told({"access_token": "useless"}, 201)
        return Told({}, 401)

    body = f"body: {{username: u, password: {PASSWORD}}}"
    auth = f"auth: {{type: login, url: /token, {body}, token: access_token}}"
    async with vendor(gateway) as server:
        config = EAGER + "systems:\n" + caps_config(server.url, 3, more=auth)
        async with exporter(config, tmp_path, clock=clock) as running:
            for _ in range(5):
                clock.turn(5)
                samples = await running.scrape()
                assert ups(samples) == [0, 0, 0]
                assert samples.get_one("remote_job_system_read_error_info", reason="unauthorized") == 1
    assert server.count()["/token"] == 2


async def test_the_demo_reads_its_old_studio_on_the_next_day_too(tmp_path: Path) -> None:
    clock = Clock(time.time())
    with serving(lambda url: create_app(base_url=url, clock=clock)) as base_url:
        systems = yaml.safe_load(config(base_url))["systems"]
        system = systems["site-classic"]
        assert system["auth"]["type"] == "crafter_session"
        async with exporter(EAGER + yaml.safe_dump({"systems": {"site": system}}), tmp_path) as running:
            for seconds in (0, 3600, 86400):
                clock.now += seconds
                samples = await running.scrape()
                assert set(ups(samples)) == {1}
    asked = len(system["jobs"]) + 1  # the listing
    assert samples.get_one("remote_job_exporter_requests_total", code="401") == asked
