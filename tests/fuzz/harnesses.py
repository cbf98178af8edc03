"""Harnesses for fuzzing: each gives bytes to code that reads untrusted input, and checks what it promises.

They need no fuzzer: ``make test`` runs them with their seeds and with bytes of Hypothesis, ``make fuzz`` with
atheris. A harness raises an exception for input with which the code breaks a promise. Each has a fault that
can be planted into the code, and input that shows it.
"""

import json
import math
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, unquote

import bcrypt
import yaml

from exporter import config
from exporter.collector.query import MAX_PARAMETERS, QueryError, keys_of
from exporter.config.errors import MAX_ERRORS, Finding
from exporter.config.system_config import SystemConfig
from exporter.expressions.budget import CHARACTERS, EXPRESSION_STEPS, Budget, Misfit
from exporter.expressions.tree import finder, place_of_loss, whole_list
from exporter.metrics.exposition import Format, accepts_gzip, negotiate
from exporter.model.dates import http_date, moment
from exporter.model.failure import Failure, Reason
from exporter.model.http import Headers, Request, Response
from exporter.model.pacing import MAX_RETRY_AFTER, bounded
from exporter.providers.rate_limit import USUAL
from exporter.providers.values import instant
from exporter.web import config as web
from tests.providers.conftest import assert_listed_or_refused, assert_read_or_refused

NOW = 1_772_366_400.0
YEAR_9999 = 253_370_764_800
CPU_SECONDS = 2.0
"""The most that an expression may take, on a slow machine and with what a fuzzer counts. Usual are 50 ms."""

STATUSES = 200, 200, 200, 200, 204, 301, 304, 400, 403, 404, 410, 429, 500, 503
BETWEEN = b"\n--\n"
"""Between the parts of an input."""

DATA = Path(__file__).parent.parent / "data"
CONFIGS = Path(__file__).parent.parent / "config"
SYSTEMS = Path(__file__).parent / "systems.yaml"


@dataclass(frozen=True)
class Harness:
    """One entry to the code.

    Args:
        run: raises an exception for input that breaks a promise.
        seeds: input to begin with.
        fault: a change of the code that makes it break a promise.
        near: input that the fault does not concern, from which a fuzzer finds one that shows it.
        shows: input for which ``run`` raises an exception with the fault, and only then.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]
    fault: Callable[[], AbstractContextManager[Any]]
    near: bytes
    shows: bytes


@cache
def systems() -> Mapping[str, SystemConfig]:
    """The systems that are read, by name."""
    return {system.name: system for system in config.load(SYSTEMS).systems}


@cache
def written() -> Mapping[str, Any]:
    """The keys of each system, as they are written."""
    systems: Mapping[str, Any] = yaml.safe_load(SYSTEMS.read_text(encoding="utf-8"))["systems"]
    return systems


class Responses(Mapping[str, Response | Failure]):
    """The parts of an input as responses, one after the other, whatever is requested; then time-outs."""

    def __init__(self, data: bytes, url: str) -> None:
        status, _, bodies = data.partition(b" ")
        self._status = STATUSES[int.from_bytes(status[:2]) % len(STATUSES)]
        self._url = url
        self._parts = bodies.split(BETWEEN)[:20]

    def __getitem__(self, path: str) -> Response | Failure:
        if not self._parts:
            return Failure(Reason.TIMEOUT)
        head, _, body = self._parts.pop(0).rpartition(b"\n\n")
        headers = Headers(b"HTTP/1.1 200 OK\n" + head)
        return Response(self._status, body, headers, self._url + path)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return len(self._parts)


def chosen(data: bytes, *, listings: bool = False) -> tuple[SystemConfig, bytes]:
    """The system that the first byte chooses, and the rest."""
    among = [system for system in systems().values() if system.discover or not listings]
    return among[data[0] % len(among) if data else 0], data[1:]


def read_job(data: bytes) -> None:
    """A read ends with a possible status, or with a failure that quotes nothing of the responses."""
    system, rest = chosen(data)
    assert_read_or_refused(system.provider, system.jobs[0].keys, Responses(rest, system.reach.base_url))


def list_jobs(data: bytes) -> None:
    """A listing ends with jobs that can be read, or with a failure that quotes nothing of the responses."""
    system, rest = chosen(data, listings=True)
    responses = Responses(rest, system.reach.base_url)

    def respond(request: Request) -> Any:
        return responses[request.path]

    assert_listed_or_refused(system.provider, written()[system.name]["discover"], respond, now=NOW)


def seeds_of(*patterns: str, listings: bool) -> Iterator[bytes]:
    """The stored responses of each provider, alone and twice, as input for its systems."""
    names = [system.name for system in systems().values() if system.discover or not listings]
    for pattern in patterns:
        for file in sorted(DATA.glob(pattern)):
            folder = file.relative_to(DATA).parts[0]
            for number, name in enumerate(names):
                if systems()[name].provider.name == folder or (folder == "recipes" and name == "json"):
                    body = file.read_bytes()
                    yield bytes([number]) + b"\0\0 " + body
                    yield bytes([number]) + b"\0\0 " + body + BETWEEN + body


def read_seeds() -> Iterator[bytes]:
    """Responses to reads."""
    yield from seeds_of("*/*.json", listings=False)
    job = {
        "state": "BUSY",
        "percent": 40,
        "totals": {"all": 9, "text": "7/9"},
        "started": "2026-03-01T12:00:00Z",
    }
    tasks = [{"state": "BUSY", "name": "a", "number": 1}, {"state": "OK", "ended": 1772366400}]
    number = list(systems()).index("json")
    for body in (job, {"data": {"job": job}}, {"errors": [1]}):
        parts = [json.dumps(body).encode(), json.dumps(tasks).encode()]
        yield bytes([number]) + b"\0\0 " + BETWEEN.join(parts)


def list_seeds() -> Iterator[bytes]:
    """Responses to listings."""
    yield from seeds_of("*/listing/*.json", listings=True)
    names = [system.name for system in systems().values() if system.discover]
    page = {"data": {"count": 3, "jobs": [{"id": 1, "state": "OK"}, {"uid": "b", "state": "BUSY"}]}}
    for more in ({}, {"next": "/api/projects/a/jobs?page=2"}, {"next": "c2"}):
        body = json.dumps(page | more).encode()
        for name in ("json", "linked", "tokens"):
            parents = b'Link: </projects?page=2>; rel="next"\n\n[{"name": "a"}]' + BETWEEN + b"[]" + BETWEEN
            parts = (parents if name == "linked" else b"") + body + BETWEEN + body.replace(b'"b"', b'"c"')
            yield bytes([names.index(name)]) + b"\0\0 " + parts


def load_config(data: bytes) -> None:
    """A file is a configuration, or has errors, each in one line with its place."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.yaml")
        file.write_bytes(data)
        with errors_in_lines(data):
            config.load(file, host=False)


