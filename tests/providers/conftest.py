"""Drives a provider as the collector does, with prepared responses instead of a network.

Plain functions, to be imported: ``from tests.providers.conftest import drive, response_of, stored``.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from exporter.model.failure import Failure, Reason, reason_of_status
from exporter.model.http import Headers, Request, Response
from exporter.model.job import Items, Job, Status
from exporter.providers.base import Found, ListingEnd, Provider

DATA = Path(__file__).parent.parent / "data"

_TIMES = ["2015-10-20T05:38:05.7249287+00:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z"]
_WORDS = ["1", " 7 ", "-1", "1e400", "NaN", "1.5", "99999999999999999999", "x" * 5000, "\ud800", "a\nb"]
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text()
    | st.sampled_from(_TIMES + _WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@dataclass(frozen=True)
class Read:
    """What one read came to: its status, and what was requested on the way."""

    status: Status
    requests: list[Request]

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]


@dataclass(frozen=True)
class Listed:
    """What one listing came to: the jobs it found, what was requested on the way, and how it ended."""

    found: list[Found]
    requests: list[Request]
    end: ListingEnd

    @property
    def ids(self) -> list[str]:
        return [each.keys["id"] for each in self.found]

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]


def stored(name: str) -> bytes:
    """A vendor's response, by its path under tests/data."""
    return (DATA / name).read_bytes()


def response_of(body: object = b"", status: int = 200, **headers: str) -> Response:
    """A response with these bytes, or with this value as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{name.replace('_', '-')}: {value}".encode() for name, value in headers.items()]
    return Response(status, raw, Headers(b"\r\n".join([b"HTTP/1.1 200 OK", *lines])))


def job(provider: Provider, keys: Mapping[str, object]) -> Job:
    """The job that these keys of a config's ``jobs:`` make."""
    checked = {name: str(value) for name, value in provider.JobKeys(**keys).model_dump().items()}
    job_id, kind = provider.identify(checked)
    return Job(system="s", id=job_id, kind=kind, provider=provider.name, keys=checked)


def drive(
    provider: Provider,
    keys: Mapping[str, object],
    responses: Mapping[str, Response | Failure] | Response | Failure,
    *,
    previous: Status | None = None,
    requests: list[Request] | None = None,
) -> Read:
    """Reads one job.

    Args:
        provider: who reads.
        keys: of the job, as in the config.
        responses: by path with query; a single one responses whatever is requested.
        previous: the last status understood.
        requests: takes what was requested, for reads that end in a Failure.
    """
    requests = [] if requests is None else requests
    reading = provider.read(job(provider, keys), previous)
    try:
        request = next(reading)
        while True:
            requests.append(request)
            assert len(requests) <= 8, f"requests without end: {requests}"
            response = _response(request, responses)
            request = reading.throw(response) if isinstance(response, Failure) else reading.send(response)
    except StopIteration as stop:
        return Read(stop.value, requests)


BASE_URL = "https://api.example.com/prefix"
MAX_PAGES = 2000


def discover(
    provider: Provider,
    keys: Mapping[str, object],
    responses: Callable[[Request], Response | Failure]
    | Mapping[str, Response | Failure]
    | Response
    | Failure,
    *,
    now: float,
    base_url: str = BASE_URL,
) -> Listed:
    """Lists jobs.

    Args:
        provider: who lists.
        keys: of ``discover:``, as in the config.
        responses: by path with query, or made from what is requested; a single one responses everything.
        now: Unix time.
        base_url: where the system is said to be.
    """
    assert provider.Discover is not None
    listing = provider.discover(provider.Discover.model_validate(keys), now)
    found: list[Found] = []
    requests: list[Request] = []
    end: ListingEnd | None = None
    try:
        item = next(listing)
        while True:
            if isinstance(item, Found):
                found.append(item)
                item = next(listing)
                continue
            requests.append(item)
            assert len(requests) <= MAX_PAGES, "lists without end"
            response = _response(item, responses(item) if callable(responses) else responses)
            if isinstance(response, Failure):
                item = listing.throw(response)
            else:
                item = listing.send(replace(response, url=base_url + item.path))
    except StopIteration as stop:
        end = stop.value
    return Listed(found, requests, end or ListingEnd())


