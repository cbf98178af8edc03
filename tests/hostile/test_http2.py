"""Faults of HTTP/2 and of TLS: the scrape answers, says why, shows others, and reads again afterwards."""

import datetime as dt
import json
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
from pytest_asyncio import fixture

from exporter.model.failure import Reason
from tests.hostile.watch import Watch, watching
from tests.transport.servers import DATA, GOAWAY, HEADERS, RST_STREAM, SETTINGS, frame, http_2, listening

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PRIORITY, PUSH_PROMISE, PING, WINDOW_UPDATE, CONTINUATION = 2, 5, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4
OK, NOT_MODIFIED = b"\x88", b"\x8b"
"""A status as an index of the static table (RFC 7541 appendix A)."""
CALM = "calm"
"""The system without faults."""
LOST = {Reason.CONNECT, Reason.INVALID_RESPONSE}
LARGE = {*LOST, Reason.TOO_LARGE}
SLOW = {*LARGE, Reason.TIMEOUT}

JOBS: dict[str, dict[str, Any]] = {
    "caps": {"jobs": [{"project_id": "p", "build_job_id": "a", "locale": "en"}]},
    "codearts": {"jobs": [{"job_id": "0" * 32, "build_no": 1}]},
    "crafter": {"api": "v1", "jobs": [{"site_id": "a"}]},
    "itwin": {"service": "contextcapture", "jobs": [{"id": "a"}]},
    "sitecore": {"jobs": [{"id": "a"}]},
    "json": {
        "read": {"path": "/{id}", "state": "status", "states": {"running": ["BUSY"]}},
        "jobs": [{"id": "a"}],
    },
}
BODIES: dict[str, dict[str, Any]] = {
    "caps": {"job_status": "Running", "job_progress": 0.5, "total_count": 10, "failed_count": 0},
    "codearts": {"status": "success", "result": {"state": "SUCCESS", "job_running_status": "Finished"}},
    "crafter": {"status": "idle", "message": ""},
    "itwin": {"job": {"id": "a", "state": "active"}, "jobProgress": {"state": "Active", "percentage": 5}},
    "sitecore": {"id": "a", "system": {"status": "Running"}},
    "json": {"status": "BUSY"},
}

Frames = Callable[[int], bytes | None]
"""The frames of a response on a stream."""


def headers(stream: int, block: bytes = OK, flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, flags, stream, block)


