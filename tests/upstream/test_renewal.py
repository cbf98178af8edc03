"""When a credential is renewed again after a failure, driven directly on a clock of its own."""

import logging
from itertools import pairwise
from typing import Any

import pytest
from requests import Session

from exporter.auth.credential import Credential
from exporter.auth.none import NoCredential
from exporter.auth.oauth2 import OAuth2, OAuth2Keys
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.failure import Failure, Reason
from exporter.transport import ConnectionSettings
from exporter.upstream.renewal import Renewal
from tests.auth.conftest import Server, server
from tests.clock import FakeClock

__all__ = ["server"]

HOURS = 3


class Refused(NoCredential):
    """A credential whose endpoint answers with a status each time; it notes when it is asked."""

    def __init__(self, clock: FakeClock, status: int | None) -> None:
        self.asked: list[float] = []
        self._clock, self._status = clock, status
        self.secret = 0

    def version(self) -> object:
        return self.secret

    def must_renew(self, now: float) -> bool:
        return True

    def renew(self, session: Session, now: float) -> None:
        self.asked.append(self._clock.now)
        raise Failure(Reason.AUTH, "no token", status=self._status)


def renewal_of(credential: Credential, clock: FakeClock) -> Renewal:
    return Renewal(credential, ConnectionSettings(), 8.0, Instrumentation("").of("docs"), clock)


async def tried(renewal: Renewal, clock: FakeClock) -> None:
    with pytest.raises(Failure):
        await renewal.ready(clock.monotonic() + 60.0)


@pytest.mark.parametrize(
    ("status", "waits"),
    [
        *((status, [5, 180, 360, 720, 900, 900]) for status in (200, 302, 400, 401, 403)),
        *((status, [5, 10, 20, 40, 80, 120, 120]) for status in (None, 408, 429, 500, 503)),
    ],
)
async def test_secrets_that_are_refused_are_not_sent_so_often_that_an_account_is_locked(
    status: int | None, waits: list[int]
) -> None:
    clock = FakeClock()
    credential = Refused(clock, status)
    renewal = renewal_of(credential, clock)
    for now in range(0, HOURS * 3600, 5):
        clock.now = float(now)
        await tried(renewal, clock)
    asked = credential.asked
    assert [after - before for before, after in pairwise(asked)][: len(waits)] == waits
    if len(waits) == 6:
        assert max(sum(start <= each < start + 900 for each in asked) for start in asked) == 4
    # A changed secret is tried immediately.
    credential.secret += 1
    await tried(renewal, clock)
    assert credential.asked[-1] == clock.now


@pytest.mark.parametrize(
    ("more", "remarks"),
    [
        ({"expires_in": 3600}, 0),
        ({}, 0),
        ({"expires_in": None}, 0),
        ({"expires_in": "soon"}, 1),
        ({"expires_in": 0}, 1),
        ({"expires_in": [1]}, 1),
        ({"expires_in": "soon", "expires_at": 4102444800}, 0),
    ],
)
async def test_a_lifetime_that_cannot_be_read_is_logged_once(
    more: dict[str, Any], remarks: int, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    server.answer({"access_token": "t", **more})
    keys = {"type": "oauth2", "token_url": server.url, "client_id": "c", "client_secret": "s"}
    clock = FakeClock()
    renewal = renewal_of(OAuth2(OAuth2Keys.model_validate(keys)), clock)
    for _ in range(3):
        await renewal.ready(clock.monotonic() + 60.0)
        clock.turn(86400.0)
    assert len(server.asked) == 3
    assert [record.getMessage() for record in caplog.records] == [
        "the lifetime of a token is not known"
    ] * remarks
    for record in caplog.records:
        assert vars(record)["system"] == "docs"
        assert "valid for 5 minutes" in vars(record)["detail"]