def load_web_config(data: bytes) -> None:
    """The same for the web configuration. Each hash is one that can be checked in time."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "web.yaml")
        file.write_bytes(data)
        with errors_in_lines(data):
            for hashed in web.load(file).basic_auth_users.values():
                assert int(hashed[4:6]) <= web.MAX_COST
                bcrypt.checkpw(b"", f"{hashed[:4]}04{hashed[6:]}".encode())


@contextmanager
def errors_in_lines(data: bytes) -> Iterator[None]:
    """Expects no exception but a ``ConfigError``, whose errors have a line of the file and fit one line."""
    errors: Sequence[Finding] | None = None
    try:
        yield
    except config.ConfigError as error:
        errors = error.errors
    if errors is not None:
        assert 1 <= len(errors) <= MAX_ERRORS + 1
        lines = data.count(b"\n") + data.count(b"\r") + 1
        for each in errors:
            assert str(each).isprintable(), ascii(str(each))
            assert 1 <= each.line <= lines, each.line


def config_seeds() -> Iterator[bytes]:
    """Configurations, good and bad ones."""
    yield SYSTEMS.read_bytes()
    for file in sorted(CONFIGS.glob("*/*.yaml")):
        if (data := file.read_bytes()) and len(data) < 4096:
            yield data


HASH = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
WEB = f"""tls_server_config: {{cert_file: server.pem, key_file: server.key, min_version: TLS12}}
http_server_config: {{http2: false, headers: {{X-Frame-Options: deny}}}}
basic_auth_users: {{alice: {HASH}}}
rate_limit: {{interval: 1s, burst: 20}}
"""


def web_seeds() -> Iterator[bytes]:
    """Web configurations."""
    for line in (WEB, *WEB.splitlines()):
        yield line.encode()


def accept(data: bytes) -> None:
    """A header chooses a format; OpenMetrics only if it names it."""
    header = data.decode("latin-1")
    assert negotiate(header) in Format
    assert negotiate(header) is Format.TEXT or "application/openmetrics-text" in header.lower()
    assert not accepts_gzip(header) or "gzip" in header.lower() or "*" in header


def accept_seeds() -> Iterator[bytes]:
    """``Accept`` of Prometheus, and of others."""
    openmetrics = b"application/openmetrics-text;version=1.0.0"
    yield openmetrics + b",text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    yield openmetrics + b';q=0.75;charset="utf-8",application/vnd.google.protobuf;q=0.8,*/*;q=0'
    yield b"gzip;q=1.0, deflate, *;q=0.001"


def probe(data: bytes) -> None:
    """A query names a job, whose request stays below ``base_url``, or has errors of one line each."""
    providers = {name: system.provider for name, system in systems().items()}
    try:
        query = data.decode("latin-1")
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError:
        return
    lines: tuple[str, ...] = ()
    try:
        name, keys = keys_of(pairs, providers)
    except QueryError as error:
        lines = error.lines
    assert all(line.isprintable() for line in lines)
    if lines:
        return
    job = systems()[name].job(keys, "")
    job.id.encode()
    with suppress(Failure):  # a key that must be a number
        request = next(providers[name].read(job, None))
        assert request.path.startswith("/")
        assert request.path.isascii()
        assert request.path.isprintable()
        assert " " not in request.path
        path, *more = request.path.split("?")
        assert len(more) <= 1
        decoded = unquote(unquote(path))  # as a gateway may do that decodes it before the system does
        assert not {".", ".."} & set(re.split(r"[/\\]", decoded)), path


def probe_seeds() -> Iterator[bytes]:
    """Queries of each system."""
    yield b"system=caps&project_id=a&build_job_id=b--promote&locale=en-US"
    yield b"system=codearts&job_id=48c66c6002964721be537cdc6ce0297b&build_no=latest"
    yield b"system=crafter&site_id=my-site&debug=true"
    yield b"system=json&id=%2e%2e%2f42"
    yield b"system=linked&project=a%20b&id=%5C..%5C"
    yield b"system=sitecore&id=%C3%A9&id=a"


def retry_after(data: bytes) -> None:
    """The headers of a response demand no wait, or one from 0 to 15 minutes."""
    headers = Headers(b"HTTP/1.1 429 Too Many Requests\n" + data[1:])
    status = STATUSES[data[0] % len(STATUSES)] if data else 429
    wait = USUAL.wait(status, headers, NOW)
    assert wait is None or 0 <= bounded(wait) <= MAX_RETRY_AFTER, wait
    left = USUAL.calls_left(headers)
    assert left is None or (type(left) is int and left >= 0)
    USUAL.forbids(headers, data)


def retry_after_seeds() -> Iterator[bytes]:
    """Headers of rate limits."""
    for lines in (
        "Retry-After: 120\nDate: Sun, 01 Mar 2026 12:00:00 GMT",
        "Retry-After: Sun, 01 Mar 2026 12:02:00 GMT, 30",
        "x-ms-retry-after-ms: 1500\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1772366460",
        'RateLimit: "default";r=0;t=30, limit=100, remaining=0, reset=30\nRateLimit-Reset: 1772366460',
        "X-RateLimit-Remaining: 76;w=21600\nX-RateLimit-Delay: 1e3",
    ):
        yield bytes([STATUSES.index(429)]) + lines.encode()


def date(data: bytes) -> None:
    """A text or a number is a time that can be shown, or none."""
    text = data.decode(errors="replace")
    values: list[Any] = [text]
    with suppress(ValueError, RecursionError):
        values.append(json.loads(text))
    for value in values:
        for found in (moment(value), instant(value), http_date(text)):
            assert found is None or math.isfinite(found), found
        shown = instant(value)
        assert shown is None or 0 < shown < YEAR_9999


def date_seeds() -> Iterator[bytes]:
    """Times in each form."""
    yield b"2026-03-01T12:00:00.123456789+05:30"
    yield b"20260301T120060Z"
    yield b"2026/03/01 12:00 UTC"
    yield b"Sun, 01 Mar 2026 12:00:00 GMT"
    yield b"/Date(1772366400000+0100)/"
    yield b"1772366400.5"
    yield b"1772366400000000000"
    yield b"0001-01-01T00:00:00Z"


def expression(data: bytes) -> None:
    """An expression has an error, or ends in time, with a result of limited size."""
    source, _, body = data.decode(errors="replace").partition(BETWEEN.decode())
    try:
        find = finder(source)
    except ValueError:
        return
    value: Any = body
    with suppress(ValueError, RecursionError):
        value = json.loads(body)
    began = time.thread_time()
    for evaluate in (find, whole_list(source), partial(place_of_loss, source, budget=Budget())):
        found = None
        with suppress(Misfit):
            found = evaluate(value)
        assert length(found) <= len(data) + 2 * EXPRESSION_STEPS * CHARACTERS
    assert time.thread_time() - began < CPU_SECONDS


def length(value: Any) -> int:
    """The length of a text, or of the longest of a list of texts."""
    if isinstance(value, list):
        return max((len(each) for each in value if isinstance(each, str)), default=0)
    return len(value) if isinstance(value, str) else 0


def expression_seeds() -> Iterator[bytes]:
    """Expressions of the documentation and of systems.yaml, and some that multiply work."""
    body = {
        "a": [{"b": 1, "c": "x"}, {"b": 2, "c": "y"}],
        "b": ["x", "y", "z"],
        "n": 5_000_000,
        "t": "1/2",
        "o": {"k": 1},
    }
    for source in (
        "length(a[?contains($.b, c)])",
        "pad_left(t, n)",
        "replace(t, '/', t)",
        "join(t, b) || to_string(@)",
        "let $x = a in $x[*].b | [0]",
        "max_by(a, &b).c",
        "sort_by(a, &c)[-1].{x: b, y: to_number(c)}",
        "group_by(a, &c) | keys(@)",
        "to_number(split(t, '/')[1]) / `100`",
        "map(&{n: b % `2`}, a)[::2]",
        "o.* | sum(@) > avg(a[].b)",
        "zip(b, a) && !(a == b) && find_last(t, '2')",
        "from_items(items(o)) || merge(o, a[0]) || reverse(b)",
    ):
        yield source.encode() + BETWEEN + json.dumps(body).encode()


def unchecked(value: Any, *_: object, **__: object) -> Any:
    """What a function that checks or encodes its first argument must not return."""
    return value


HARNESSES: Mapping[str, Harness] = {
    "reads": Harness(
        read_job,
        read_seeds,
        lambda: patch("exporter.providers.values.ratio", unchecked),
        near=b'\0\0\0 {"job_status": "Running", "job_progress": 0.7}',
        shows=b'\0\0\0 {"job_status": "Running", "job_progress": 7}',
    ),
    "listings": Harness(
        list_jobs,
        list_seeds,
        lambda: patch("exporter.providers.json.listing.key", unchecked),
        near=b'\4\0\0 {"data": {"count": 1, "jobs": [{"id": "b", "state": "OK"}]}}',
        shows=b'\4\0\0 {"data": {"count": 1, "jobs": [{"id": "", "state": "OK"}]}}',
    ),
    "config": Harness(
        load_config,
        config_seeds,
        lambda: patch("exporter.config.read.shown", lambda place, *_: ".".join(map(str, place))),
        near="systems: {\u00e0: {}}".encode(),
        shows="systems: {\u00a0: {}}".encode(),
    ),
    "web-config": Harness(
        load_web_config,
        web_seeds,
        lambda: patch("exporter.web.config._BCRYPT", re.compile(r"\$2[aby]\$(\d\d)\$.{53}")),
        near=f"basic_auth_users: {{alice: {HASH}}}".encode(),
        shows=f"basic_auth_users: {{alice: {HASH[:20]}~{HASH[21:]}}}".encode(),
    ),
    "accept": Harness(
        accept,
        accept_seeds,
        lambda: patch("exporter.metrics.exposition._quality", float),
        near=b"text/plain;q=1",
        shows=b"text/plain;q=x",
    ),
    "probe": Harness(
        probe,
        probe_seeds,
        lambda: patch("exporter.providers.json.templates.quote", unchecked),
        near=b"system=json&id=a%30b",
        shows=b"system=json&id=a%20b",
    ),
    "retry-after": Harness(
        retry_after,
        retry_after_seeds,
        lambda: patch("exporter.providers.rate_limit.count", int),
        near=b"\0X-RateLimit-Remaining: 7",
        shows=b"\0X-RateLimit-Remaining: x",
    ),
    "dates": Harness(
        date,
        date_seeds,
        lambda: patch("exporter.model.dates._STAMP", re.compile(r"[0-9.]+")),
        near=b"1772366400.5",
        shows=b"1772366400..",
    ),
    "expressions": Harness(
        expression,
        expression_seeds,
        lambda: patch.dict("exporter.expressions.evaluation._COSTS", pad_left=lambda _: 0),
        near=b"pad_left(t, n)" + BETWEEN + b'{"t": "x", "n": 5000000}',
        shows=b"pad_left(t, n)" + BETWEEN + b'{"t": "x", "n": 9000000}',
    ),
}