def literal(name: bytes, value: bytes) -> bytes:
    """A field that is not added to the table (RFC 7541 section 6.2.2); both parts under 127 bytes."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def settings(name: int, value: int) -> bytes:
    return frame(SETTINGS, 0, 0, struct.pack(">HI", name, value))


FIELD = literal(b"a", b"b" * 99)


def begun(stream: int) -> bytes:
    """A response without its end."""
    return headers(stream) + frame(DATA, 0, stream, b"{")


def with_length(stream: int, length: bytes, body: bytes) -> bytes:
    block = OK + literal(b"content-length", length)
    return headers(stream, block) + frame(DATA, END_STREAM, stream, body)


def bomb(stream: int) -> bytes:
    """A field of 4,000 bytes goes into the table, and 10,000 bytes then name it again and again."""
    entry = b"\x40\x01a\x7f" + bytes([(4000 - 127) % 128 | 128, (4000 - 127) // 128]) + b"b" * 4000
    return headers(stream, OK + entry + b"\xbe" * 10_000)


def too_much(stream: int) -> bytes:
    return headers(stream) + frame(DATA, 0, stream, bytes(16_384)) * 200


CASES: dict[str, tuple[Frames, set[Reason]]] = {
    "GOAWAY before the response": (lambda _: frame(GOAWAY, 0, 0, bytes(8)), LOST),
    "GOAWAY with an error": (lambda _: frame(GOAWAY, 0, 0, struct.pack(">II", 0, 2) + b"debug"), LOST),
    **{
        f"RST_STREAM with code {code}": (
            lambda stream, code=code: frame(RST_STREAM, 0, stream, struct.pack(">I", code)),  # type: ignore[misc]
            SLOW,
        )
        for code in (0, 1, 2, 7, 8, 11, 13, 99)
    },
    "RST_STREAM in the body": (
        lambda stream: (
            headers(stream) + frame(DATA, 0, stream, b"{") + frame(RST_STREAM, 0, stream, bytes(4))
        ),
        LOST,
    ),
    "closed": (lambda _: None, LOST),
    "a flood of SETTINGS": (lambda _: settings(4, 65_535) * 20_000, SLOW),
    "a flood of PING": (lambda _: frame(PING, 0, 0, bytes(8)) * 20_000, SLOW),
    "a flood of PRIORITY": (lambda stream: frame(PRIORITY, 0, stream, bytes(4) + b"\1") * 20_000, SLOW),
    "a flood of RST_STREAM": (lambda _: frame(RST_STREAM, 0, 1, bytes(4)) * 20_000, SLOW),
    "a flood of empty DATA": (lambda stream: headers(stream) + frame(DATA, 0, stream) * 20_000, SLOW),
    "a flood of CONTINUATION": (
        lambda stream: (
            headers(stream, flags=0) + frame(CONTINUATION, 0, stream, literal(b"a", b"b" * 99)) * 20_000
        ),
        SLOW,
    ),
    "a flood of interim responses": (
        lambda stream: headers(stream, literal(b":status", b"103")) * 20_000,
        SLOW,
    ),
    "a bomb of header fields": (bomb, LARGE),
    "a window of 0": (lambda stream: settings(4, 0) + frame(WINDOW_UPDATE, 0, stream, bytes(4)), SLOW),
    "a window that overflows": (lambda _: frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2, SLOW),
    "no stream allowed": (lambda _: settings(3, 0), SLOW),
    "settings of a wrong size": (lambda _: frame(SETTINGS, 0, 0, b"abc"), SLOW),
    "a setting out of range": (lambda _: settings(5, 1), SLOW),
    "a frame of 16 MiB": (lambda stream: b"\xff\xff\xff" + frame(DATA, 0, stream)[3:] + bytes(99), SLOW),
    "an unknown frame only": (lambda stream: frame(99, 0, stream, b"what"), SLOW),
    "a pushed stream": (
        lambda stream: frame(PUSH_PROMISE, END_HEADERS, stream, bytes([0, 0, 0, 2]) + OK),
        LOST,
    ),
    "DATA without HEADERS": (lambda stream: frame(DATA, END_STREAM, stream, b"{}"), SLOW),
    "DATA of a stream that is not open": (lambda stream: frame(DATA, END_STREAM, stream + 98, b"{}"), SLOW),
    "DATA over the window": (too_much, SLOW),
    "more DATA than its length": (
        lambda stream: (
            headers(stream, OK + literal(b"content-length", b"2")) + frame(DATA, 1, stream, b"{}{}")
        ),
        LOST,
    ),
    "less DATA than its length": (lambda stream: with_length(stream, b"9", b"{}"), LOST),
    "a table index that is not there": (lambda stream: headers(stream, OK + b"\xff\xff\x7f"), SLOW),
    "fields that are cut": (lambda stream: headers(stream, OK + b"\0\x7f"), SLOW),
    "a field in capitals": (lambda stream: headers(stream, OK + literal(b"Bad", b"a"), 5), SLOW),
    "a field with a line break": (lambda stream: headers(stream, OK + literal(b"bad", b"a\r\nb"), 5), SLOW),
    "no status": (lambda stream: headers(stream, literal(b"a", b"b"), 5), SLOW),
    "two statuses": (lambda stream: headers(stream, OK + OK, 5), SLOW),
    "a status of two digits": (lambda stream: headers(stream, literal(b":status", b"99"), 5), SLOW),
    "an empty body": (lambda stream: headers(stream, flags=5), {Reason.INVALID_RESPONSE}),
    "304 that was not asked for": (lambda stream: headers(stream, NOT_MODIFIED, 5), {Reason.REDIRECT}),
    "HTTP/1.1 in between": (lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", SLOW),
    "half a frame": (lambda stream: frame(DATA, 0, stream, b"{}")[:7], SLOW),
    "silence": (lambda _: b"", {Reason.TIMEOUT}),
    "silence in the body": (begun, {Reason.TIMEOUT}),
}


@dataclass
class Systems:
    """A server for each provider, all with the same fault, and the same certificate."""

    watch: Watch
    play: "Fault"
    tls: ssl.SSLContext
    authority: trustme.CA


@dataclass
class Fault:
    """What the servers send instead of the right responses.

    Attributes:
        met: the providers that met it.
    """

    frames: Frames | None = None
    met: set[str] = field(default_factory=set)

    def responder(self, provider: str) -> Callable[[int, int, bytes], bytes | None]:
        body = json.dumps(BODIES[provider]).encode()

        def respond(_: int, stream: int, __: bytes) -> bytes | None:
            if self.frames is None:
                return headers(stream) + frame(DATA, END_STREAM, stream, body)
            self.met.add(provider)
            return self.frames(stream)

        return respond


def context(authority: trustme.CA) -> ssl.SSLContext:
    """That of a server of HTTP/2 with a certificate of this authority."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    tls.set_alpn_protocols(["h2"])
    # A session that is resumed shows no certificate.
    tls.num_tickets = 0
    return tls


