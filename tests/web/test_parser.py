import h11
import pytest

from exporter.web.limits import Limits
from exporter.web.parser import Parser

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
def http() -> h11.Connection:
    return h11.Connection(h11.SERVER)


@pytest.fixture
def parser(http: h11.Connection) -> Parser:
    return Parser(http, Limits())


def test_a_request_is_given_out_when_it_is_whole(http: h11.Connection, parser: Parser) -> None:
    request = HEAD + b"Content-Length: 2\r\n\r\nab"
    for byte in request[:-1]:
        http.receive_data(bytes([byte]))
        assert parser.next() is None
    http.receive_data(request[-1:] + b"GET")
    whole = parser.next()
    assert whole is not None
    assert (whole[0].method, whole[1]) == (b"POST", b"ab")
    assert parser.ahead == len(b"GET")
