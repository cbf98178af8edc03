"""CrafterCMS Studio: the publishing of one site, ``slot`` by nature, in the dialects of 3.0 to 4.x.

Sources: the "Publish Status" pages of the documentation (version 1, and version 2 since 3.1.14), "Get
Sites per User", the API description of ``users/me/sites`` and the code of the open source server.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from exporter.config_types import Keys, KeyValue, Place, PositiveDuration, check_key
from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import Job, Kind, State, Status
from exporter.providers.base import DiscoverKeys, Found, Listing, Provider, Steps, answered, path
from exporter.providers.crafter.words import STATES, is_of_package, publishing
from exporter.providers.paging import PAGE_SIZE, Page, paged
from exporter.providers.values import count, mapping, number, text

_V1 = ("api", "1", "services", "api", "1")

_CODE_REASONS = {
    1000: Reason.SERVER_ERROR,
    1001: Reason.CLIENT_ERROR,
    2000: Reason.UNAUTHORIZED,
    2001: Reason.FORBIDDEN,
    5000: Reason.NOT_FOUND,
    5002: Reason.CLIENT_ERROR,
    5003: Reason.SERVER_ERROR,
    8000: Reason.CLIENT_ERROR,
}

# An answer of version 2 with one of these says nothing of which versions the server speaks.
_NO_ANSWER = frozenset(
    {
        Reason.TIMEOUT,
        Reason.DNS,
        Reason.CONNECT,
        Reason.TLS,
        Reason.RATE_LIMITED,
        Reason.AUTH,
        Reason.DEADLINE,
        Reason.INTERNAL,
    }
)

# 3.0 to 3.1.10 tell no state of a site; the last 3.1 say CREATED where later ones say READY.
_THERE = frozenset({"", "READY", "CREATED"})


class CrafterOptions(Keys):
    """Which version of the status call the server speaks: up to 3.1.13 v1, later v2."""

    api: Literal["v1", "v2", "auto"] = Field(
        "auto", description="version of the status request: v1 up to 3.1.13, v2 later; auto detects it"
    )


class CrafterJob(Keys):
    """One site."""

    site_id: KeyValue = Field(description="id of the site, as in its Studio address")


def _sites_wanted(value: bool) -> bool:  # noqa: FBT001  # a validator
    if not value:
        raise ValueError("must be true; without discover no site is looked for")
    return value


class CrafterDiscover(DiscoverKeys):
    """The sites that the user of the credentials may see."""

    if not TYPE_CHECKING:
        newer_than: ClassVar[None] = None  # no key here: sites do not end

    sites: Annotated[bool, AfterValidator(_sites_wanted)] = Field(
        description="true: watch every site that these credentials can see"
    )
    username: KeyValue | None = Field(
        None, description="login name of the user; only servers up to 3.1.11 need it"
    )
    interval: PositiveDuration = Field(
        "1m", validate_default=True, description="interval of a listing without states"
    )


class Crafter(Provider):
    """Reads ``publish/status`` of version 1 or 2; ``base_url`` ends in ``/studio``.

    Lists ``site/get-per-user`` (version 1, with statuses) or ``users/me/sites`` (version 2, without).
    """

    name: ClassVar[str] = "crafter"
    Options: ClassVar[type[Keys]] = CrafterOptions
    JobKeys: ClassVar[type[Keys]] = CrafterJob
    Discover: ClassVar[type[DiscoverKeys] | None] = CrafterDiscover
    states: ClassVar[Mapping[str, State]] = STATES

    def __init__(self, options: CrafterOptions) -> None:
        super().__init__(options)
        # The one fact learnt, for all sites of the system. A restart learns it again.
        self._speaks_v2 = False

    @classmethod
    def identify(cls, keys: Mapping[str, str]) -> tuple[str, Kind]:
        """A slot: a site is published again and again."""
        return keys["site_id"], Kind.SLOT

    @classmethod
    def warnings(cls, system: Any) -> Iterator[tuple[Place, str]]:
        """The vendor's documentation of every version has Studio at ``/studio``."""
        if not urlsplit(system.base_url).path.endswith("/studio"):
            yield ("base_url",), "does not end in /studio, where Studio answers; write https://HOST/studio"

    def read(self, job: Job, previous: Status | None) -> Steps:
        """One request; two with ``api: auto`` until the version is known."""
        site = job.keys["site_id"]
        match self.options.api:
            case "v1":
                return _status_v1((yield Request(_path_v1(site))), previous)
            case "v2":
                return _status_v2((yield Request(_path_v2(site))), previous)
        return (yield from self._read_auto(site, previous))

    def _read_auto(self, site: str, previous: Status | None) -> Steps:
        if self._speaks_v2:
            answer = yield Request(_path_v2(site), expect=frozenset({404}))
            if answer.status == 404:
                # Version 2 names a missing site in its own words; any other 404 is of a server
                # that no longer knows version 2, and the next read starts afresh.
                self._speaks_v2 = _is_v2(answer)
                raise Failure(Reason.NOT_FOUND, status=404)
            return _status_v2(answer, previous)
        answer = yield Request(_path_v1(site), expect=frozenset({301, 404}))
        if answer.status not in (301, 404):
            return _status_v1(answer, previous)
        status = yield from _try_v2(site, answer.status, previous)
        self._speaks_v2 = True
        return status

    def discover(self, keys: CrafterDiscover, now: float) -> Listing:
        """One request for each 100 sites, one more until the version is known; version 1 also has states."""
        del now
        ask_v1 = partial(_ask_sites_v1, keys.username)
        if self.options.api == "v2" or self._speaks_v2:
            return (yield from paged(_ask_sites_v2, _page))
        if self.options.api == "v1":
            return (yield from paged(ask_v1, _page))
        ask = ask_v1(0, 0)
        first = yield from answered(replace(ask, expect=ask.expect | {301, 404}))
        if first.status in (301, 404):
            # Nothing is learnt: 3.1 lists sites by version 2 long before it tells statuses by it.
            return (yield from _try_sites_v2(first.status))
        if not any("publishingStatus" in site for site in _sites(first)[0]):
            return (yield from paged(ask_v1, _page, first=first))
        # That field came with version 2 of the status, whose answers tell more.
        self._speaks_v2 = True
        return (yield from paged(_ask_sites_v2, _page))


