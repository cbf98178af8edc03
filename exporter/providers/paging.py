"""Listings of numbered pages: they end when all is told, and as a failure where they never would."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.providers.base import Found, Listing, answered

PAGE_SIZE = 100
MAX_PAGES = 500


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Args:
        rows: how many entries it has, also those that name no job.
        found: the jobs that its entries name, by id; ``None`` for one that does not count.
        total: entries of all pages together, where the answer tells.
    """

    rows: int
    found: Mapping[str, Found | None]
    total: int | None


def paged(
    ask: Callable[[int, int], Request], read: Callable[[Response], Page], *, first: Response | None = None
) -> Listing:
    """Asks page after page and yields each job once.

    A page may name jobs of the one before: who makes a job while pages are turned shifts the rest.

    Args:
        ask: makes the request for a page, from its number and the number of entries before it.
        read: reads a page of at most `PAGE_SIZE` entries.
        first: the answer to the first page, where it was asked already.

    Raises:
        Failure: a page was not understood, names nothing new although there should be more, or is
            one of more than `MAX_PAGES`.
    """
    seen: set[str] = set()
    before = 0
    for number in range(MAX_PAGES):
        answer = (yield from answered(ask(number, before))) if number or first is None else first
        page = read(answer)
        new = [each for job_id, each in page.found.items() if job_id not in seen]
        yield from (each for each in new if each is not None)
        seen.update(page.found)
        before += page.rows
        if _is_last(page, before):
            return
        if not new:
            told = "a page of the listing names nothing new"
            raise Failure(Reason.INVALID_RESPONSE, told, status=answer.status)
    raise Failure(Reason.TOO_LARGE, f"the listing has more than {MAX_PAGES} pages")


def _is_last(page: Page, told: int) -> bool:
    # A total below what was told is of another moment, or of something else.
    if page.total is None or page.total < told:
        return page.rows < PAGE_SIZE
    return not page.rows or page.total == told
