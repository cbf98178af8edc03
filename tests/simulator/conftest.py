"""The simulator on a real socket, with a clock that tests turn."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import pytest
import requests
import yaml
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.model.failure import Failure, Reason, reason_of_status
from exporter.model.http import Headers, Request, Response
from exporter.model.job import Job, Status
from exporter.providers import PROVIDERS
from exporter.providers.base import Found, Provider
from exporter.simulator import config, crafter, create_app, huawei
from exporter.web.server import Server

NOON = 1_772_366_400.0  # 2026-03-01T12:00:00Z


@dataclass
class Clock:
    now: float = NOON

    def __call__(self) -> float:
        return self.now


@contextmanager
def serving(make: Callable[[str], ASGIApp]) -> Iterator[str]:
    """Serves what `make` gives for a base_url, in a thread; yields the base_url."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await made(scope, receive, send)

    loop, server = asyncio.new_event_loop(), Server(app, ("127.0.0.1:0",))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(60)
        made = make(server.addresses[0])
        yield server.addresses[0]
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(0.2), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


@dataclass
class Simulated:
    """One served simulator and a client that knows the config's credentials."""

    base_url: str
    clock: Clock
    session: requests.Session
    tokens: dict[str, str] = field(default_factory=dict)

    @cached_property
    def systems(self) -> dict[str, Any]:
        systems: dict[str, Any] = yaml.safe_load(config(self.base_url))["systems"]
        return systems

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.base_url + path, allow_redirects=False, timeout=60, **options)

    def headers(self, system: str) -> dict[str, str]:
        """What the config's ``auth`` puts onto a request."""
        auth = self.systems[system]["auth"]
        match auth["type"]:
            case "headers":
                return dict(auth["headers"])
            case "bearer":
                return {"Authorization": f"Bearer {auth['token']}"}
            case "huawei_aksk":
                return {"X-Auth-Token": self.iam_token(huawei.USER)}
            case "crafter_session":
                return {"Cookie": f"JSESSIONID={self.studio_session(system)}"}
        return {"Authorization": f"Bearer {self.token(system)}"}

    def studio_session(self, system: str) -> str:
        settings = self.systems[system]
        url = settings["base_url"] + "/api/1/services/api/1/security/login.json"
        if url not in self.tokens:
            answer = self.session.post(
                url,
                json={name: settings["auth"][name] for name in ("username", "password")},
                headers={"X-XSRF-TOKEN": "x", "Cookie": "XSRF-TOKEN=x"},
                timeout=60,
            )
            assert answer.status_code == 200, answer.text
            login = {"Cookie": f"JSESSIONID={answer.cookies['JSESSIONID']}"}
            first = self.session.get(settings["base_url"] + crafter.V1, headers=login, timeout=60)
            self.tokens[url] = first.cookies["JSESSIONID"]
        return self.tokens[url]

    def token(self, system: str) -> str:
        form = {key: value for key, value in self.systems[system]["auth"].items() if key != "type"}
        url = form.pop("token_url")
        if url not in self.tokens:
            answer = self.session.post(url, data={"grant_type": "client_credentials", **form}, timeout=60)
            assert answer.status_code == 200, answer.text
            self.tokens[url] = answer.json()["access_token"]
        return self.tokens[url]

    def iam_token(self, user: huawei.User, project: str | None = huawei.REGION) -> str:
        """A token of Huawei's IAM."""
        url = f"{self.base_url}/iam/v3/auth/tokens"
        key = f"{url} {user.name} {project}"
        if key not in self.tokens:
            answer = self.session.post(url, json=password_of(user, project), timeout=60)
            assert answer.status_code == 201, answer.text
            self.tokens[key] = answer.headers["X-Subject-Token"]
        return self.tokens[key]

    def path(self, system: str) -> str:
        """The system's prefix."""
        return str(self.systems[system]["base_url"]).removeprefix(self.base_url)

    def keys(self, system: str, name: str) -> dict[str, str]:
        """The provider's own keys of the job with this name."""
        (entry,) = [entry for entry in self.systems[system]["jobs"] if entry["name"] == name]
        return own_keys(entry)

    def provider(self, system: str) -> Provider:
        settings = self.systems[system]
        kind = PROVIDERS[settings["provider"]]
        options = {name: settings[name] for name in kind.Options.model_fields if name in settings}
        return kind(kind.Options(**options))

    def read(self, system: str, keys: Mapping[str, str], previous: Status | None = None) -> Status:
        """Reads a job the way the exporter does, each ask a real request."""
        provider = self.provider(system)
        job_id, job_kind = provider.identify(keys)
        job = Job(system=system, id=job_id, kind=job_kind, provider=provider.name, keys=keys)
        reading = provider.read(job, previous)
        ask = next(reading)
        while True:
            reply = self.answer(system, ask)
            try:
                ask = reading.throw(reply) if isinstance(reply, Failure) else reading.send(reply)
            except StopIteration as stop:
                status: Status = stop.value
                return status

    def discover(self, system: str) -> dict[str, Found]:
        """Lists the jobs of a system the way the exporter does, by ``job_id``."""
        provider = self.provider(system)
        assert provider.Discover is not None
        keys = provider.Discover.model_validate(self.systems[system]["discover"])
        listing, found = provider.discover(keys, self.clock.now), {}
        item = next(listing, None)
        while item is not None:
            reply: Response | Failure | None = None
            if isinstance(item, Found):
                found[provider.identify(item.keys)[0]] = item
            else:
                reply = self.answer(system, item)
            try:
                item = listing.throw(reply) if isinstance(reply, Failure) else listing.send(reply)
            except StopIteration:
                item = None
        return found

    def answer(self, system: str, ask: Request) -> Response | Failure:
        """What a provider is told of a real request."""
        try:
            headers = {**self.headers(system), **dict(ask.headers)}
            response = self.get(self.path(system) + ask.path, headers=headers)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            return Failure(Reason.CONNECT)
        code = response.status_code
        if response.ok or code in ask.expect:
            lines = [f"{name}: {value}".encode() for name, value in response.headers.items()]
            found = Headers(b"\r\n".join([b"HTTP/1.1 200 OK", *lines]))
            return Response(code, response.content, found, self.base_url + self.path(system) + ask.path)
        return Failure(reason_of_status(code), status=code)


def password_of(user: huawei.User, project: str | None = huawei.REGION) -> dict[str, Any]:
    """What is posted to Huawei's IAM for a token."""
    who = {"name": user.name, "password": user.password, "domain": {"name": huawei.DOMAIN}}
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": who}}}
    if project is not None:
        auth["scope"] = {"project": {"name": project}}
    return {"auth": auth}


def own_keys(entry: Mapping[str, Any]) -> dict[str, str]:
    """The provider's own keys of an entry of ``jobs:``."""
    common = ("name", "labels", "expect")
    return {name: str(value) for name, value in entry.items() if name not in common}


@pytest.fixture(scope="session")
def _served() -> Iterator[Simulated]:
    clock = Clock()
    with (
        serving(lambda base_url: create_app(base_url=base_url, seed=7, clock=clock)) as base_url,
        requests.Session() as session,
    ):
        session.trust_env = False
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        yield Simulated(base_url, clock, session)


@pytest.fixture
def simulated(_served: Simulated) -> Simulated:
    """A simulator whose clock stands at noon until the test turns it."""
    _served.clock.now = NOON
    _served.tokens.clear()
    return _served
