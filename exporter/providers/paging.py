"""Listings of several pages: what was read, when it ends, and the address of the next page in a response."""

from collections import Counter
from collections.abc import Callable, Mapping, Sized
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urljoin, urlsplit

from msgspec.structs import replace

from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response, has_dot_segments
from exporter.providers.base import Found, Listing, ListingEnd, invalid, received

PAGE_SIZE = 100
MAX_PAGES = 500
MAX_ADDRESS = 8192
MAX_EMPTY = 10
"""Empty pages in a row that each have a next one. A system that filters its pages may have some."""
MAX_TIMES = 10
MAX_ENTRIES = 50_000
"""Of a page, if no number was requested."""
STALLED = f"it has more pages after {MAX_EMPTY} without an entry"
REPEATED = "a page repeats an earlier one"
NO_ID = "an entry has no valid id"
BEYOND = frozenset({204, 400, 404, 416, 422})
"""Responses to the number of a page that does not exist, or that is more than the system allows."""

_NO_SUCH_PAGE = frozenset({204, 404, 416})
# RFC 3986 sections 3.3 and 3.4, and % of what is encoded already.
_PATH = "%:/@!$&'()*+,;=-._~"
_QUERY = _PATH + "?"


def check_number(entries: Sized, requested: int | None) -> None:
    """Checks that a page does not have far more entries than requested. Some systems ignore the number.

    Raises:
        Failure: ``too_large``.
    """
    most = MAX_ENTRIES if requested is None else MAX_TIMES * max(requested, PAGE_SIZE)
    if len(entries) > most:
        raise Failure(Reason.TOO_LARGE, f"a page of the listing has more than {most} entries")


class Tally:
    """Counts the entries of one listing, page by page.

    Attributes:
        read: the number of entries.
        skipped: how many of them name no job, by what is wrong with them.
        short: the last page has fewer entries than were requested.

    Args:
        size: the number of entries that each request asks for, if it is known.
    """

    def __init__(self, size: int | None = None) -> None:
        self.read = 0
        self.skipped: Counter[str] = Counter()
        self.short = False
        self._size = size
        self._total: int | None = None
        self._last: list[Any] = []
        self._empty = 0

    def add(self, rows: int, total: int | None) -> None:
        """Counts a page.

        Args:
            rows: the number of its entries.
            total: the entries of all pages, if the response has that number.
        """
        self.read += rows
        self._empty = 0 if rows else self._empty + 1
        self.short = self._size is not None and rows < self._size
        self._total = self._total if total is None else total

    def add_new(self, entries: list[Any], total: int | None) -> bool:
        """Counts a page, unless it repeats the one before.

        The keys of jobs are no sign of that: there may be runs of the same few jobs on all pages.

        Returns:
            Whether the page was counted.
        """
        if entries and entries == self._last:
            return False
        self._last = entries
        self.add(len(entries), total)
        return True

    @property
    def stalled(self) -> bool:
        """Whether to read no further page: `end` is then that with `STALLED`."""
        return self._empty >= MAX_EMPTY

    @property
    def complete(self) -> bool:
        """Whether as many entries were read as the listing has by its own total."""
        return self._total == self.read

    def end(self, why: str = "") -> ListingEnd:
        """The end of the listing.

        Args:
            why: why pages are missing; without it, the total decides.
        """
        # A total below the number of entries is out of date, or counts something else.
        if not why and self._total is not None and self.read < self._total:
            why = f"it ended after {self.read} of {self._total} entries"
        return ListingEnd(self.skipped, why)

    def beyond(self, status: int) -> ListingEnd:
        """The end of the listing at a page number for which the response has a status of `BEYOND`."""
        if status in _NO_SUCH_PAGE or self.short:
            return self.end()
        return self.end(f"after {self.read} entries the next page was rejected with HTTP status {status}")


@dataclass(frozen=True, slots=True)
class NumberedPage:
    """One page.

    Args:
        rows: the number of its entries, also of those without a job.
        found: the jobs of its entries, by id; ``None`` for a job that is left out.
        total: the entries of all pages, if the response has that number.
        skipped: the number of entries without a valid id.
    """

    rows: int
    found: Mapping[str, Found | None]
    total: int | None
    skipped: int = 0


