"""Every kind of secret is replaced while scrapes run; what need not fail does not fail."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
import trustme

from exporter.auth.huawei_aksk import HuaweiAkSk, HuaweiAkSkKeys
from tests.clock import FakeClock
from tests.vendor import Asked, Exporter, Told, caps, exporter, vendor
from tests.waiting import LIMIT, seen

LOGIN = "/api/1/services/api/1/security/login.json"
JOBS = 6


class Mounted:
    """A folder of secrets as Kubernetes mounts it: links to a link that is replaced at once."""

    def __init__(self, folder: Path, **files: bytes) -> None:
        self.folder = folder
        self.folder.mkdir()
        self.versions = 0
        self.swap(**files)
        for name in files:
            (folder / name).symlink_to(f"..data/{name}")

    def swap(self, **files: bytes) -> None:
        self.versions += 1
        version = self.folder / f"..version{self.versions}"
        version.mkdir()
        for name, content in files.items():
            (version / name).write_bytes(content)
        (self.folder / "..new").symlink_to(version.name)
        (self.folder / "..new").replace(self.folder / "..data")


def secrets(number: int) -> dict[str, str]:
    """The secrets of one generation, by the name of their file."""
    return {"one": f"first-{number}", "two": f"second-{number}"}


def files(number: int) -> dict[str, bytes]:
    return {name: f"{value}\n".encode() for name, value in secrets(number).items()}


ONE, TWO = {"file": "secrets/one"}, {"file": "secrets/two"}
Shows = Callable[[Asked, Mapping[str, str]], bool]


def basic(asked: Asked, secret: Mapping[str, str]) -> bool:
    wanted = base64.b64encode(f"me:{secret['one']}".encode()).decode()
    return asked.headers.get("authorization") == f"Basic {wanted}"


def bearer(asked: Asked, secret: Mapping[str, str]) -> bool:
    return asked.headers.get("authorization") == f"Bearer {secret['one']}"


def headers(asked: Asked, secret: Mapping[str, str]) -> bool:
    return (asked.headers.get("x-key"), asked.headers.get("x-other")) == (secret["one"], secret["two"])


def signature(asked: Asked, secret: Mapping[str, str]) -> bool:
    """Both keys have to be of one generation: a signature tells."""
    keys = HuaweiAkSkKeys.model_validate(
        {"type": "huawei_aksk", "access_key": secret["one"], "secret_key": secret["two"]}
    )
    then = datetime.strptime(asked.headers["x-sdk-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    request = requests.Request("GET", f"http://{asked.headers['host']}{asked.path}").prepare()
    HuaweiAkSk(keys, clock=then.timestamp).apply(request)
    return request.headers["Authorization"] == asked.headers["authorization"]


def client_secret(asked: Asked, secret: Mapping[str, str]) -> bool:
    return parse_qs(asked.body.decode())["client_secret"] == [secret["one"]]


def iam_password(asked: Asked, secret: Mapping[str, str]) -> bool:
    user = json.loads(asked.body)["auth"]["identity"]["password"]["user"]
    return bool(user["password"] == secret["one"])


def login_password(asked: Asked, secret: Mapping[str, str]) -> bool:
    return bool(json.loads(asked.body)["password"] == secret["one"])


def give_oauth2(token: str) -> Told:
    return Told({"access_token": token, "expires_in": 3600})


def give_iam(token: str) -> Told:
    return Told({"token": {}}, 201, {"X-Subject-Token": token})


def give_session(token: str) -> Told:
    return Told({}, headers={"Set-Cookie": f"JSESSIONID={token}; Path=/"})


def token_in(name: str) -> Callable[[Asked], str]:
    """What stands in a header behind its scheme or the cookie's name."""
    return lambda asked: asked.headers.get(name, "").rpartition(" ")[2].rpartition("=")[2]


@dataclass(frozen=True)
class Kind:
    """A kind of credential: its config, and how its vendor knows it.

    Args:
        shows: whether a request shows a generation of the secret.
        gives: the answer with a token, for kinds that fetch one.
        shown: the token that a read shows.
    """

    auth: dict[str, Any]
    shows: Shows
    gives: Callable[[str], Told] | None = None
    shown: Callable[[Asked], str] | None = None
    provider: str = "caps"