def _path_v1(site: str) -> str:
    return path(*_V1, "publish", "status.json", site_id=site)


def _path_v2(site: str) -> str:
    return path("api", "2", "publish", "status", siteId=site)


def _try_v2(site: str, v1_status: int, previous: Status | None) -> Steps:
    """Asks version 2 after version 1 answered 301 (it moved) or 404 (no such site, or removed)."""
    try:
        return _status_v2((yield Request(_path_v2(site))), previous)
    except Failure as failure:
        if v1_status == 301 or failure.reason in _NO_ANSWER:
            raise
    # An old server answers version 2 in any way it likes; what version 1 said stands.
    raise Failure(Reason.NOT_FOUND, "neither version 1 nor 2 knows the site", status=404)


def _is_v2(answer: Response) -> bool:
    try:
        return isinstance(answer.object().get("response"), dict)
    except Failure:
        return False


def _status_v1(answer: Response, previous: Status | None) -> Status:
    body = answer.object()
    if "status" not in body:
        raise Failure(Reason.INVALID_RESPONSE, "the answer holds no status", status=answer.status)
    return publishing(body, previous)


def _worked(answer: Response) -> Mapping[str, Any]:
    """The body of a version 2 answer, whose ``response.code`` may tell of a failure under HTTP 200."""
    body = answer.object()
    code = number(mapping(body.get("response")).get("code"))
    if code:
        reason = _CODE_REASONS.get(int(code))
        told = f"response.code is {code:.0f}" if reason else "response.code is one nobody knows"
        raise Failure(reason or Reason.INVALID_RESPONSE, told, status=answer.status)
    return body


def _status_v2(answer: Response, previous: Status | None) -> Status:
    body = _worked(answer)
    told = body.get("publishingStatus")
    if not isinstance(told, dict) or not told.keys() & {"status", "enabled"}:
        raise Failure(Reason.INVALID_RESPONSE, "the answer holds no publishingStatus", status=answer.status)
    return publishing(told, previous)


def _ask_sites_v1(username: str | None, _number: int, before: int) -> Request:
    query = {"start": str(before), "number": str(PAGE_SIZE)}
    if username is not None:
        query["username"] = username
    refused = frozenset({400} if username is None else ())
    return Request(path(*_V1, "site", "get-per-user.json", **query), expect=refused)


def _ask_sites_v2(_number: int, before: int) -> Request:
    return Request(path("api", "2", "users", "me", "sites", offset=str(before), limit=str(PAGE_SIZE)))


def _try_sites_v2(v1_status: int) -> Listing:
    """Lists by version 2 after version 1 answered 301 or 404."""
    try:
        yield from paged(_ask_sites_v2, _page)
    except Failure as failure:
        if v1_status == 301 or failure.reason in _NO_ANSWER:
            raise
        raise Failure(Reason.NOT_FOUND, "neither version 1 nor 2 lists sites", status=404) from None


def _sites(answer: Response) -> tuple[list[Mapping[str, Any]], int | None]:
    """The sites of a page, and how many there are on all pages."""
    if answer.status == 400:
        raise Failure(Reason.CLIENT_ERROR, "this server lists by user: set username of discover", status=400)
    body = _worked(answer)
    sites = body.get("sites")
    if not isinstance(sites, list):
        raise Failure(Reason.INVALID_RESPONSE, "the answer holds no list of sites", status=answer.status)
    return [mapping(site) for site in sites], count(body.get("total"))


def _page(answer: Response) -> Page:
    """Reads a page of sites of either version; only those of version 1 tell how they stand."""
    sites, total = _sites(answer)
    found: dict[str, Found | None] = {}
    for site in sites:
        keys, status = {"site_id": _site_id(site)}, _listed(site)
        each = Found(keys, status, complete=status is not None, name=text(site.get("name")))
        found[keys["site_id"]] = each if text(site.get("state")) in _THERE else None
    found.pop("", None)
    return Page(len(sites), found, total)


def _site_id(site: Mapping[str, Any]) -> str:
    """The id; empty where it could be no key of a job."""
    value = site.get("siteId", site.get("site_id"))
    try:
        return check_key(value.encode().decode()) if isinstance(value, str) else ""
    except ValueError:  # of the encoding too: JSON can hold half a character
        return ""


def _listed(site: Mapping[str, Any]) -> Status | None:
    """How a site stands as version 1 lists it: ``status|message``, from 3.1.14 on in two fields."""
    word, message = text(site.get("publishingStatus")), site.get("publishingStatusMessage")
    message = message.strip() if isinstance(message, str) else ""
    if not word and not message:
        return None
    if not word and "|" in message:
        word, _, message = message.partition("|")
    enabled = site.get("publishingEnabled")
    told = {"status": word, "message": message, "enabled": bool(enabled) if enabled in (0, 1) else None}
    status = publishing(told, None)
    # Item by item the message is written anew; without what was listed before, its time is no start.
    return status if is_of_package(message) else replace(status, started_at=None)