def paged(
    make: Callable[[int, int], Request],
    read: Callable[[Response], NumberedPage],
    *,
    first: Response | None = None,
) -> Listing:
    """Requests page after page and yields each job once.

    A page may repeat jobs of the one before: a job that is created between two requests moves the others.
    The listing ends at its own total, or at an empty page. A page with fewer than `PAGE_SIZE` entries is
    not the last one: the system may limit its pages to fewer.

    Args:
        make: makes the request for a page, from its number and the number of entries before it.
        read: reads a page of at most `PAGE_SIZE` entries.
        first: the response with the first page, if there is one already.

    Raises:
        Failure: a page is not understood, the second one repeats the first although more should follow, or
            there are more than `MAX_PAGES`.
    """
    tally = Tally(PAGE_SIZE)
    seen: set[str] = set()
    pages: set[object] = set()
    for number in range(MAX_PAGES):
        if number or first is None:
            request = make(number, tally.read)
            if number:
                request = replace(request, expect=request.expect | BEYOND)
            response = yield from received(request)
            if number and response.status in BEYOND:
                return tally.beyond(response.status)
        else:
            response = first
        page = read(response)
        content = tuple(page.found) or response.body
        if page.rows and content in pages:
            if tally.short:
                return tally.end()  # some systems show the last page for every number after it
            if number > 1:
                return tally.end(REPEATED)
            raise invalid(response, "the second page of the listing repeats the first")
        pages.add(content)
        tally.add(page.rows, page.total)
        yield from (each for job_id, each in page.found.items() if each is not None and job_id not in seen)
        seen.update(page.found)
        tally.skipped.update({NO_ID: page.skipped})
        if tally.complete or not page.rows:
            return tally.end()
    raise Failure(Reason.TOO_LARGE, f"the listing has more than {MAX_PAGES} pages")


def next_query(address: object, response: Response) -> str:
    """The query of the next page's address, encoded.

    Only the query is used. Host and path may be those behind a gateway, and a response must not send
    credentials elsewhere.

    Args:
        address: as the response has it, absolute or relative.

    Raises:
        Failure: ``invalid_response``, it is not an address, or it has no query.
    """
    query = _link(address, response).query
    if not query:
        raise invalid(response, "the address of the next page is not one of the listing")
    return quote(query, safe=_QUERY, errors="replace")


def next_path(address: object, request: Request, response: Response, listing: str) -> str:
    """The path and query of the next page, to be appended to ``base_url``.

    Nothing is sent to the host of the address, as in `next_query`. Its path is used if it continues the
    path of the listing (``/runs`` and ``/runs/page/2``), or if it is another one below ``base_url`` and the
    query has nothing new. Any other path is one behind a gateway, or another name of the listing, whose own
    path is then used with the query.

    Args:
        address: as the response has it, absolute or relative.
        request: the one with this response.
        listing: the path of the first request.

    Raises:
        Failure: as in `next_query`, unless the path is used.
    """
    link, requested = _link(address, response), urlsplit(response.url)
    base = requested.path.removesuffix(request.path.partition("?")[0])
    is_below = link.hostname == requested.hostname and link.path.startswith(f"{base}/")
    path = quote(link.path.removeprefix(base) if is_below else link.path, safe=_PATH, errors="replace")
    if path in ("/", listing) or request.method != "GET" or has_dot_segments(path):
        # A POST is sent to the configured path only: at another one it may change something.
        is_used = False
    elif path.startswith(f"{listing.rstrip('/')}/") and (is_below or listing != "/"):
        is_used = True
    else:
        # Without a slash it is not a path, but the number of a page, for example.
        is_used = is_below and "/" in str(address) and not _has_more(link.query, requested.query)
    if not is_used:
        return f"{listing}?{next_query(address, response)}"
    query = quote(link.query, safe=_QUERY, errors="replace")
    return f"{path}?{query}" if query else path


def _link(address: object, response: Response) -> SplitResult:
    if isinstance(address, str) and len(address) <= MAX_ADDRESS:
        with suppress(ValueError):
            link = urlsplit(urljoin(response.url, address))
            if link.hostname is not None:
                return link
    raise invalid(response, "the address of the next page is not valid")


def _has_more(query: str, requested: str) -> bool:
    """Whether a query has a parameter or a value that the requested one does not have."""
    return not set(parse_qsl(query, keep_blank_values=True)) <= set(
        parse_qsl(requested, keep_blank_values=True)
    )