IAM = {"username": "u", "domain": "d", "project": "p", "token_url": "http://VENDOR/token"}
CLIENT = {"client_id": "c", "token_url": "http://VENDOR/token"}
KINDS = {
    "basic": Kind({"username": "me", "password": ONE}, basic),
    "bearer": Kind({"token": ONE}, bearer),
    "headers": Kind({"headers": {"X-Key": ONE, "X-Other": TWO}}, headers),
    "huawei_aksk": Kind({"access_key": ONE, "secret_key": TWO}, signature, provider="codearts"),
    "oauth2": Kind({**CLIENT, "client_secret": ONE}, client_secret, give_oauth2, token_in("authorization")),
    "huawei_token": Kind({**IAM, "password": ONE}, iam_password, give_iam, token_in("x-auth-token")),
    "crafter_session": Kind(
        {"username": "u", "password": ONE}, login_password, give_session, token_in("cookie"), "crafter"
    ),
}
JOB: dict[str, Callable[[int], dict[str, Any]]] = {
    "caps": lambda number: {"project_id": "p", "build_job_id": str(number), "locale": "en"},
    "codearts": lambda number: {"job_id": "0" * 32, "build_no": number + 1},
    "crafter": lambda number: {"site_id": f"s{number}"},
}
BODY: dict[str, Any] = {
    "caps": caps("Running"),
    "codearts": {"status": "success", "result": {"state": "SUCCESS", "job_running_status": "Finished"}},
    "crafter": {"status": "idle", "message": ""},
}


@dataclass
class Gate:
    """A vendor that takes some generations of a secret, and only tokens that were got with these.

    Attributes:
        reads: the generation that each read showed; None where none was taken.
    """

    kind: Kind
    takes: set[int] = field(default_factory=lambda: {1})
    reads: list[int | None] = field(default_factory=list)
    calls: int = 0
    waiting: int = 0
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    issued: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.opened.set()

    def __call__(self, asked: Asked) -> Told:
        if asked.path in ("/token", LOGIN):
            return self.issue(asked)
        generation = self.generation(asked)
        self.reads.append(generation)
        if generation is None:
            return Told({}, 401)
        return Told(BODY[self.kind.provider], after=self._pass)

    async def _pass(self) -> None:
        self.waiting += 1
        await self.opened.wait()
        self.waiting -= 1

    @asynccontextmanager
    async def shut(self) -> AsyncIterator[None]:
        """Reads are under way, and none ends, while something changes."""
        self.opened.clear()
        await seen(lambda: self.waiting, "reads under way")
        yield
        self.opened.set()

    def issue(self, asked: Asked) -> Told:
        self.calls += 1
        generation = self.taken(asked)
        if generation is None or self.kind.gives is None:
            return Told({"error": "invalid_client"}, 401)
        self.issued[f"t{self.calls}"] = generation
        return self.kind.gives(f"t{self.calls}")

    def generation(self, asked: Asked) -> int | None:
        if self.kind.shown is None:
            return self.taken(asked)
        generation = self.issued.get(self.kind.shown(asked))
        return generation if generation in self.takes else None

    def taken(self, asked: Asked) -> int | None:
        return next((number for number in self.takes if self.kind.shows(asked, secrets(number))), None)


def config(kind: str, url: str) -> str:
    """YAML, and so JSON, of one system with this kind of credential."""
    how = KINDS[kind]
    auth = json.loads(json.dumps({"type": kind, **how.auth}).replace("http://VENDOR", url))
    jobs = [JOB[how.provider](number) for number in range(JOBS)]
    system = {"provider": how.provider, "base_url": url, "concurrency": 4, "auth": auth, "jobs": jobs}
    options = {"api": "v1"} if how.provider == "crafter" else {}
    return json.dumps(
        {"defaults": {"min_interval": "0s", "final_interval": "0s"}, "systems": {"s": {**system, **options}}}
    )


@dataclass
class Watch:
    """What scrapers saw, again and again: the reasons of jobs that could not be read."""

    running: Exporter
    seen: list[set[str]] = field(default_factory=list)
    another: asyncio.Event = field(default_factory=asyncio.Event)

    async def scrape(self) -> set[str]:
        samples = await self.running.scrape()
        assert len(samples.all("remote_job_up")) == JOBS
        return {labels["reason"] for labels, _ in samples.all("remote_job_read_error_info")}

    async def go_on(self) -> None:
        while True:
            self.seen.append(await self.scrape())
            self.another.set()

    async def until(self, done: Callable[[], bool]) -> None:
        """Lets the scrapers go on until something has happened, and a little longer."""
        enough = 0
        async with asyncio.timeout(LIMIT):
            while not (enough and len(self.seen) >= enough):
                self.another.clear()
                await self.another.wait()
                if not enough and done():
                    enough = len(self.seen) + 4


@asynccontextmanager
async def scraping(running: Exporter) -> AsyncIterator[Watch]:
    watch = Watch(running)
    assert await watch.scrape() == set()
    tasks = [asyncio.create_task(watch.go_on()) for _ in range(2)]
    try:
        yield watch
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    return Mounted(tmp_path / "secrets", **files(1))