def _response(
    request: Request, responses: Mapping[str, Response | Failure] | Response | Failure
) -> Response | Failure:
    if not isinstance(responses, Response | Failure):
        try:
            responses = responses[request.path]
        except KeyError:
            raise AssertionError(f"requests {request.path}, which has no response here") from None
    if isinstance(responses, Failure) or 200 <= responses.status < 300 or responses.status in request.expect:
        return responses
    return Failure(reason_of_status(responses.status), status=responses.status)


def assert_listed(provider: Provider, listed: Listed) -> None:
    """Every job found has keys that a config could hold, and no impossible status."""
    for text in (listed.end.incomplete, *listed.end.skipped):
        assert len(text) <= 120
        assert text.isprintable()
    for each in listed.found:
        assert dict(each.keys) == provider.JobKeys(**each.keys).model_dump()
        provider.identify(each.keys)[0].encode()
        assert not each.complete or (each.status is None) is not (each.failure is None)
        assert each.failure is None or (len(each.failure.detail) <= 120 and each.failure.detail.isprintable())
        if each.status is not None:
            assert_sane(replace(each.status, run=""))  # the id, which is no text for a label here
    for request in listed.requests:
        assert request.path.startswith("/")
        assert request.path.isascii()
        assert request.path.isprintable()
        assert " " not in request.path


def assert_sane(status: Status) -> None:
    """No number of a status is impossible and no text is too long for a label."""
    assert status.progress is None or 0 <= status.progress <= 1
    counts = [getattr(status.items, name) for name in Items.__struct_fields__]
    for category in status.categories.values():
        counts += [category.total, category.succeeded, category.failed]
    for count in [*counts, status.run_number]:
        assert count is None or (type(count) is int and 0 <= count <= 2**53)
    for name in Status.__struct_fields__:
        value: Any = getattr(status, name)
        if name.endswith("_at") or name == "state_since":
            assert value is None or (math.isfinite(value) and value > 0)
        if isinstance(value, str):
            assert len(value) <= 128
            assert value.isprintable()
    assert all(len(name) <= 128 and name.isprintable() for name in status.categories)
    assert all(len(note) <= 120 and note.isprintable() for note in status.notes)
    assert len(set(status.notes)) == len(status.notes) <= 60


@st.composite
def mutated(draw: st.DrawFn, bodies: list[bytes]) -> bytes:
    """One of these JSON responses with up to four of its values replaced by anything or left out."""
    body = json.loads(draw(st.sampled_from(bodies)))
    for _ in range(draw(st.integers(1, 4))):
        at, key = body, None
        while isinstance(at, dict | list) and at and (key is None or draw(st.booleans())):
            parent, key = at, draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
            at = parent[key]
        if key is None:
            return json.dumps(draw(ODD)).encode()
        if draw(st.integers(0, 4)):
            parent[key] = draw(ODD)
        else:
            del parent[key]
    return json.dumps(body).encode()


def assert_read_or_refused(
    provider: Provider, keys: Mapping[str, object], responses: Mapping[str, Response | Failure] | Response
) -> None:
    """Whatever the responses are, a read gives a sane status or a Failure that quotes nothing of them."""
    refused: Failure | None = None
    try:
        assert_sane(drive(provider, keys, responses).status)
    except Failure as failure:
        refused = failure
    assert refused is None or isinstance(refused.reason, Reason)
    assert refused is None or (len(refused.detail) <= 120 and refused.detail.isprintable())


def assert_listed_or_refused(
    provider: Provider, keys: Mapping[str, object], responses: Callable[[Request], Response], *, now: float
) -> None:
    """Whatever the responses are, a listing ends, with jobs that can be read or with a Failure as above."""
    refused: Failure | None = None
    try:
        assert_listed(provider, discover(provider, keys, responses, now=now))
    except Failure as failure:
        refused = failure
    assert refused is None or isinstance(refused.reason, Reason)
    assert refused is None or (len(refused.detail) <= 120 and refused.detail.isprintable())
