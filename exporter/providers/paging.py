"""Listings of several pages: numbered pages, and the address of the next page in a response."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.providers.base import Found, Listing, invalid, received

PAGE_SIZE = 100
MAX_PAGES = 500
MAX_ADDRESS = 8192
# RFC 3986 section 3.4, and % of what is encoded already.
_QUERY = "%:/?@!$&'()*+,;=-._~"


@dataclass(frozen=True, slots=True)
class NumberedPage:
    """One page.

    Args:
        rows: the number of its entries, also of those without a job.
        found: the jobs of its entries, by id; ``None`` for a job that is left out.
        total: the entries of all pages, if the response has that number.
    """

    rows: int
    found: Mapping[str, Found | None]
    total: int | None


def paged(
    make: Callable[[int, int], Request],
    read: Callable[[Response], NumberedPage],
    *,
    first: Response | None = None,
) -> Listing:
    """Requests page after page and yields each job once.

    A page may repeat jobs of the one before: a job that is created between two requests moves the others.

    Args:
        make: makes the request for a page, from its number and the number of entries before it.
        read: reads a page of at most `PAGE_SIZE` entries.
        first: the response with the first page, if there is one already.

    Raises:
        Failure: a page is not understood, has no new job although more should follow, or is
            one of more than `MAX_PAGES`.
    """
    seen: set[str] = set()
    before = 0
    for number in range(MAX_PAGES):
        response = (yield from received(make(number, before))) if number or first is None else first
        page = read(response)
        new = [each for job_id, each in page.found.items() if job_id not in seen]
        yield from (each for each in new if each is not None)
        seen.update(page.found)
        before += page.rows
        if _is_last(page, before):
            return
        if not new:
            raise invalid(response, "a page of the listing has no new job")
    raise Failure(Reason.TOO_LARGE, f"the listing has more than {MAX_PAGES} pages")


def _is_last(page: NumberedPage, read: int) -> bool:
    # A total below the number of entries is out of date, or counts something else.
    if page.total is None or page.total < read:
        return page.rows < PAGE_SIZE
    return not page.rows or page.total == read


def next_query(address: object, response: Response) -> str:
    """The query of the next page's address, encoded.

    Only the query is used, so that a response cannot send credentials elsewhere.

    Args:
        address: as the response has it, absolute or relative.

    Raises:
        Failure: ``invalid_response``, it is no address or not one of the same listing.
    """
    if not isinstance(address, str) or len(address) > MAX_ADDRESS:
        raise invalid(response, "the address of the next page is not valid")
    try:
        requested, link = urlsplit(response.url), urlsplit(urljoin(response.url, address))
        host = link.hostname
    except ValueError:
        raise invalid(response, "the address of the next page is not valid") from None
    if host != requested.hostname:
        raise invalid(response, "the address of the next page leads to another host")
    if link.path != requested.path or not link.query:
        raise invalid(response, "the address of the next page is not one of the listing")
    return quote(link.query, safe=_QUERY, errors="replace")
