"""Faults of a server over HTTP/1.1: what is sent in place of a response, and the reasons that may follow."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exporter.model.failure import Reason
from tests.hostile.sending import (
    BROTLI_BOMB,
    MIB,
    OK,
    body_of,
    changed,
    chunked,
    closed,
    duplicated,
    endless,
    instead,
    packed,
    reset,
    then_silent,
    top,
    with_body,
    with_value,
    zstd_bomb,
)
from tests.hostile.upstreams import Fault
from tests.transport.servers import answer

ANY = frozenset(Reason) - {Reason.INTERNAL, Reason.DEADLINE}
"""What a body that is not a job can become, if it is not a job without some values."""


@dataclass(frozen=True)
class Case:
    """One fault.

    Args:
        reasons: why a read may fail.
        readable: whether the job may be read as well, or has to be if there are no reasons.
    """

    fault: Fault
    reasons: frozenset[Reason] = frozenset()
    readable: bool = False

    @property
    def waits(self) -> bool:
        """Whether only the limit of time ends it."""
        return self.reasons == {Reason.TIMEOUT}

    def allows(self, reason: Reason | None) -> bool:
        return self.readable if reason is None else reason in self.reasons


def fails(fault: Fault | bytes, *reasons: Reason) -> Case:
    return Case(instead(fault) if isinstance(fault, bytes) else fault, frozenset(reasons))


def fine(fault: Fault) -> Case:
    return Case(fault, readable=True)


def odd(fault: Fault) -> Case:
    return Case(fault, ANY, readable=True)


def status(code: int, text: str = "Some", body: bytes = b"{}", **headers: str) -> bytes:
    return answer(body, f"{code} {text}", **headers)


STATUSES: dict[int, Reason] = {
    300: Reason.REDIRECT,
    304: Reason.REDIRECT,
    305: Reason.REDIRECT,
    400: Reason.CLIENT_ERROR,
    401: Reason.UNAUTHORIZED,
    402: Reason.CLIENT_ERROR,
    403: Reason.FORBIDDEN,
    418: Reason.CLIENT_ERROR,
    429: Reason.RATE_LIMITED,
    499: Reason.CLIENT_ERROR,
    500: Reason.SERVER_ERROR,
    502: Reason.SERVER_ERROR,
    503: Reason.SERVER_ERROR,
    599: Reason.SERVER_ERROR,
    600: Reason.INVALID_RESPONSE,
    999: Reason.INVALID_RESPONSE,
}
NOT_JSON: Mapping[str, bytes] = {
    "nothing": b"",
    "a space": b" ",
    "null": b"null",
    "a number": b"1",
    "a text": b'"ok"',
    "an empty list": b"[]",
    "a list in a list": b"[[]]",
    "half a JSON": b'{"status": "BU',
    "two JSON texts": b"{}{}",
    "a trailing comma": b'{"status": "BUSY",}',
    "single quotes": b"{'status': 'BUSY'}",
    "a comment": b'{"status": "BUSY"} // fine',
    "NUL bytes": bytes(100),
    "UTF-16": '{"status": "BUSY"}'.encode("utf-16"),
    "no UTF-8": b'{"status": "\xff\xfe"}',
    "a lone surrogate": b'{"status": "\\ud800"}',
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep lists that end": b"[" * 100_000 + b"]" * 100_000,
    "a number of 100,000 digits": b'{"status": ' + b"9" * 100_000 + b"}",
    "50,000 keys": json.dumps({str(number): 0 for number in range(50_000)}).encode(),
    "a text of 900 kB": json.dumps({"status": "x" * 900_000}).encode(),
}
VALUES: dict[str, Any] = {
    "null": None,
    "an empty list": [],
    "a list": [1, "a", None],
    "an object": {"a": {"b": 1}},
    "true": True,
    "an empty text": "",
    "a space": " ",
    "a text with NUL and line breaks": "a\0b\r\nc\u2028d",
    "a long text": "x" * 10_000,
    "a negative number": -1,
    "a fraction": 0.1,
    "a huge whole number": 10**300,
    "a number of 400 digits": 10**400,
    "Infinity": float("inf"),
    "NaN": float("nan"),
    "a date of long ago": "0001-01-01T00:00:00Z",
    "a date far ahead": "9999-12-31T23:59:59+14:00",
    "a path": "../../admin?a=b#c",
}

CASES: dict[str, Case] = {
    # Statuses.
    **{f"status {code}": fails(status(code), reason) for code, reason in STATUSES.items()},
    # The status of a run that has ended stays when it is forgotten.
    **{
        f"status {code}": Case(instead(status(code)), frozenset([Reason.NOT_FOUND]), readable=True)
        for code in (404, 410)
    },
    "status 204": fails(b"HTTP/1.1 204 No Content\r\n\r\n", Reason.INVALID_RESPONSE),
    "status 205": fails(status(205, body=b""), Reason.INVALID_RESPONSE),
    "status 206 with a part": fails(
        changed(lambda response: status(206, body=body_of(response)[:-3], Content_Range="bytes 0-9/99")),
        Reason.INVALID_RESPONSE,
    ),
    "status 101": fails(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        Reason.INVALID_RESPONSE,
        Reason.CONNECT,
    ),
    "early hints before the response": fine(
        changed(lambda response: b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response, close=False)
    ),
    "interim responses only": fails(
        b"HTTP/1.1 100 Continue\r\n\r\n", Reason.CONNECT, Reason.INVALID_RESPONSE
    ),
    "endless interim responses": fails(
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 999), Reason.TOO_LARGE
    ),
    "429 until the year 9999": fails(
        status(429, Retry_After="Fri, 31 Dec 9999 23:59:59 GMT"), Reason.RATE_LIMITED
    ),
    "429 with a huge wait": fails(status(429, Retry_After="9" * 400), Reason.RATE_LIMITED),
    "429 with nonsense": fails(status(429, Retry_After="-1, soon"), Reason.RATE_LIMITED),
    # Redirects, none of which is followed.
    **{
        f"redirect to {place}": fails(status(302, Location=place), Reason.REDIRECT)
        for place in (
            "file:///etc/passwd",
            "http://169.254.169.254/latest",
            "//127.0.0.1:1/",
            "gopher://a/_b",
        )
    },
    "redirect to itself": fails(status(307, Location="?"), Reason.REDIRECT),
    "redirect without a place": fails(status(308), Reason.REDIRECT),
    # Bodies that are no job.
    **{f"a body of {name}": odd(instead(answer(body), close=False)) for name, body in NOT_JSON.items()},
    "a sign-in page": fails(
        answer(b"<!doctype html><title>Sign in</title><form action=/login>", Content_Type="text/html"),
        Reason.INVALID_RESPONSE,
        Reason.UNAUTHORIZED,
        Reason.REDIRECT,
    ),
    "an image": fails(
        answer(b"\x89PNG\r\n\x1a\n" + bytes(99), Content_Type="image/png"), Reason.INVALID_RESPONSE
    ),
    "the wrong content type": odd(with_body(lambda body: body, Content_Type="text/css; charset=utf-16")),
    "a byte order mark": odd(with_body(lambda body: b"\xef\xbb\xbf" + body)),
    "doubled keys": odd(with_body(duplicated)),
    # A job with odd values.
    **{f"{name} in place of each value": odd(with_value(value)) for name, value in VALUES.items()},
    **{f"{name} for each key": odd(top(value)) for name, value in VALUES.items()},
    # Lengths.
    "a body that is too short": fails(
        changed(lambda response: response[: -len(body_of(response)) // 2 or None]), Reason.CONNECT
    ),
    "a body that is longer than its length": odd(instead(answer() + b"more" * 100)),
    "a length that is no number": fails(OK + b"Content-Length: many\r\n\r\n{}", Reason.INVALID_RESPONSE),
    "a negative length": fails(OK + b"Content-Length: -5\r\n\r\n{}", Reason.INVALID_RESPONSE),
    "a length of 2^70": fails(
        OK + b"Content-Length: 1180591620717411303424\r\n\r\n{}", Reason.TOO_LARGE, Reason.INVALID_RESPONSE
    ),
    "two lengths": odd(instead(OK + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}")),
    "a length and chunks": odd(
        instead(OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
    ),
    "a chunk without a size": fails(chunked(b"\r\n{}\r\n0\r\n\r\n"), Reason.INVALID_RESPONSE, Reason.CONNECT),
    "a chunk of a nonsense size": fails(
        chunked(b"zz\r\n{}\r\n0\r\n\r\n"), Reason.INVALID_RESPONSE, Reason.CONNECT
    ),
    "a chunk of 2^70": fails(
        chunked(b"400000000000000000\r\n{}"), Reason.INVALID_RESPONSE, Reason.CONNECT, Reason.TOO_LARGE
    ),
    "no last chunk": fails(chunked(b"2\r\n{}\r\n"), Reason.CONNECT),
    "endless chunks": fails(endless(chunked(), b"1000\r\n" + bytes(4096) + b"\r\n"), Reason.TOO_LARGE),
    "endless trailers": fails(
        endless(chunked(b"0\r\n"), b"X-Trailer: more\r\n" * 999), Reason.TOO_LARGE, Reason.INVALID_RESPONSE
    ),
    "an unknown transfer encoding": fails(
        OK + b"Transfer-Encoding: rot13\r\n\r\n{}", Reason.INVALID_RESPONSE, Reason.CONNECT
    ),
    # Encodings.
    "a gzip bomb": fails(changed(lambda _: packed("gzip")), Reason.TOO_LARGE),
    "a deflate bomb": fails(changed(lambda _: packed("deflate")), Reason.TOO_LARGE),
    "a brotli bomb": fails(
        answer(BROTLI_BOMB, Content_Encoding="br"), Reason.TOO_LARGE, Reason.INVALID_RESPONSE
    ),
    "a zstd bomb": fails(
        answer(zstd_bomb(), Content_Encoding="zstd"), Reason.TOO_LARGE, Reason.INVALID_RESPONSE
    ),
    "gzip in gzip": odd(
        with_body(lambda body: gzip.compress(gzip.compress(body)), Content_Encoding="gzip, gzip")
    ),
    "twenty encodings": fails(
        answer(gzip.compress(b"{}"), Content_Encoding=", ".join(["gzip"] * 20)), Reason.INVALID_RESPONSE
    ),
    "half a gzip": fails(
        with_body(lambda body: gzip.compress(body)[:-20], Content_Encoding="gzip"),
        Reason.INVALID_RESPONSE,
        Reason.CONNECT,
    ),
    "no gzip": fails(answer(b"{}", Content_Encoding="gzip"), Reason.INVALID_RESPONSE),
    "no brotli": fails(answer(b"{}", Content_Encoding="br"), Reason.INVALID_RESPONSE),
    "an unknown encoding": fails(answer(b"{}", Content_Encoding="rot13"), Reason.INVALID_RESPONSE),
    # Heads.
    "a header of 1 MiB": fails(answer(X_Long="a" * MIB), Reason.TOO_LARGE),
    "20,000 headers": fails(OK + b"X-More: a\r\n" * 20_000 + b"\r\n", Reason.TOO_LARGE),
    "a header without a colon": odd(instead(OK + b"what is this\r\nContent-Length: 2\r\n\r\n{}")),
    "a header with NUL": fails(OK + b"X-Nul: a\0b\r\nContent-Length: 2\r\n\r\n{}", Reason.INVALID_RESPONSE),
    "a folded header": odd(instead(OK + b"X-Folded: a\r\n b\r\nContent-Length: 2\r\n\r\n{}")),
    "line feeds alone": odd(instead(b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}")),
    "HTTP/0.9": fails(b"{}", Reason.INVALID_RESPONSE),
    "HTTP/9.9": fails(b"HTTP/9.9 200 OK\r\n\r\n{}", Reason.INVALID_RESPONSE),
    "a status line without a number": fails(b"HTTP/1.1 OK\r\n\r\n{}", Reason.INVALID_RESPONSE),
    "a status of two digits": fails(b"HTTP/1.1 99 OK\r\n\r\n{}", Reason.INVALID_RESPONSE),
    "another protocol": fails(b"220 mail.example.com ESMTP\r\n", Reason.INVALID_RESPONSE),
    "frames of HTTP/2": fails(b"\0\0\0\4\0\0\0\0\0", Reason.INVALID_RESPONSE, Reason.CONNECT),
    # Times.
    "closed before the head": fails(closed, Reason.CONNECT),
    "reset before the head": fails(reset, Reason.CONNECT),
    "closed in the head": fails(OK + b"Content-", Reason.CONNECT),
    "closed after the head": fails(OK + b"Content-Length: 99\r\n\r\n", Reason.CONNECT),
    "silence": fails(then_silent(b""), Reason.TIMEOUT),
    "silence in the head": fails(then_silent(OK + b"Content-"), Reason.TIMEOUT),
    "silence in the body": fails(then_silent(OK + b"Content-Length: 99\r\n\r\n{"), Reason.TIMEOUT),
    "a byte now and then": fails(endless(OK + b"Content-Length: 9999\r\n\r\n", b" ", 0.05), Reason.TIMEOUT),
    "closed after a kept response": fine(changed(lambda response: response)),
}

FEW = (
    "status 401",
    "status 403",
    "status 429",
    "status 500",
    "redirect to file:///etc/passwd",
    "a sign-in page",
    "an image",
    "a body that is too short",
    "endless chunks",
    "a gzip bomb",
    "no gzip",
    "a header of 1 MiB",
    "closed before the head",
    "silence",
)
"""One or two of each kind, for other requests than those for a job: most happens below all of them."""
BODIES = tuple(
    name for name, case in CASES.items() if case.reasons == ANY and not name.endswith(" for each key")
)
"""The cases that only differ in the body, for what is read in another way."""
