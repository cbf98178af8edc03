import ssl
from collections.abc import AsyncIterator

import pytest
import trustme
from starlette.types import ASGIApp

from exporter.web.server import Limits, Server
from tests.web.clients import FAST, Start, hello


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    servers: list[Server] = []

    async def started(
        app: ASGIApp = hello,
        limits: Limits = FAST,
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
