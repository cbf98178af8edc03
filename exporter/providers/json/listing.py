"""The pages of a listing of the provider ``json``: by number, by a token, or by the next page's address."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from requests.utils import parse_header_links

from exporter.config_types import Expression
from exporter.model.failure import Failure, Reason
from exporter.model.http import Response
from exporter.providers.base import invalid
from exporter.providers.json.keys import Paging
from exporter.providers.paging import next_query

MAX_TOKEN = 8192
MAX_NUMBER = 10**20


@dataclass(frozen=True, slots=True)
class Turn:
    """What the request of one page adds to the configuration.

    Args:
        query: parameters in addition to those of the configuration.
        body: the same, for the body.
        address: replaces the whole query, if a response has the next page's address; encoded.
    """

    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, str] = field(default_factory=dict)
    address: str = ""


class Pages:
    """Finds the next page of one listing after each page."""

    def __init__(self, paging: Paging | None) -> None:
        self._paging = paging
        self._read = 0

    def first(self) -> Turn:
        """The turn of the first page."""
        if self._paging is None or self._paging.page is None:
            return Turn()
        return _turn(self._paging, self._paging.page, str(self._paging.first))

    def after(self, response: Response, body: Any, entries: int, *, in_circles: bool) -> Turn | None:
        """The turn of the next page; ``None`` after the last.

        Args:
            body: the JSON of `response`.
            entries: the number of entries of the page.
            in_circles: whether all its jobs were on earlier pages.

        Raises:
            Failure: ``invalid_response``, the listing never ends or leads to another place.
        """
        paging = self._paging
        self._read += 1
        if paging is None or self._read == paging.max_pages:
            return None
        if paging.page is not None:
            if entries < (paging.size or 1):
                return None
            if in_circles:
                raise invalid(response, "paging: a page has no new job")
            return _turn(paging, paging.page, str(paging.first + paging.step * self._read))
        value = _next_value(paging, response, body)
        if not value:
            return None
        if paging.token is None:
            return Turn(address=next_query(value, response))
        return _turn(paging, paging.token, value)


def _turn(paging: Paging, name: str, value: str) -> Turn:
    return Turn(body={name: value}) if paging.into == "body" else Turn(query={name: value})


def _next_value(paging: Paging, response: Response, body: Any) -> str:
    """The token or address of the next page in a response; empty after the last page."""
    value: Any = None
    if paging.header is not None:
        value = response.headers.get(paging.header.lower())
        if value is not None and paging.header.lower() == "link":
            value = _link(value)
    elif paging.next is not None:
        value = look("paging.next", paging.next, body)
    if value is None or value is False:
        return ""
    if isinstance(value, int) and 0 <= value < MAX_NUMBER and value is not True:
        value = str(value)
    # JSON can contain half a surrogate pair, which cannot be encoded.
    if not isinstance(value, str) or len(value) > MAX_TOKEN or not value.isprintable():
        raise invalid(response, "paging: the value for the next page is not text")
    return value


def _link(header: str) -> str:
    """The address whose ``rel`` is ``next`` (RFC 8288 section 3)."""
    links = parse_header_links(header)
    return next((link["url"] for link in links if "next" in link.get("rel", "").lower().split()), "")


def look(name: str, expression: Expression, value: Any) -> Any:
    """The result of an expression for a value; ``None`` if it finds nothing.

    Args:
        name: the configuration's key, for the detail of a failure.

    Raises:
        Failure: ``invalid_response``, it cannot be evaluated for this value.
    """
    try:
        return expression.find(value)
    except ValueError as error:
        raise Failure(Reason.INVALID_RESPONSE, f"{name}: its expression {error}") from None