@pytest.mark.parametrize("kind", KINDS)
async def test_no_read_fails_where_the_vendor_takes_old_and_new_for_a_while(
    kind: str, mounted: Mounted, tmp_path: Path
) -> None:
    gate, clock = Gate(KINDS[kind]), FakeClock()
    async with (
        vendor(gate) as server,
        exporter(config(kind, server.url), tmp_path, clock=clock) as running,
        scraping(running) as watch,
    ):
        async with gate.shut():
            gate.takes.add(2)
            mounted.swap(**files(2))
            clock.turn(2)
        await watch.until(lambda: gate.reads[-1] == 2)
        gate.takes.remove(1)
        await watch.until(lambda: True)
        assert set().union(*watch.seen) == set()
    assert None not in gate.reads
    assert gate.reads == sorted(number for number in gate.reads if number)
    assert gate.calls == (2 if KINDS[kind].gives else 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_no_read_fails_where_vendor_and_file_change_at_once(
    kind: str, mounted: Mounted, tmp_path: Path
) -> None:
    """A refusal makes the file be looked at, however short ago that was: the clock does not move."""
    gate = Gate(KINDS[kind])
    async with (
        vendor(gate) as server,
        exporter(config(kind, server.url), tmp_path, clock=FakeClock()) as running,
        scraping(running) as watch,
    ):
        async with gate.shut():
            gate.takes = {2}
            mounted.swap(**files(2))
        await watch.until(lambda: 2 in gate.reads)
        assert set().union(*watch.seen) == set()
    assert gate.calls == (2 if KINDS[kind].gives else 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_refused_is_read_as_soon_as_the_file_has_the_new_secret(
    kind: str, mounted: Mounted, tmp_path: Path
) -> None:
    gate, clock = Gate(KINDS[kind]), FakeClock()
    async with (
        vendor(gate) as server,
        exporter(config(kind, server.url), tmp_path, clock=clock) as running,
        scraping(running) as watch,
    ):
        async with gate.shut():
            gate.takes = {2}
        refused = "auth" if KINDS[kind].gives else "unauthorized"
        await watch.until(lambda: refused in watch.seen[-1])
        calls = gate.calls
        assert watch.seen[-1] == {refused}
        mounted.swap(**files(2))
        clock.turn(2)  # not the back-off
        await watch.until(lambda: 2 in gate.reads)
        assert watch.seen[-2:] == [set(), set()]
        assert set().union(*watch.seen) == {refused}
    # The endpoint was left alone while nothing had changed.
    assert gate.calls == calls + (1 if KINDS[kind].gives else 0)


def issued(authority: trustme.CA, name: str) -> dict[str, bytes]:
    leaf = authority.issue_cert(name)
    return {"cert": leaf.cert_chain_pems[0].bytes(), "key": leaf.private_key_pem.bytes()}


async def test_client_certificate_and_ca_are_replaced_under_way(tmp_path: Path) -> None:
    clock = FakeClock()
    old, new, clients = trustme.CA(), trustme.CA(), trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_REQUIRED
    clients.configure_trust(context)
    old.issue_cert("127.0.0.1").configure_cert(context)
    certificates: list[str] = []
    refused: set[str] = set()

    def answer(asked: Asked) -> Told:
        if asked.certificate not in certificates:
            certificates.append(asked.certificate)
        status = 403 if asked.certificate in refused else 200
        return Told(caps("Running"), status, {"Connection": "close"} if len(refused) else {})

    first, second = issued(clients, "one@example.com"), issued(clients, "two@example.com")
    old_ca, new_ca = old.cert_pem.bytes(), new.cert_pem.bytes()
    mounted = Mounted(tmp_path / "tls", ca=old_ca, **first)
    async with vendor(answer, context) as server:
        tls = {"ca_file": "tls/ca", "cert_file": "tls/cert", "key_file": "tls/key"}
        text = json.loads(config("bearer", server.url))
        text["systems"]["s"] |= {"tls": tls, "auth": {"type": "none"}}
        async with (
            exporter(json.dumps(text), tmp_path, clock=clock) as running,
            scraping(running) as watch,
        ):
            # Both CAs first, then the server's certificate, then the old CA goes.
            mounted.swap(ca=old_ca + new_ca, **second)
            clock.turn(6)
            await watch.until(lambda: len(certificates) == 2)
            refused.add(certificates[0])
            new.issue_cert("127.0.0.1").configure_cert(context)
            await watch.until(lambda: True)
            mounted.swap(ca=new_ca, **second)
            await watch.until(lambda: True)
            clock.turn(6)
            await watch.until(lambda: True)
            assert set().union(*watch.seen) == set()
    assert len(certificates) == 2
