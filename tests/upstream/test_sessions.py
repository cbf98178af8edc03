"""Sessions whose id changes with the first request after a login, and sessions that a restart has damaged."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.clock import FakeClock
from tests.vendor import Asked, Exporter, Samples, Told, Vendor, exporter, vendor
from tests.waiting import seen

CRAFTER = {"type": "crafter_session", "username": "u", "password": "p"}
LOGIN = {"type": "login", "url": "/login", "body": {"password": "p"}, "cookies": True}
BROKEN = {"response": {"code": 1000, "message": "Internal system failure"}}
JOBS = 12


@dataclass
class System:
    """A system with one session, whose id is replaced with the first request after a login.

    Args:
        told: the response of a job that is not successful.
    """

    told: dict[str, Told] = field(default_factory=dict)
    changes: bool = True
    login: Told = field(default_factory=lambda: Told({}))
    logins: int = 0
    session: str = ""
    damaged: bool = False

    def answer(self, asked: Asked) -> Told:
        """The cookie of a 401 is that of another, anonymous session."""
        if asked.method == "POST":
            self.logins += 1
            if self.login.status == 200:
                self.session, self.damaged = f"new{self.logins}", False
            return Told(self.login.body, self.login.status, cookie(self.session))
        if f"JSESSIONID={self.session}" != asked.headers["cookie"]:
            return Told({}, 401, cookie("stranger"))
        if self.damaged:
            return Told(BROKEN, 500)
        told = self.told.get(asked.path, Told({"status": "ok"}))
        if not self.changes or not self.session.startswith("new"):
            return told
        self.session = f"id{self.logins}"
        return Told(told.body, told.status, {**told.headers, **cookie(self.session)}, told.after)


def cookie(session: str) -> dict[str, str]:
    return {"Set-Cookie": f"JSESSIONID={session}; Path=/; HttpOnly"}


@asynccontextmanager
async def reading(
    system: System, folder: Path, auth: dict[str, Any] = CRAFTER, patience: str = "2s", **options: Any
) -> AsyncIterator[tuple[Exporter, Vendor]]:
    async with vendor(system.answer) as server:
        keys = {
            "provider": "json",
            "base_url": server.url,
            "auth": auth,
            "concurrency": JOBS,
            "min_interval": "0s",
            "timeout": patience,
            "read": {"path": "/{id}", "state": "status", "states": {"running": ["ok"]}},
            "jobs": [{"id": str(number)} for number in range(JOBS)],
        }
        async with exporter(json.dumps({"systems": {"x": keys}}), folder, **options) as running:
            yield running, server


def reasons(samples: Samples) -> dict[str, str | None]:
    """Of the jobs that could not be read."""
    found = {str(number): samples.reason(str(number)) for number in range(JOBS)}
    return {job: reason for job, reason in found.items() if reason is not None}


@pytest.mark.parametrize(
    ("auth", "status", "reason", "logins"),
    [
        (CRAFTER, 301, "redirect", 1),
        (CRAFTER, 403, "forbidden", 1),
        (CRAFTER, 404, "not_found", 1),
        (CRAFTER, 500, "server_error", 1),
        (LOGIN, 200, None, 1),
        (LOGIN, 404, "not_found", 1),
        (LOGIN, 503, "server_error", 1),
        # It may mean that the session has ended.
        (LOGIN, 403, "forbidden", 2),
    ],
)
async def test_an_id_that_changes_with_the_first_request_is_kept_whatever_its_status(
    auth: dict[str, Any], status: int, reason: str | None, logins: int, tmp_path: Path
) -> None:
    system, clock = System({"/0": Told({"status": "ok"}, status)}), FakeClock()
    async with reading(system, tmp_path, auth, clock=clock) as (running, _):
        for _ in range(2):
            assert reasons(await running.scrape()) == ({} if reason is None else {"0": reason})
        clock.turn(60)
        system.session = ""  # it has ended
        assert reasons(await running.scrape()) == ({} if reason is None else {"0": reason})
    assert system.logins == logins + 1


async def test_one_request_is_sent_alone_after_a_login_and_then_as_many_as_are_allowed(
    tmp_path: Path,
) -> None:
    system = System(changes=False)
    async with reading(system, tmp_path, patience="60s") as (running, server):

        async def alone() -> None:
            await asyncio.sleep(0.1)
            assert server.at_once == 1

        async def together() -> None:
            await seen(lambda: server.most_at_once == JOBS - 1, "the other requests at the same time")

        system.told = {f"/{number}": Told({"status": "ok"}, after=together) for number in range(1, JOBS)}
        system.told["/0"] = Told({"status": "ok"}, after=alone)
        assert not reasons(await running.scrape(timeout=5))


async def test_a_first_request_that_hangs_does_not_stop_the_others(tmp_path: Path) -> None:
    released = asyncio.Event()
    system = System({"/0": Told(after=released.wait)})
    async with reading(system, tmp_path) as (running, _):
        samples = await running.scrape()
        released.set()
    assert reasons(samples) == {"0": "timeout"}
    assert system.logins == 2  # the response with the id of the first session did not come


async def test_after_a_first_request_without_a_response_the_next_one_is_sent_alone(tmp_path: Path) -> None:
    async def hang_up() -> None:
        raise ConnectionError

    system = System(changes=False, told={"/0": Told(after=hang_up), "/1": Told(after=hang_up)})
    async with reading(system, tmp_path) as (running, server):

        async def alone() -> None:
            await asyncio.sleep(0.1)
            assert server.at_once == 1

        system.told["/2"] = Told({"status": "ok"}, after=alone)
        assert set(reasons(await running.scrape())) == {"0", "1"}
    assert system.logins == 1


async def test_a_session_that_gets_500_is_replaced_once_for_all_jobs(tmp_path: Path) -> None:
    system, clock = System(), FakeClock()
    async with reading(system, tmp_path, clock=clock) as (running, _):
        assert not reasons(await running.scrape())
        clock.turn(3600)
        system.damaged = True
        assert not reasons(await running.scrape())
    assert system.logins == 2


@pytest.mark.parametrize("status", [200, 500])
async def test_a_system_that_answers_500_to_everything_gets_a_login_every_five_minutes(
    status: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    system, clock = System(), FakeClock()
    async with reading(system, tmp_path, clock=clock) as (running, _):
        assert not reasons(await running.scrape())
        system.login = Told({}, status)
        system.told = {f"/{number}": Told(BROKEN, 500) for number in range(JOBS)}
        for _ in range(40):
            clock.turn(15)
            assert set(reasons(await running.scrape()).values()) == {"server_error"}
        assert system.logins == 3
        # A login that fails leaves the session in use.
        system.told = {}
        assert not reasons(await running.scrape())
    assert "could not get credentials" not in caplog.text


async def test_other_credentials_are_kept_after_500(tmp_path: Path) -> None:
    system, clock = System(), FakeClock()
    async with reading(system, tmp_path, LOGIN, clock=clock) as (running, _):
        assert not reasons(await running.scrape())
        clock.turn(3600)
        system.damaged = True
        assert set(reasons(await running.scrape()).values()) == {"server_error"}
    assert system.logins == 1
