"""The pages of a listing of the provider ``json``: by number, by a token, or by the next page's address."""

import re
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any

from exporter.config_types import Expression
from exporter.expressions.budget import ENTRY_STEPS, Budget, Exhausted, Misfit
from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.providers.base import Found, ListingEnd, invalid, received
from exporter.providers.json.discover_keys import ListKeys, Paging
from exporter.providers.json.keys import RequestKeys
from exporter.providers.json.templates import Turn, Values, request_of
from exporter.providers.paging import BEYOND, REPEATED, STALLED, Tally, check_number, next_path
from exporter.providers.values import count, key, mapping

MAX_TOKEN = 8192
MAX_LINK = 16_384
"""Characters of a header ``Link``: two addresses of the length of `MAX_TOKEN`, found in 6 ms at most."""
MAX_INT = 10**20

# RFC 8288 section 3: an address, and its parameters up to the next address.
_LINK = re.compile(r'<([^<>]*)>((?:[^"<]|"(?:[^"\\]|\\.){0,250}")*)')
_PARAMETER = re.compile(r';\s*([^\s=;,"]+)\s*=\s*(?:"((?:[^"\\]|\\.){0,250})"|([^\s;,"]+))')
_NAMES = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_TOTALS = (
    *("count", "total", "total_count", "total_entries", "total_items", "total_records", "total_results"),
    *("totalCount", "totalElements", "totalEntries", "totalItems", "totalRecords", "totalResults"),
)


def listed(
    place: str, keys: ListKeys, values: Values, find: Callable[[Any], Iterable[Found]], budget: Budget
) -> Generator[Request | Found, Response | None, ListingEnd]:
    """Requests page after page, and yields what ``find`` finds in each entry.

    Args:
        place: of the keys in the configuration.
        find: fails for an entry that is to be skipped, with ``too_large`` for the listing.
        budget: of the whole listing. Each entry adds to it.
    """
    pages = Pages(place, keys, budget)
    turn: Turn | None = pages.first()
    while turn is not None:
        request = request_of(keys, values, turn)
        response = yield from received(request)
        if response.status in turn.expect:
            return pages.end(response.status)
        body = body_of(f"{place}.error", keys, response, budget)
        entries = look(f"{place}.items", keys.items, body, budget)
        if not isinstance(entries, list):
            raise invalid(response, f"{place}.items: the value is not a list")
        check_number(entries, keys.paging.size if keys.paging is not None else None)
        for entry in entries if pages.add(body, entries) else ():
            budget.steps += ENTRY_STEPS
            try:
                found = tuple(find(entry))
            except Failure as failure:
                if failure.reason is Reason.TOO_LARGE:
                    raise
                pages.tally.skipped[failure.detail] += 1
            else:
                yield from found
        turn = pages.after(request, response, body)
    return pages.end()


