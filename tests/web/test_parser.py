import h11
import pytest

from exporter.web.limits import Limits
from exporter.web.parser import PIECE_BYTES, Parser

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
def http() -> h11.Connection:
    return h11.Connection(h11.SERVER)


@pytest.fixture
def parser(http: h11.Connection) -> Parser:
    return Parser(http, Limits())


def test_a_request_is_given_out_when_it_is_whole(parser: Parser) -> None:
    request = HEAD + b"Content-Length: 2\r\n\r\nab"
    for byte in request[:-1]:
        parser.receive(bytes([byte]))
        assert parser.next() is None
    parser.receive(request[-1:] + b"GET")
    whole = parser.next()
    assert whole is not None
    assert (whole[0].method, whole[1]) == (b"POST", b"ab")
    assert parser.ahead == len(b"GET")


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "costly"),
    [
        (CHUNKED + b"1\r\ny\r\n" * 5_000 + b"0\r\n\r\n", h11.Data),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000, h11.Request),
    ],
)
def test_one_call_parses_one_piece_however_much_has_arrived(
    http: h11.Connection, parser: Parser, request_: bytes, costly: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [0]

    def next_event() -> object:
        event = plain()
        events[-1] += isinstance(event, costly)
        return event

    plain = http.next_event
    monkeypatch.setattr(http, "next_event", next_event)
    parser.receive(request_)
    requests = 0
    while True:
        if parser.next():
            requests += 1
            http.send(h11.Response(status_code=200, headers=[(b"content-length", b"0")]))
            http.send(h11.EndOfMessage())
            http.start_next_cycle()
        elif not parser.unparsed:
            break
        events.append(0)
    assert requests == request_.count(b"HTTP/1.1")
    assert max(events) <= PIECE_BYTES / len(b"1\r\ny\r\n") + 1


def parse_all(parser: Parser, parts: list[bytes]) -> None:
    for part in parts:
        parser.receive(part)
        while parser.next() is None and parser.unparsed:
            pass


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n%b",
        CHUNKED + b"1\r\ny\r\n0\r\n%b",
    ],
)
def test_more_header_lines_than_allowed_are_refused(parser: Parser, head: bytes, *, at_once: bool) -> None:
    request = head % (b"a: b\r\n" * (Limits().header_lines + 1))
    parts = [request] if at_once else [request[n : n + 7] for n in range(0, len(request), 7)]
    with pytest.raises(h11.RemoteProtocolError) as refused:
        parse_all(parser, parts)
    assert refused.value.error_status_hint == 431


def test_as_many_header_lines_as_allowed_are_accepted(parser: Parser) -> None:
    parser.receive(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * (Limits().header_lines - 1) + b"\r\n")
    assert parser.next() is not None
