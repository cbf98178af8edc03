"""TLS files that change under a pool: it has their content, and none of them can stop it."""

import asyncio
import os
import shutil
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trustme

from exporter.model.failure import Failure, Reason
from exporter.runtime import files
from exporter.transport import ConnectionSettings, ReloadingPool, Tls
from exporter.transport.reloading import CHECK_SECONDS
from tests.clock import FakeClock
from tests.transport.conftest import Authority, prepared
from tests.transport.servers import answer, answering, listening
from tests.waiting import never

NAMES = {"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "client.key"}


class Playing:
    """A pool whose server wants a client certificate and closes each connection after a response."""

    def __init__(self, url: str, folder: Path, authority: Authority) -> None:
        self.folder, self.authority, self.clock = folder, authority, FakeClock()
        self.sent = 0
        self._request = prepared("GET", url)
        self.issue()
        self.pool = self.made()

    def made(self) -> ReloadingPool:
        tls = Tls.model_validate({key: str(self.folder / name) for key, name in NAMES.items()})
        return ReloadingPool(ConnectionSettings(tls), self.clock, max_connections=1, grace=1.0)

    def issue(self) -> None:
        """A new client certificate with its key, and the CA."""
        leaf = self.authority.ca.issue_cert("client@example.com")
        (self.folder / "client.pem").write_bytes(leaf.cert_chain_pems[0].bytes())
        (self.folder / "client.key").write_bytes(leaf.private_key_pem.bytes())
        shutil.copy(self.authority.file, self.folder / "ca.pem")

    async def send(self) -> int:
        """The status of a request, after the files are due to be checked."""
        self.clock.turn(CHECK_SECONDS)
        response = await self.pool.send(self._request, timeout=30, max_bytes=99)
        self.sent += 1
        return response.status


@pytest.fixture
async def playing(authority: Authority, tmp_path: Path) -> AsyncIterator[Playing]:
    context = authority.server()
    context.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(context)
    async with listening(answering(answer(Connection="close")), context) as server:
        made = Playing(server.url(scheme="https"), tmp_path, authority)
        yield made
        await made.pool.close(0.0)
    # No connection was kept, so each request has used the content of the files.
    assert server.accepts == made.sent


def fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def encrypted(file: Path) -> None:
    file.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")


def other(file: Path) -> None:
    leaf = trustme.CA().issue_cert("client@example.com")
    file.write_bytes(leaf.private_key_pem.bytes())


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        *((name, fifo, "a pipe, not a regular file") for name in NAMES.values()),
        *((name, Path.unlink, "No such file or directory") for name in NAMES.values()),
        ("client.key", encrypted, "does not contain its unencrypted PEM key"),
        ("client.key", other, "does not contain its unencrypted PEM key"),
        ("ca.pem", lambda file: file.write_text("nothing"), "is not a PEM file"),
    ],
)
async def test_a_file_that_cannot_be_used_any_more_stops_nothing_and_the_log_names_it(
    name: str,
    change: Callable[[Path], object],
    why: str,
    playing: Playing,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await playing.send() == 200
    change(playing.folder / name)
    for _ in range(3):
        assert await playing.send() == 200
    (record,) = caplog.records
    assert record.getMessage() == "failed to load TLS files; keeping the previous ones"
    assert str(playing.folder / name) in vars(record)["error"]
    assert why in vars(record)["error"]
    (playing.folder / name).unlink(missing_ok=True)
    playing.issue()
    assert await playing.send() == 200
    change(playing.folder / name)
    assert await playing.send() == 200
    assert len(caplog.records) == 2


async def test_a_file_that_is_missing_at_the_first_request_is_named_and_looked_for_again(
    playing: Playing,
) -> None:
    kept = playing.folder / "kept"
    (playing.folder / "client.key").rename(kept)
    with pytest.raises(Failure) as caught:
        await playing.send()
    assert caught.value.reason is Reason.TLS
    assert caught.value.detail == f"cannot read {playing.folder}/client.key: No such file or directory"
    kept.rename(playing.folder / "client.key")
    assert await playing.send() == 200


async def test_requests_do_not_wait_for_files_that_do_not_respond(
    playing: Playing, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await playing.send() == 200
    gate, status = threading.Event(), files.status_here

    def hangs(path: Path) -> os.stat_result:
        gate.wait(60)
        return status(path)

    monkeypatch.setattr("exporter.transport.reloading.WAIT_SECONDS", 0.05)
    monkeypatch.setattr(files, "status_here", hangs)
    try:
        for _ in range(3):
            assert await playing.send() == 200
    finally:
        gate.set()


async def test_a_pool_that_is_closed_while_its_files_are_read_sends_nothing(
    playing: Playing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.runtime.tasks.in_thread", lambda _: never())
    sending = asyncio.ensure_future(playing.send())
    await asyncio.sleep(0)
    await playing.pool.close(0.0)
    with pytest.raises(Failure, match="closed"):
        await sending


def test_systems_share_the_descriptor_of_what_they_trust(tmp_path: Path) -> None:
    for name in ("one", "other"):
        trustme.CA().cert_pem.write_to_path(tmp_path / name)
    one, other = (Tls.model_validate({"ca_file": str(tmp_path / name)}) for name in ("one", "other"))
    held = [tls.read() for tls in [one] * 10 + [other] * 10]
    assert len({pem.trusted.path for pem in held}) == 2
    assert held[0].trusted.path.read_bytes() == (tmp_path / "one").read_bytes()
