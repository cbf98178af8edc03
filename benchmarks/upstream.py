"""The upstream of all measurements: a vendor in a process of its own, whose responses are prepared bytes.

The first segment of a path selects what it does:

    /now       a running job, another progress in each response
    /late      the same, 50 ms later
    /finished  a job that has ended
    /listing   1,000 running jobs in pages of 100

It writes its address to standard output and runs until it is terminated.
"""

import argparse
import asyncio
import itertools
import json
import ssl
from collections.abc import Iterator
from typing import Any

LATE_SECONDS = 0.05
JOBS, PAGE = 1000, 100
VARIANTS = 53
"""A prime: with a divisor of the number of jobs, each job would get the same response in every scrape."""
SIZE = 1000
"""Bytes of the body of one job, about."""


def job(number: int, *, finished: bool = False, job_id: str = "job_41B25") -> dict[str, Any]:
    """A job of the Sitecore Publishing API, with nine numbers."""
    system = {
        "status": "Completed" if finished else "Running",
        "queuedTime": "2026-10-20T05:38:05.7249287Z",
        "startTime": "2026-10-20T05:38:07.1249287Z",
        "finishTime": "2026-10-20T05:48:05.0249287Z" if finished else None,
        "createdBy": {"id": "auth0|65f1c1d2e3a4b5c6d7e8f901", "name": "Author"},
    }
    statistics = {
        "itemsSent": 400,
        "itemsProcessed": 300 + number,
        "itemsFailed": 0,
        "lastReportTime": "2026-10-20T05:45:05.7249287Z",
        "xmc": {
            "itemsSendingComplete": True,
            "additionalItemsSent": 20,
            "itemsSkipped": 3,
            "itemsDeleted": 1,
            "itemsAcknowledged": 280 + number,
        },
    }
    body = {
        "id": job_id,
        "name": "Home page and navigation",
        "source": "Pages",
        "system": system,
        "statistics": statistics,
        "permissions": {"canCancel": not finished},
    }
    body["options"] = "x" * (SIZE - len(json.dumps(body)))
    return body


def _response(body: object) -> bytes:
    content = json.dumps(body).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(content)
    return head + content


class Responses:
    """All responses, prepared."""

    def __init__(self) -> None:
        # Never the same twice in a row, so that no result can be reused.
        self._running = itertools.cycle([_response(job(number)) for number in range(VARIANTS)])
        self._finished = _response(job(0, finished=True))
        self._pages = [self._round(number) for number in range(2)]
        self._turn: Iterator[list[bytes]] = itertools.cycle(self._pages)
        self._round_now = self._pages[0]

    def _round(self, number: int) -> list[bytes]:
        pages = []
        for first in range(0, JOBS, PAGE):
            data = [job(number + n % 7, job_id=f"job_{n}") for n in range(first, first + PAGE)]
            token = str(first // PAGE + 1) if first + PAGE < JOBS else None
            pages.append(_response({"totalCount": JOBS, "data": data, "next": token}))
        return pages

    def to(self, target: str) -> bytes:
        """The response to a request target."""
        if target.startswith("/listing"):
            token = target.partition("continuationToken=")[2]
            if not token:
                self._round_now = next(self._turn)
            return self._round_now[int(token or 0)]
        return self._finished if target.startswith("/finished") else next(self._running)


class _Connection(asyncio.Protocol):
    def __init__(self, responses: Responses) -> None:
        self._responses = responses
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        *requests, self._received = self._received.split(b"\r\n\r\n")
        for request in requests:
            target = request.split(b" ", 2)[1].decode()
            response = self._responses.to(target)
            if target.startswith("/late"):
                asyncio.get_running_loop().call_later(LATE_SECONDS, self._transport.write, response)
            else:
                self._transport.write(response)


async def serve(certificate: str) -> None:
    """Serves until the process ends."""
    loop, responses = asyncio.get_running_loop(), Responses()
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    server = await loop.create_server(
        lambda: _Connection(responses), "127.0.0.1", 0, backlog=1024, ssl=context
    )
    scheme = "https" if context else "http"
    print(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificate", default="", help="PEM file with a key and a certificate; serves TLS")
    asyncio.run(serve(parser.parse_args().certificate))