@asynccontextmanager
async def served(folder: Path, limit: str) -> AsyncIterator[Systems]:
    """An exporter of one system of each provider over HTTP/2, and of one more that has no faults."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    tls, right_tls = (context(authority) for _ in range(2))
    fault, right = Fault(), Fault()
    async with AsyncExitStack() as stack:
        systems = {}
        for name, provider, play in [*((name, name, fault) for name in JOBS), (CALM, "caps", right)]:
            script = http_2(play.responder(provider))
            server = await stack.enter_async_context(listening(script, tls if play is fault else right_tls))
            systems[name] = {
                "provider": provider,
                "base_url": server.url("", "https"),
                "tls": {"ca_file": "ca.pem"},
                **JOBS[provider],
            }
        defaults = {"timeout": limit, "min_interval": "0s", "state_series": "current"}
        text = json.dumps({"defaults": defaults, "systems": systems})
        watch = await stack.enter_async_context(watching(text, folder))
        yield Systems(watch, fault, tls, authority)


@fixture(scope="module", loop_scope="module")
async def systems(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[bool, Systems]]:
    """Those for faults that end, and those that do not wait for long, for faults that may not."""
    make = tmp_path_factory.mktemp
    async with served(make("ends"), "20s") as patient, served(make("may-not"), "2s") as hasty:
        yield {False: patient, True: hasty}


@pytest.mark.parametrize("name", CASES)
async def test_a_fault_of_http_2_is_shown_and_harms_no_other_system(
    name: str, systems: dict[bool, Systems]
) -> None:
    frames, reasons = CASES[name]
    chosen = systems[Reason.TIMEOUT in reasons]

    def begin() -> None:
        chosen.play.frames = frames
        chosen.play.met.clear()

    def end() -> None:
        chosen.play.frames = None

    before, under, after = await chosen.watch.through(begin, end)
    assert chosen.play.met == set(JOBS)
    assert len(before.jobs) == len(JOBS) + 1
    for key, values in before.jobs.items():
        if key[0] == CALM:
            assert under.jobs[key] == values
        else:
            assert under.failed.get(key) in reasons, key
        assert set(after.jobs[key]) == set(values), key


CERTIFICATES: dict[str, Callable[[trustme.CA], trustme.LeafCert]] = {
    "of an unknown authority": lambda _: trustme.CA().issue_cert("127.0.0.1"),
    "of another host": lambda authority: authority.issue_cert("other.example.com"),
    "that has expired": lambda authority: authority.issue_cert(
        "127.0.0.1", not_after=dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    ),
}


@pytest.mark.parametrize("name", CERTIFICATES)
async def test_a_certificate_that_is_wrong_is_shown_and_harms_no_other_system(
    name: str, systems: dict[bool, Systems]
) -> None:
    chosen = systems[False]

    def begin() -> None:
        # Connections that are kept have their certificate already.
        chosen.play.frames = lambda _: None
        CERTIFICATES[name](chosen.authority).configure_cert(chosen.tls)

    def end() -> None:
        chosen.play.frames = None
        chosen.authority.issue_cert("127.0.0.1").configure_cert(chosen.tls)

    before, under, after = await chosen.watch.through(begin, end)
    for key, values in before.jobs.items():
        assert under.failed.get(key) == (None if key[0] == CALM else Reason.TLS), key
        assert set(after.jobs[key]) == set(values), key