class Pages:
    """The pages of one listing: counts their entries, and finds the next page after each.

    Attributes:
        tally: counts the entries.
    """

    def __init__(self, place: str, keys: ListKeys, budget: Budget) -> None:
        from exporter.expressions.tree import whole_list  # noqa: PLC0415  # as in config_types

        self._place, self._budget = place, budget
        self.tally = Tally(keys.paging.size if keys.paging is not None else None)
        self._items, self._paging = keys.items, keys.paging
        self._whole = whole_list(keys.items.source)
        self._number = keys.paging.first if keys.paging is not None else 0
        self._pages = self._rows = 0
        self._is_new = True
        self._listing = ""
        self._requested: set[str | int] = set()
        self._is_limited = False
        self._why = ""

    def first(self) -> Turn:
        """The turn of the first page."""
        paging = self._paging
        return Turn() if paging is None or paging.page is None else self._turn(paging, paging.page)

    def add(self, body: Any, entries: list[Any]) -> bool:
        """Counts a page.

        Args:
            body: the JSON of its response.

        Returns:
            Whether it is another page than the one before.
        """
        rows = self._page(body, entries)
        self._pages, self._rows = self._pages + 1, len(rows)
        self._is_new = self.tally.add_new(rows, self._total(body))
        return self._is_new

    def after(self, request: Request, response: Response, body: Any) -> Turn | None:
        """The turn of the page after the one that was added last; ``None`` after the last.

        Raises:
            Failure: ``invalid_response``, the listing never ends or leads to another place.
        """
        paging = self._paging
        if paging is None:
            return None
        if self._pages == paging.max_pages:
            self._is_limited = True
            return None
        if paging.page is not None:
            return self._numbered(paging, paging.page, response)
        return self._linked(paging, request, response, body)

    def end(self, status: int | None = None) -> ListingEnd:
        """The end of the listing.

        Args:
            status: of the response to the last page, if it is one of its ``expect``.
        """
        if self._is_limited:
            return ListingEnd(self.tally.skipped)
        return self.tally.end(self._why) if status is None else self.tally.beyond(status)

    def _page(self, body: Any, entries: list[Any]) -> list[Any]:
        """The entries of a page, also those that ``items`` leaves out: they count for its number and end."""
        try:
            rows = self._whole(body, self._budget)
        except Exhausted as error:
            raise rejected(f"{self._place}.items", error) from None
        except Misfit:
            return entries
        return rows if isinstance(rows, list) else entries

    def _turn(self, paging: Paging, name: str, value: str | int | None = None) -> Turn:
        value = self._number if value is None else value
        expect = BEYOND if paging.page is not None and self._pages else frozenset[int]()
        if paging.into == "body":
            return Turn(body={name: value}, expect=expect)
        if paging.into == "path":
            return Turn(keys={name: value}, expect=expect)
        return Turn(query={name: value}, expect=expect)

    def _numbered(self, paging: Paging, name: str, response: Response) -> Turn | None:
        if not self._is_new:
            # Some systems show the last page for every number after it.
            if self.tally.short or self.tally.complete:
                return None
            if self._pages > 2:
                self._why = REPEATED
                return None
            raise invalid(response, "paging: the second page repeats the first")
        if not self._rows or (paging.total is not None and self.tally.complete):
            return None
        # The step is 1 for a number of pages; for an offset, the system may limit its pages to fewer entries.
        self._number += min(paging.step, self._rows)
        return self._turn(paging, name)

    def _linked(self, paging: Paging, request: Request, response: Response, body: Any) -> Turn | None:
        value = self._next_value(paging, response, body)
        if value == "":
            return None
        if paging.token is None:
            self._listing = self._listing or request.path.partition("?")[0]
            self._requested.add(request.path)
            value = next_path(str(value), request, response, self._listing)
        if value in self._requested or not self._is_new:
            if not self._rows or self.tally.complete:
                return None
            raise invalid(response, "paging: the next page was read already")
        self._requested.add(value)
        if self.tally.stalled:
            self._why = STALLED
            return None
        return Turn(path=str(value)) if paging.token is None else self._turn(paging, paging.token, value)

    def _next_value(self, paging: Paging, response: Response, body: Any) -> str | int:
        """The token or address of the next page in a response; an empty text after the last page."""
        value: Any = None
        if paging.header is not None:
            value = response.headers.get(paging.header.lower())
            if value is not None and paging.header.lower() == "link":
                if len(value) > MAX_LINK:
                    raise invalid(response, "paging: the header Link is too long")
                value = _link(value)
        elif paging.next is not None:
            value = look(f"{self._place}.paging.next", paging.next, body, self._budget)
        if value is None or value is False:
            return ""
        if isinstance(value, int) and 0 <= value < MAX_INT and value is not True:
            return value
        # JSON can contain half a surrogate pair, which cannot be encoded.
        if not isinstance(value, str) or len(value) > MAX_TOKEN or not value.isprintable():
            raise invalid(response, "paging: the value for the next page is not text, or too long")
        return value

    def _total(self, body: Any) -> int | None:
        """The number of entries of all pages: as configured, else under a usual name beside the list."""
        if self._paging is not None and self._paging.total is not None:
            try:
                return count(self._paging.total.find(body, self._budget))
            except Exhausted as error:
                raise rejected(f"{self._place}.paging.total", error) from None
            except Misfit:
                return None
        if not _NAMES.fullmatch(self._items.source):
            return None
        for name in self._items.source.split(".")[:-1]:
            body = mapping(body).get(name)
        totals = [count(mapping(body).get(name)) for name in _TOTALS]
        return max((total for total in totals if total is not None), default=None)


def _link(header: str) -> str:
    """The first address whose ``rel`` is ``next`` (RFC 8288 section 3)."""
    for address, parameters in _LINK.findall(header):
        for name, quoted, plain in _PARAMETER.findall(parameters):
            if name.lower() == "rel":
                if "next" in (quoted or plain).lower().split():
                    return str(address).strip()
                break  # a further ``rel`` does not count
    return ""


def look(name: str, expression: Expression, value: Any, budget: Budget) -> Any:
    """The result of an expression for a value; ``None`` if it finds nothing.

    Args:
        name: the configuration's key, for the detail of a failure.

    Raises:
        Failure: see `rejected`.
    """
    try:
        return expression.find(value, budget)
    except Misfit as error:
        raise rejected(name, error) from None


def rejected(name: str, error: Misfit) -> Failure:
    """The failure of an expression that cannot be evaluated for a value, to be raised.

    The reason is ``invalid_response``, or ``too_large`` if the limit of the whole read or listing is reached.
    """
    is_end = isinstance(error, Exhausted) and error.of_read
    reason = Reason.TOO_LARGE if is_end else Reason.INVALID_RESPONSE
    return Failure(reason, f"{name}: its expression {error}")


def keys_of(place: str, keys: Mapping[str, Expression], entry: Any, budget: Budget) -> dict[str, str]:
    """The keys in an entry.

    Raises:
        Failure: one of them is not valid as a key of a job; its detail is the same for all entries.
    """
    own = {}
    for name, expression in keys.items():
        value = look(f"{place}.{name}", expression, entry, budget)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_INT:
            value = str(value)
        checked = key(value)
        if checked is None:
            why = "nothing" if value is None else "a value that is not valid as a key"
            raise Failure(Reason.INVALID_RESPONSE, f"{place}.{name}: the expression found {why}")
        own[name] = checked
    return own


def body_of(name: str, request: RequestKeys, response: Response, budget: Budget) -> Any:
    """The JSON of a response.

    Raises:
        Failure: ``invalid_response``, it is not JSON, or the expression ``error`` finds something.
    """
    body = response.json()
    if request.error is not None and look(name, request.error, body, budget):
        raise invalid(response, f"{name}: the expression found something")
    return body
