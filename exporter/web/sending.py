"""Large pages: made once for all who ask at the same time, and sent in a bounded memory.

A page stays in memory until its slowest reader has it. Readers of the same moment share one page, so only
readers of different moments cost memory. If these are many, the readers of the oldest page make way.
"""

import asyncio
import contextlib
import gzip
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from dataclasses import dataclass

from prometheus_client import Counter
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exporter.runtime.memory import joined
from exporter.runtime.shared import Rounds
from exporter.web.turns import Turns

MAX_BYTES = 128 * 2**20
"""Of all pages that are being sent: eight of 5,000 jobs, or hundreds of compressed ones."""
MIN_PAGES = 4
"""So many may be larger: servers that scrape the same exporter at different moments, however many jobs."""
PAUSE_SECONDS = 0.25
"""Before another page while over half of the memory is in use: those that are being sent get time. It is less
than the usual half second between the response and the scrape timeout."""
SENDING_SECONDS = 60.0
"""For a client to read a whole response: the longest scrape timeout that is usual."""
GZIP_FROM = 1400
"""Bytes. A smaller page fits into one packet anyway."""
SLICE_BYTES = 256 * 1024
"""To copy one to the kernel takes up to two milliseconds. One client is sent one in each turn of the loop."""

_log = logging.getLogger(__name__)

Body = bytes | memoryview
Render = Callable[[], Awaitable[Body]]


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """The body of a response. Two of them are equal only if they are the same."""

    body: Body
    content_type: str
    packed: bool = False


class Pages:
    """Makes and sends the pages of one application.

    Args:
        cut: counts the responses that were cut because their clients read too slowly.

    Attributes:
        turns: of the clients that are sent pages.
    """

    def __init__(self, cut: Counter) -> None:
        self.turns = Turns()
        self._cut = cut
        self._plain: Rounds[Page] = Rounds()
        self._packed: Rounds[Page] = Rounds()
        # Their readers, by page. The oldest page is first.
        self._sent: dict[Page, set[asyncio.Timeout]] = {}

    async def shared(
        self, key: Hashable, content_type: str, render: Render, *, accepts_gzip: bool
    ) -> Response:
        """The response with a page that is rendered from now on.

        Args:
            key: what is rendered. Others who ask for the same at the same time get the same page.
            accepts_gzip: whether the client does.
        """

        async def plain() -> Page:
            if self._bytes() > MAX_BYTES / 2:
                await asyncio.sleep(PAUSE_SECONDS)
            return Page(await render(), content_type)

        async def packed() -> Page:
            return await _pack(await self._plain.get(key, plain))

        rounds, work = (self._packed, packed) if accepts_gzip else (self._plain, plain)
        return _PageResponse(await rounds.get(key, work), self)

    async def single(self, body: bytes, content_type: str, *, accepts_gzip: bool) -> Response:
        """The response with a page for one client."""
        page = Page(body, content_type)
        return _PageResponse(await _pack(page) if accepts_gzip else page, self)

    @contextlib.asynccontextmanager
    async def sending(self, page: Page) -> AsyncIterator[None]:
        """Counts a reader of a page.

        Raises:
            TimeoutError: in the block, if its time is over or it has to make way.
        """
        async with asyncio.timeout(SENDING_SECONDS) as limit:
            readers = self._sent.setdefault(page, set())
            readers.add(limit)
            self._make_way()
            try:
                yield
            finally:
                readers.remove(limit)
                if not readers and self._sent.get(page) is readers:
                    del self._sent[page]

    def _make_way(self) -> None:
        while self._bytes() > MAX_BYTES and len(self._sent) > MIN_PAGES:
            for limit in self._sent.pop(next(iter(self._sent))):
                if not limit.expired():
                    limit.reschedule(asyncio.get_running_loop().time())

    def _bytes(self) -> int:
        return sum(len(page.body) for page in self._sent)

    def was_cut(self) -> None:
        """Counts a response that was not sent to its end."""
        self._cut.inc()


class _PageResponse(Response):
    def __init__(self, page: Page, pages: Pages) -> None:
        headers = {"Content-Type": page.content_type, "Vary": "Accept, Accept-Encoding"}
        if page.packed:
            headers["Content-Encoding"] = "gzip"
        super().__init__(None, headers={**headers, "Content-Length": str(len(page.body))})
        self._page = page
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the page, or a part of it: the server then closes the connection."""
        try:
            async with self._pages.sending(self._page):
                await self._send(send)
        except TimeoutError:
            self._pages.was_cut()
            _log.debug("a client read its response too slowly", extra={"path": scope["path"]})

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        # One slice in each turn of the loop. The end is a message of its own:
        # until then a response that is cut is incomplete for the server, which closes the connection.
        body = memoryview(self._page.body)
        for start in range(0, len(body), SLICE_BYTES):
            part = body[start : start + SLICE_BYTES]
            await self._pages.turns.mine()
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _pack(page: Page) -> Page:
    """The page, compressed if it is large enough."""
    if len(page.body) < GZIP_FROM:
        return page
    # In a thread: compressing a large page would block the loop.
    body = await asyncio.to_thread(lambda: joined([gzip.compress(page.body, 1, mtime=0)]))
    return Page(body, page.content_type, packed=True)
