"""A server that hands out tokens and takes down what it was asked, and secrets in files that change."""

import json
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from requests import PreparedRequest, Request, Session

from exporter.auth.credential import Credential
from exporter.model.failure import Failure, Reason
from exporter.transport.adapter import blocking_session

SECRET = "kept-to-ourselves"
TOKEN = "token-kept-too"


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True))


@dataclass
class Server:
    """Answers whatever it is asked with ``status`` and ``body``."""

    url: str
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[str] = field(default_factory=list)
    hang: threading.Event = field(default_factory=threading.Event)
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hang.set()

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def answer(self, body: object, status: int = 200) -> None:
        self.status, self.body = status, json.dumps(body).encode()

    def token(self, token: str = "t1", **more: object) -> None:  # noqa: S107  made up
        self.answer({"access_token": token, "token_type": "Bearer", "expires_in": 3600, **more})


@pytest.fixture
def server() -> Iterator[Server]:
    known: list[Server] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            server = known[0]
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.asked.append(Asked(self.command, self.path, headers, body))
            server.hang.wait(60)
            self.send_response(server.status)
            for name, value in {"Content-Length": str(len(server.body)), **server.headers}.items():
                self.send_header(name, value)
            for cookie in server.cookies:
                self.send_header("Set-Cookie", cookie)
            self.end_headers()
            self.wfile.write(server.body)

        do_GET = do_POST  # noqa: N815  the name is http.server's

        def log_message(self, *args: Any) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.append(Server(f"http://127.0.0.1:{listener.server_port}"))
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield known[0]
    known[0].hang.set()
    listener.shutdown()
    listener.server_close()
    thread.join()


@pytest.fixture
def session() -> Iterator[Session]:
    with blocking_session() as session:
        yield session


@pytest.fixture
def impatient() -> Iterator[Session]:
    """A session for servers that hang."""
    with blocking_session(timeout=0.3) as session:
        yield session


@pytest.fixture
def secret_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, str]]:
    """Writes the one secret file, and gives what the config says of it."""
    monkeypatch.setattr("exporter.runtime.secret.LOOK_AGAIN_SECONDS", 0)
    path = tmp_path / "secret"

    def write(value: str) -> dict[str, str]:
        # Put in place whole, as Kubernetes and careful people do.
        new = tmp_path / "new"
        new.write_text(value, encoding="utf-8")
        os.replace(new, path)  # noqa: PTH105  pathlib's own says no more
        return {"file": str(path)}

    return write


def renewal_failure(credential: Credential, session: Session, now: float = 0.0) -> Failure:
    """The failure of a renewal. However it is printed, it shows no secret and no text of the response."""
    with pytest.raises(Failure) as caught:
        credential.renew(session, now)
    failure = caught.value
    shown = "".join(traceback.format_exception(failure)) + repr(vars(failure))
    assert failure.reason is Reason.AUTH
    assert failure.__context__ is None
    assert not any(word in shown for word in (SECRET, TOKEN, "chatter"))
    return failure


def sent(credential: Credential) -> dict[str, str]:
    """The headers that a credential writes onto a request."""
    request: PreparedRequest = Request("GET", "http://127.0.0.1/").prepare()
    credential.apply(request)
    return dict(request.headers)
