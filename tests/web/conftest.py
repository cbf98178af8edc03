import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from starlette.types import ASGIApp

from exporter.metrics.instrumentation import Instrumentation
from exporter.web.security import Guard, Security
from exporter.web.server import Limits, Server
from tests.web.clients import CALM, Start, hello
from tests.web.secured import Place, Secure, Secured


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    servers: list[Server] = []

    async def started(
        app: ASGIApp = hello,
        limits: Limits = CALM,
        listen: tuple[str, ...] = ("127.0.0.1:0",),
        ssl_context: ssl.SSLContext | None = None,
    ) -> Server:
        servers.append(Server(app, listen, limits=limits, ssl_context=ssl_context))
        await servers[-1].start()
        return servers[-1]

    yield started
    for server in servers:
        await server.stop(0)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
async def secure_with(place: Place, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Secure]:
    """Serves behind a web configuration, which is looked at again for every connection and request."""
    monkeypatch.setattr("exporter.web.security.LOOK_AGAIN_SECONDS", 0.0)
    started: list[Secured] = []

    async def start(text: str) -> Secured:
        instrumentation = Instrumentation("0")
        security = Security(place.write(text), instrumentation.web_config())
        context = security.context if security.tls else None
        server = Server(Guard(hello, security), ("127.0.0.1:0",), ssl_context=context)
        started.append(Secured(server, security, instrumentation))
        await server.start()
        return started[-1]

    yield start
    for each in started:
        await each.server.stop(0)
        each.security.close()
