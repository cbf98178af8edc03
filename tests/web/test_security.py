"""What stands before the application: passwords, headers, rate; and files that change meanwhile."""

import asyncio
import datetime as dt
import logging
import os
import ssl
import threading
from base64 import b64encode
from pathlib import Path

import bcrypt
import pytest
import trustme

from exporter.config import ConfigError
from exporter.metrics.instrumentation import Instrumentation
from exporter.runtime import files
from exporter.web.config import RateLimit
from exporter.web.security import Bucket, Security
from tests.command import until
from tests.web.clients import GET, Client, connect
from tests.web.secured import PASSWORD, TLS, VERIFY, Place, Secure, applied, basic, hashed, users


class Checks(list[str]):
    """The names of the threads that bcrypt ran in, once a check."""


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    found, real = Checks(), bcrypt.checkpw

    def counted(password: bytes, hashed: bytes) -> bool:
        found.append(threading.current_thread().name)
        return real(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    return found


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_the_right_password_lets_in(secure_with: Secure) -> None:
    secured = await secure_with(users("alice", "Zoë"))
    for user in ("alice", "Zoë"):
        answer = await secured.get(authorization=basic(user))
        assert (answer.status, answer.body) == (200, b"/metrics")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        basic("alice", "wrong"),
        basic("alice", ""),
        basic("alice", PASSWORD + "\0"),
        basic("alice", "x" * 200),
        basic("bob"),
        basic("", ""),
        b"Basic " + b64encode(b"\xff\xfe:\xff"),
        b"Basic " + b64encode(b"alice"),
        b"Basic ????",
        b"Basic",
        b"Bearer " + basic("alice").partition(b" ")[2],
    ],
)
async def test_anything_else_is_unauthorized(secure_with: Secure, authorization: bytes | None) -> None:
    secured = await secure_with(users("alice"))
    for path in ("/metrics", "/", "/-/reload", "/-/healthy/", "//-/healthy", "/-/healthy/../../metrics"):
        answer = await secured.get(path, authorization=authorization)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Basic realm=")
        assert answer.body == b"unauthorized\n"


async def test_two_credentials_are_none(secure_with: Secure) -> None:
    secured = await secure_with(users("alice"))
    twice = basic("alice") + b"\r\nAuthorization: " + basic("alice")
    assert (await secured.get(authorization=twice)).status == 401


@pytest.mark.parametrize("path", ["/-/healthy", "/-/ready"])
async def test_health_is_open(secure_with: Secure, path: str, checks: Checks) -> None:
    secured = await secure_with(users("alice") + "rate_limit: {interval: 1h}\n")
    for authorization in (None, basic("alice", "wrong"), basic("alice")):
        assert (await secured.get(path, authorization=authorization)).status == 200
    assert checks == []


async def test_a_name_that_nobody_has_costs_a_check_too_and_off_the_loop(
    secure_with: Secure, checks: Checks
) -> None:
    secured = await secure_with(users("alice"))
    for number, user in enumerate(("alice", "bob", "carol", "alice"), 1):
        assert (await secured.get(authorization=basic(user, f"wrong {number}"))).status == 401
        assert len(checks) == number
    assert {name.partition("_")[0] for name in checks} == {"bcrypt"}


async def test_each_password_is_checked_once(secure_with: Secure, checks: Checks) -> None:
    secured = await secure_with(users("alice"))
    for _ in range(3):
        assert (await secured.get(authorization=basic("alice"))).status == 200
    assert len(checks) == 1
    for _ in range(3):
        assert (await secured.get(authorization=basic("alice", "wrong"))).status == 401
    assert (await secured.get(authorization=basic("alice"))).status == 200
    assert len(checks) == 2


async def test_wrong_passwords_are_told_once_a_while_and_not_by_name(
    secure_with: Secure, caplog: pytest.LogCaptureFixture
) -> None:
    secured = await secure_with(users("alice"))
    for user in ("alice", "hunter2"):
        await secured.get(authorization=basic(user, "hunter2"))
    await secured.get()
    (record,) = caplog.records
    assert record.getMessage() == "request with wrong user name or password"
    assert record.__dict__["client"] == "127.0.0.1"
    assert "hunter2" not in str(record.__dict__)


