"""Generators of providers, run without sockets."""

import gc
import weakref
from collections.abc import Generator
from contextlib import nullcontext
from typing import Any
from unittest.mock import Mock

import pytest

from exporter.config_types import Keys
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import Job, Kind, Status
from exporter.providers.caps import Caps
from exporter.upstream.reading import Upstream
from tests.clock import FakeClock

JOB = Job(system="docs", id="1", kind=Kind.RUN, provider="caps", keys={})


class Received(Response, frozen=True, weakref=True):
    """A response that can be referenced weakly."""


class Scripted(Caps):
    """Requests each path, and returns no status."""

    paths: tuple[str, ...] = ()

    def read(self, job: Job, previous: Status | None) -> Generator[Any, Any, Status]:
        """Reads nothing."""
        for path in self.paths:
            yield Request(path)
        raise Failure(Reason.INVALID_RESPONSE, "nothing was read")


def upstream(*paths: str, status: int = 200, received: list[Any] | None = None) -> Upstream:
    async def send(*_: object, **__: object) -> Response:
        response = Received(status, b"{}")
        if received is not None:
            received.append(weakref.ref(response))
        return response

    client = Mock(timeout=3.0, clock=FakeClock(), instrumentation=Instrumentation("0").of("docs"), send=send)
    client.in_use, client.explain_unauthorized = nullcontext(), lambda _: ""
    provider = Scripted(Keys())
    provider.paths = paths
    return Upstream(provider, client)


@pytest.mark.parametrize(
    ("paths", "status", "detail"),
    [
        (["/a", "/b"], 200, "nothing was read"),
        (["/a", "/b"], 503, "HTTP status 503"),
        (["/a", "/b", "/a"], 200, "the provider repeated a request"),
        ([f"/{number}" for number in range(11)], 200, "more than 10 requests are needed"),
    ],
)
async def test_a_read_ends_with_its_first_error(paths: list[str], status: int, detail: str) -> None:
    outcome = await upstream(*paths, status=status).read(JOB, None)
    assert outcome.value is None
    assert outcome.failure is not None
    assert outcome.failure.detail == detail


def test_a_provider_that_fails_before_its_first_request_has_none_to_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing = upstream()
    assert failing.first_request(JOB, None) == ""
    monkeypatch.setattr(failing.provider, "read", Mock(side_effect=ValueError))  # as that of a plug-in
    assert failing.first_request(JOB, None) == ""


async def test_a_kept_failure_keeps_no_response() -> None:
    received: list[Any] = []
    gc.disable()
    try:
        outcome = await upstream("/a", status=503, received=received).read(JOB, None)
        assert outcome.failure is not None
        assert [response() for response in received] == [None]
    finally:
        gc.enable()
