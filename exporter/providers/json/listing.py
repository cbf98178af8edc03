"""How a listing of the provider ``json`` goes on: by number, by a token, or by the next page's address."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from requests.utils import parse_header_links

from exporter.model.failure import Failure, Reason
from exporter.model.http import Response
from exporter.providers.json.keys import Expression, Paging

MAX_TOKEN = 8192
MAX_NUMBER = 10**20
# RFC 3986 section 3.4, and what is encoded already.
_QUERY = "%:/?@!$&'()*+,;=-._~"


@dataclass(frozen=True, slots=True)
class Turn:
    """What the request of a page has of its own.

    Args:
        query: parameters besides those of the config.
        body: the same, for the body.
        address: instead of the whole query, where an answer gave the next page's address; encoded.
    """

    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, str] = field(default_factory=dict)
    address: str = ""


class Pages:
    """The way through one listing."""

    def __init__(self, paging: Paging | None) -> None:
        self._paging = paging
        self._read = 0

    def first(self) -> Turn:
        """The turn of the first page."""
        if self._paging is None or self._paging.page is None:
            return Turn()
        return _turn(self._paging, self._paging.page, str(self._paging.first))

    def after(self, answer: Response, body: Any, entries: int, *, in_circles: bool) -> Turn | None:
        """The turn of the next page; ``None`` after the last.

        Args:
            body: what `answer` holds.
            entries: how many entries the page had.
            in_circles: whether all the jobs on it were on pages before.

        Raises:
            Failure: ``invalid_response``, the listing never ends or leads away.
        """
        paging = self._paging
        self._read += 1
        if paging is None or self._read == paging.max_pages:
            return None
        if paging.page is not None:
            if entries < (paging.size or 1):
                return None
            if in_circles:
                raise _invalid("paging: a page names nothing new", answer)
            return _turn(paging, paging.page, str(paging.first + paging.step * self._read))
        told = _told(paging, answer, body)
        if not told:
            return None
        if paging.token is None:
            return Turn(address=_query(told, answer))
        return _turn(paging, paging.token, told)


def _turn(paging: Paging, name: str, value: str) -> Turn:
    return Turn(body={name: value}) if paging.into == "body" else Turn(query={name: value})


def _told(paging: Paging, answer: Response, body: Any) -> str:
    """What the answer tells of the next page, or nothing."""
    value: Any = None
    if paging.header is not None:
        value = answer.headers.get(paging.header.lower())
        if value is not None and paging.header.lower() == "link":
            value = _link(value)
    elif paging.next is not None:
        value = look("paging.next", paging.next, body)
    if value is None or value is False:
        return ""
    if isinstance(value, int) and 0 <= value < MAX_NUMBER and value is not True:
        value = str(value)
    # A lone surrogate, which JSON can hold, fits no address.
    if not isinstance(value, str) or len(value) > MAX_TOKEN or not value.isprintable():
        raise _invalid("paging: what is found for the next page is no text", answer)
    return value


def _link(header: str) -> str:
    """The address whose ``rel`` is ``next`` (RFC 8288 section 3)."""
    links = parse_header_links(header)
    return next((link["url"] for link in links if "next" in link.get("rel", "").lower().split()), "")


def _query(address: str, answer: Response) -> str:
    """The query of an address, all that is ever used of it: nothing else can be reached by it."""
    try:
        asked = urlsplit(answer.url)
        link = urlsplit(urljoin(answer.url, address))
        host = link.hostname
    except ValueError:
        raise _invalid("paging: the address of the next page is none", answer) from None
    if host != asked.hostname or link.path != asked.path:
        raise _invalid("paging: the address of the next page leads away from the listing", answer)
    return quote(link.query, safe=_QUERY, errors="replace")


def look(name: str, expression: Expression, value: Any) -> Any:
    """What an expression finds in a value; ``None`` is nothing.

    Args:
        name: of the config's key, for the detail of a failure.

    Raises:
        Failure: ``invalid_response``, it cannot work with what is there.
    """
    try:
        return expression.find(value)
    except ValueError as error:
        raise Failure(Reason.INVALID_RESPONSE, f"{name}: its expression {error}") from None


def _invalid(detail: str, answer: Response) -> Failure:
    return Failure(Reason.INVALID_RESPONSE, detail, status=answer.status)
