"""What all credentials that fetch a token have in common."""

import socket
from collections.abc import Callable

import pytest
import responses
from requests import Request, Session
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import InvalidURL, ReadTimeout, SSLError

from exporter.auth import CREDENTIALS
from exporter.auth.token import TokenCredential
from exporter.model.failure import Failure, Reason
from exporter.transport.adapter import blocking_session
from tests.auth.conftest import SECRET, Server, renewal_failure

SecretFile = Callable[[str], dict[str, str]]
Make = Callable[..., TokenCredential]


@pytest.fixture(params=["oauth2", "huawei_token", "crafter_session", "login"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(kind: str, server: Server) -> Make:
    """Makes a credential whose endpoint is the server."""

    def make(secret: object = SECRET, url: str = server.url) -> TokenCredential:
        login = {"username": "u", "password": secret}
        keys = {
            "oauth2": {"token_url": url, "client_id": "c", "client_secret": secret},
            "huawei_token": {"token_url": url, **login, "domain": "d", "project": "p"},
            "crafter_session": login,
            "login": {"url": url, "body": login, "token": "access_token", "cookies": True},
        }[kind]
        credential = CREDENTIALS[kind](CREDENTIALS[kind].Keys.model_validate({"type": kind, **keys}))
        assert isinstance(credential, TokenCredential)
        credential.bind(url, {})
        return credential

    return make


def issue(server: Server, kind: str, token: str) -> None:
    """The server's next token, as each kind expects it; valid for five minutes where that is said."""
    server.answer({"access_token": token, "token_type": "Bearer"}, 201 if kind == "huawei_token" else 200)
    server.headers = {"X-Subject-Token": token}
    server.cookies = [f"JSESSIONID={token}; Path=/"]


def shown(credential: TokenCredential, server: Server) -> str:
    """What the credential writes onto a request."""
    plain = Request("GET", server.url).prepare()
    return " ".join(set(credential(plain.copy()).headers.values()) - set(plain.headers.values()))


def test_before_the_first_token_nothing_is_sent(make: Make, server: Server) -> None:
    credential = make()
    assert credential.must_renew(0)
    assert not credential.valid(0)
    with pytest.raises(Failure) as caught:
        shown(credential, server)
    assert caught.value.reason is Reason.AUTH


def test_every_token_has_its_own_version(make: Make, kind: str, server: Server, session: Session) -> None:
    issue(server, kind, "t1")
    credential = make()
    versions = [credential.version()]
    for _ in range(2):
        credential.renew(session, 0)
        versions.append(credential.version())
    assert len(set(versions)) == 3


def test_a_rejected_token_is_replaced_once_for_all_reads_that_sent_it(
    make: Make, kind: str, server: Server, session: Session
) -> None:
    issue(server, kind, "t1")
    credential = make()
    credential.renew(session, 0)
    old = credential.version()
    assert credential.rejected(old)
    assert credential.rejected(old)
    assert credential.must_renew(1)
    assert not credential.valid(1)
    issue(server, kind, "t2")
    credential.renew(session, 1)
    # The response to another read with the old token arrives only now.
    assert credential.rejected(old)
    assert not credential.must_renew(2)
    assert "t2" in shown(credential, server)


def test_a_token_that_is_rejected_soon_after_a_rejection_is_not_the_cause(
    make: Make, kind: str, server: Server, session: Session
) -> None:
    issue(server, kind, "t1")
    credential = make()
    credential.renew(session, 0)
    assert credential.rejected(credential.version())
    credential.renew(session, 1)
    assert not credential.must_renew(2)
    assert not credential.rejected(credential.version())
    assert not credential.must_renew(2)
    assert not credential.must_renew(60)
    assert credential.rejected(credential.version())
    assert credential.must_renew(60)


def test_rejections_of_each_new_token_renew_it_less_and_less_often(
    make: Make, kind: str, server: Server, session: Session
) -> None:
    issue(server, kind, "t1")
    credential = make()
    credential.renew(session, 0)
    renewed = []
    for now in range(0, 1200, 10):
        credential.must_renew(now)
        if credential.rejected(credential.version()):
            credential.renew(session, now)
            renewed.append(now)
    assert renewed == [0, 30, 90, 210, 450, 750, 1050]
    # A token that worked for longer than the pause was not rejected from the beginning.
    for now, again in ((1400, True), (2030, True), (2040, False), (2060, True)):
        credential.must_renew(now)
        assert credential.rejected(credential.version()) is again
        if again:
            credential.renew(session, now)


def test_a_doubted_token_is_in_use_until_there_is_another_and_replaced_every_five_minutes(
    make: Make, kind: str, server: Server, session: Session
) -> None:
    issue(server, kind, "t1")
    credential = make()
    credential.renew(session, 0)
    tried = []
    for now in range(0, 900, 10):
        credential.must_renew(now)
        if credential.doubted(credential.version()):
            assert credential.doubted(credential.version())  # of another read
            assert credential.must_renew(now)
            assert credential.valid(now) or now >= 300  # a token is valid for five minutes
            server.status = 500
            renewal_failure(credential, session, now)
            tried.append(now)
    assert tried == [300, 600]
    issue(server, kind, "t2")
    old = credential.version()
    credential.must_renew(900)
    assert credential.doubted(old)
    credential.renew(session, 900)
    assert credential.doubted(old)
    assert not credential.doubted(credential.version())


def test_a_rejected_token_is_not_kept_when_there_is_no_other(
    make: Make, kind: str, server: Server, session: Session
) -> None:
    issue(server, kind, "t1")
    credential = make()
    credential.renew(session, 0)
    credential.rejected(credential.version())
    server.answer({}, 503)
    renewal_failure(credential, session, 1)
    assert credential.must_renew(1)


def test_a_token_is_valid_only_with_the_secret_it_was_fetched_with(
    make: Make, kind: str, server: Server, session: Session, secret_file: SecretFile
) -> None:
    issue(server, kind, "t1")
    credential = make(secret_file("first"))
    credential.renew(session, 0)
    assert credential.valid(1)
    version = credential.version()
    secret_file("second")
    assert credential.version() != version
    assert credential.must_renew(1)
    assert not credential.valid(1)
    issue(server, kind, "t2")
    credential.renew(session, 1)
    assert b"first" in server.asked[0].body
    assert b"second" in server.asked[1].body
    assert "t2" in shown(credential, server)
    secret_file("third")
    server.answer({"error": "chatter"}, 401)
    renewal_failure(credential, session, 2)


@pytest.mark.parametrize("kind", ["oauth2", "huawei_token", "login"])
def test_an_early_renewal_that_fails_keeps_the_token_until_it_expires(
    make: Make, kind: str, server: Server, session: Session
) -> None:
    issue(server, kind, "t1")
    credential = make()
    credential.renew(session, 0)
    version = credential.version()
    server.answer({}, 503)
    for now in (270.0, 280.0, 299.9):
        assert credential.must_renew(now)
        renewal_failure(credential, session, now)
        assert credential.valid(now)
        assert credential.version() == version
        assert "t1" in shown(credential, server)
    assert not credential.valid(300)
    issue(server, kind, "t2")
    credential.renew(session, 301)
    assert credential.valid(301)
    assert "t2" in shown(credential, server)


def test_a_redirect_is_not_followed(make: Make, server: Server, session: Session) -> None:
    server.status, server.headers = 307, {"Location": f"{server.url}/chatter"}
    failure = renewal_failure(make(), session)
    assert failure.status == 307
    assert failure.detail.endswith(f" {server.host}: HTTP status 307")
    assert len(server.asked) == 1


def test_an_endpoint_that_hangs_times_out(make: Make, server: Server, impatient: Session) -> None:
    server.hang.clear()
    assert "timed out" in renewal_failure(make(), impatient).detail


def test_the_size_of_a_response_is_bounded(make: Make, server: Server) -> None:
    server.body = b" " * 100_000
    with blocking_session(max_bytes=10_000) as session:
        assert "the response is too large" in renewal_failure(make(), session).detail


def test_an_endpoint_that_does_not_listen_is_named(make: Make, session: Session) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{bound.getsockname()[1]}"
        detail = renewal_failure(make(url=f"http://{host}"), session).detail
    assert f" {host}: could not connect" in detail


@pytest.mark.parametrize("error", [ReadTimeout, SSLError, RequestsConnectionError, InvalidURL, UnicodeError])
def test_errors_of_a_plain_requests_session_are_failures_too(error: type[Exception], make: Make) -> None:
    credential = make(url="https://auth.example.com")
    with responses.RequestsMock() as mock, Session() as session:
        mock.post(credential.endpoint, body=error("chatter"))
        assert renewal_failure(credential, session).detail.endswith(": the request could not be sent")


def test_a_secret_that_is_not_unicode_is_a_failure(make: Make, session: Session) -> None:
    renewal_failure(make(f"{SECRET}\ud800"), session)