async def test_a_flood_of_guesses_does_not_hold_up_a_scraper(
    secure_with: Secure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.web.passwords.MAX_CHECKS_PER_CLIENT", 4)
    go = threading.Event()

    def slow(_password: bytes, _hashed: bytes) -> bool:
        go.wait(60)
        return False

    secured = await secure_with(users("alice"))
    assert (await secured.get(authorization=basic("alice"))).status == 200
    monkeypatch.setattr(bcrypt, "checkpw", slow)
    guesses = [
        asyncio.create_task(secured.get(authorization=basic("alice", f"guess {number}")))
        for number in range(10)
    ]
    await asyncio.wait(guesses, return_when=asyncio.FIRST_COMPLETED)
    assert (await secured.get(authorization=basic("alice"))).status == 200
    assert not all(guess.done() for guess in guesses)
    go.set()
    answers = await asyncio.gather(*guesses)
    assert {answer.status for answer in answers} == {401, 429}
    assert {answer.headers.get("retry-after") for answer in answers if answer.status == 429} == {"1"}


async def test_headers_are_on_every_response(secure_with: Secure) -> None:
    secured = await secure_with(
        users("alice")
        + """\
http_server_config:
  http2: false
  headers:
    Content-Security-Policy: default-src 'self'
    X-Frame-Options: deny
    X-Content-Type-Options: nosniff
    X-XSS-Protection: ""
    Strict-Transport-Security: max-age=60
"""
    )
    for path, authorization in (("/-/healthy", None), ("/metrics", None), ("/metrics", basic("alice"))):
        headers = (await secured.get(path, authorization=authorization)).headers
        assert headers["content-security-policy"] == "default-src 'self'"
        assert headers["x-frame-options"] == "deny"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["strict-transport-security"] == "max-age=60"
        assert "x-xss-protection" not in headers


async def test_a_configured_header_replaces_the_default_one(secure_with: Secure) -> None:
    secured = await secure_with("http_server_config: {headers: {X-Frame-Options: sameorigin}}\n")
    async with connect(secured.server) as client:
        client.say(GET.replace(b"Host", b"Connection: close\r\nHost"))
        head = (await client.closed()).decode().lower()
    assert head.count("x-frame-options:") == head.count("content-security-policy:") == 1
    assert "x-frame-options: sameorigin" in head
    # It would prevail over X-Frame-Options.
    assert "frame-ancestors" not in head


async def test_more_requests_than_the_rate_are_refused(secure_with: Secure) -> None:
    secured = await secure_with("rate_limit: {interval: 1h, burst: 2}\n")
    assert [(await secured.get()).status for _ in range(3)] == [200, 200, 429]


async def test_guesses_take_nothing_from_the_rate(secure_with: Secure) -> None:
    secured = await secure_with(users("alice") + "rate_limit: {interval: 1h}\n")
    assert (await secured.get(authorization=basic("alice", "wrong"))).status == 401
    assert (await secured.get(authorization=basic("alice"))).status == 200
    assert (await secured.get(authorization=basic("alice"))).status == 429


def test_a_bucket_fills_by_the_interval_up_to_its_burst() -> None:
    bucket = Bucket(RateLimit.model_validate({"interval": "10s", "burst": 2}))
    assert [bucket.take(now) for now in (100, 100, 100, 109, 110, 111)] == [
        True,
        True,
        False,
        False,
        True,
        False,
    ]
    assert [bucket.take(10_000) for _ in range(3)] == [True, True, False]


async def test_users_are_read_again(secure_with: Secure, place: Place) -> None:
    secured = await secure_with(users("alice", "bob"))
    assert (await secured.get(authorization=basic("alice"))).status == 200
    assert (await secured.get(authorization=basic("bob"))).status == 200
    place.write(f"basic_auth_users: {{alice: '{hashed('another')}', carol: '{hashed()}'}}\n")
    assert (await secured.get(authorization=basic("alice"))).status == 401
    assert (await secured.get(authorization=basic("alice", "another"))).status == 200
    assert (await secured.get(authorization=basic("bob"))).status == 401
    assert (await secured.get(authorization=basic("carol"))).status == 200


async def test_users_may_be_added_where_there_were_none(secure_with: Secure, place: Place) -> None:
    secured = await secure_with("rate_limit: {interval: 0s}\n")
    assert (await secured.get()).status == 200
    place.write(users("alice"))
    assert (await secured.get()).status == 401
    assert (await secured.get(authorization=basic("alice"))).status == 200


async def test_a_kept_connection_is_asked_for_the_new_password(secure_with: Secure, place: Place) -> None:
    secured = await secure_with(users("alice"))
    asking = GET[:-2] + b"Authorization: " + basic("alice") + b"\r\n\r\n"
    async with connect(secured.server) as client:
        client.say(asking)
        assert (await client.answer()).status == 200
        place.write(users("alice", password="another"))
        client.say(asking)
        assert (await client.answer()).status == 401


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "basic_auth_users: [",
        "basic_auth_users: {alice: plain}",
        "basic_auth_users: {}",
        "http_server_config: {http2: false}\n",
        TLS,
        None,
    ],
    ids=["empty", "no YAML", "no hash", "nobody", "passwords off", "TLS on", "gone"],
)
async def test_a_broken_file_changes_nothing_and_is_shown_and_told_once(
    secure_with: Secure, place: Place, broken: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    secured = await secure_with(users("alice"))
    assert secured.applied()
    if broken is None:
        place.file.unlink()
    else:
        place.write(broken)
    for _ in range(3):
        assert (await secured.get()).status == 401
        assert (await secured.get(authorization=basic("alice"))).status == 200
        assert not secured.applied()
    assert messages(caplog) == ["failed to load web configuration; keeping the previous one"]
    assert str(place.file) in caplog.records[0].__dict__["error"]
    place.write(users("bob"))
    assert (await secured.get(authorization=basic("alice"))).status == 401
    assert (await secured.get(authorization=basic("bob"))).status == 200
    assert secured.applied()


async def test_tls_is_not_switched_off_while_running(
    secure_with: Secure, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    secured = await secure_with(TLS)
    place.write("http_server_config: {http2: false}\n")
    assert (await secured.get(tls=place.client())).status == 200
    assert messages(caplog) == ["failed to load web configuration; keeping the previous one"]
    assert (
        "tls_server_config: cannot be added or removed at a reload" in (caplog.records[0].__dict__["error"])
    )


def serial(client: Client) -> str:
    number: str = client.writer.get_extra_info("peercert")["serialNumber"]
    return number


async def test_a_rotated_certificate_is_shown_to_new_connections(secure_with: Secure, place: Place) -> None:
    secured = await secure_with(TLS)
    trusting = place.client()
    async with connect(secured.server, trusting) as old:
        place.rotate()
        async with connect(secured.server, trusting) as new:
            assert serial(old) != serial(new)
        old.say(GET)
        assert (await old.answer()).status == 200


async def test_a_certificate_swapped_by_links_as_kubernetes_does_is_seen(
    secure_with: Secure, place: Place
) -> None:
    for name in ("one", "two"):
        place.rotate()
        (place.folder / name).mkdir()
        for file in ("server.pem", "server.key"):
            (place.folder / file).rename(place.folder / name / file)
            stat = (place.folder / "one" / file).stat()
            os.utime(place.folder / name / file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (place.folder / "data").symlink_to("one")
    secured = await secure_with(TLS.replace(" server", " data/server"))
    async with connect(secured.server, place.client()) as client:
        first = serial(client)
    (place.folder / "next").symlink_to("two")
    (place.folder / "next").rename(place.folder / "data")
    async with connect(secured.server, place.client()) as client:
        assert serial(client) != first


async def test_half_a_rotation_keeps_the_old_pair(
    secure_with: Secure, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    secured = await secure_with(TLS)
    async with connect(secured.server, place.client()) as client:
        old = serial(client)
    key = (place.folder / "server.key").read_bytes()
    place.rotate()
    new_key = (place.folder / "server.key").read_bytes()
    for halfway in (key, new_key[:100], b"", None):
        if halfway is None:
            (place.folder / "server.key").unlink()
        else:
            (place.folder / "server.key").write_bytes(halfway)
        async with connect(secured.server, place.client()) as client:
            assert serial(client) == old
        assert not secured.applied()
    assert messages(caplog) == ["failed to load web configuration; keeping the previous one"] * 4
    (place.folder / "server.key").write_bytes(new_key)
    async with connect(secured.server, place.client()) as client:
        assert serial(client) != old
    assert secured.applied()


async def test_a_rotation_to_an_expired_certificate_keeps_the_one_that_is_valid(
    secure_with: Secure, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    secured = await secure_with(TLS)
    place.rotate(dt.datetime(2026, 1, 5, 9, 30))  # noqa: DTZ001  trustme takes it for UTC
    assert (await secured.get(tls=place.client())).status == 200
    assert not secured.applied()
    (error,) = [record.__dict__["error"] for record in caplog.records if record.levelno >= logging.ERROR]
    assert "tls_server_config: the certificate expired on Jan  5 09:30:00 2026 GMT" in error
    place.rotate()
    assert (await secured.get(tls=place.client())).status == 200
    assert secured.applied()


async def test_an_exporter_starts_with_an_expired_certificate_and_warns(
    secure_with: Secure, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """Some clients do not verify it, and to stop would end the monitoring."""
    place.rotate(dt.datetime(2026, 1, 5, 9, 30))  # noqa: DTZ001  trustme takes it for UTC
    secured = await secure_with(TLS)
    assert secured.applied()
    unverified = place.client()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    assert (await secured.get(tls=unverified)).status == 200
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert warning.getMessage() == "web configuration has an expired certificate"


async def test_files_named_by_a_broken_state_are_looked_at_too(secure_with: Secure, place: Place) -> None:
    secured = await secure_with(TLS)
    other = trustme.CA()
    issued = other.issue_cert("localhost")
    place.write(TLS.replace(" server", " other"))
    async with connect(secured.server, place.client()):
        pass
    (place.folder / "other.pem").write_bytes(issued.cert_chain_pems[0].bytes())
    async with connect(secured.server, place.client()):
        pass
    (place.folder / "other.key").write_bytes(issued.private_key_pem.bytes())
    trusting = ssl.create_default_context()
    other.configure_trust(trusting)
    assert (await secured.get(tls=trusting)).status == 200


async def test_another_authority_for_clients_holds_for_new_connections(
    secure_with: Secure, place: Place
) -> None:
    secured = await secure_with(TLS + VERIFY)
    other = trustme.CA()
    assert (await secured.get(tls=place.client("a.example"))).status == 200
    (place.folder / "clients.pem").write_bytes(other.cert_pem.bytes())
    assert (await secured.get(tls=place.client("a.example", of=other))).status == 200
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await secured.get(tls=place.client("a.example"))


def test_files_are_looked_at_once_a_second_at_most(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    security = Security(place.write(TLS), Instrumentation("0").web_config())
    looked: list[Path] = []
    monkeypatch.setattr("exporter.runtime.files.stamp_here", looked.append)
    for _ in range(100):
        security.context()
    assert looked == []


def test_files_that_do_not_respond_delay_no_request_and_the_log_says_so_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("exporter.web.security.LOOK_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr("exporter.runtime.calls.LOOP_SECONDS", 0.05)
    instrumentation, gate = Instrumentation("0"), threading.Event()
    security = Security(place.write(TLS), instrumentation.web_config())
    before, stamp_here = security.context(), files.stamp_here
    monkeypatch.setattr("exporter.runtime.files.stamp_here", lambda path: gate.wait(60) and stamp_here(path))
    for _ in range(3):
        assert security.context() is before
    assert not applied(instrumentation)
    gate.set()
    until(lambda: security.context() and applied(instrumentation), "the files can be checked again")
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    expected = "failed to check web configuration for changes; keeping the previous one"
    assert (record.getMessage(), vars(record)["path"]) == (expected, str(place.file))
    assert vars(record)["reason"] == "the file system does not respond"


def test_a_start_with_errors_tells_them_all(place: Place) -> None:
    with pytest.raises(ConfigError) as caught:
        Security(
            place.write("basic_auth_users: {a: b}\nhttp_server_config: {http2: true}\n"),
            Instrumentation("0").web_config(),
        )
    assert [(error.line, error.path) for error in caught.value.errors] == [
        (1, "basic_auth_users.a"),
        (2, "http_server_config.http2"),
    ]
