"""CrafterCMS Studio: the publishing of one site, ``slot`` by nature, from 3.0 on.

Sources: the "Publish Status" pages of the documentation (version 1, and version 2 since 3.1.14), "Get
Sites per User", the API description of ``users/me/sites`` and the code of the open source server.
"""

import logging
from collections.abc import Generator, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

from msgspec.structs import replace
from pydantic import AfterValidator, Field

from exporter.config_types import Keys, KeyValue, Place, PositiveDuration
from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import Job, Kind, State, Status
from exporter.providers.base import (
    NOT_OF_PATH,
    DiscoverKeys,
    Found,
    Listing,
    Provider,
    Steps,
    invalid,
    path,
    received,
)
from exporter.providers.crafter.publishing import Cycle, Lost, StateOf, message_of, publishing
from exporter.providers.crafter.words import STATES
from exporter.providers.fields import Fields
from exporter.providers.paging import PAGE_SIZE, NumberedPage, check_number, paged
from exporter.providers.values import count, key, mapping, number, text

_log = logging.getLogger(__name__)

T = TypeVar("T")

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

# States after a cycle of 4.x of which the status does not show how it ended.
_OVER = frozenset({State.IDLE, State.QUEUED, State.STOPPED})
# The same request can succeed in the next read.
_PASSING = frozenset({Reason.TIMEOUT, Reason.DNS, Reason.CONNECT, Reason.SERVER_ERROR, Reason.AUTH})
# All packages of a cycle are completed at the same time, and the list begins with the newest.
_MAX_PACKAGES = 200

# 3.0 to 3.1.10 have no state of a site; the last 3.1 have CREATED where later ones have READY.
_READY = frozenset({"", "READY", "CREATED"})


class CrafterOptions(Keys):
    """Which version of the status call the server has: up to 3.1.13 v1, later v2."""

    api: Literal["v1", "v2", "auto"] = Field(
        "auto", description="version of the status request: v1 up to 3.1.13, v2 later; auto detects it"
    )


class CrafterJob(Keys):
    """One site."""

    site_id: KeyValue = Field(description="id of the site, as in its Studio address")


def _sites_wanted(value: bool) -> bool:  # noqa: FBT001  # a validator
    if not value:
        raise ValueError("must be true; leave out discover to list no sites")
    return value


class CrafterDiscover(DiscoverKeys):
    """The sites that the user of the credentials can see."""

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
        # Found out once for all sites of the system, and again after a restart.
        self._speaks_v2 = False
        self._refused = False
        self._asked_again: set[str] = set()

    @classmethod
    def identify(cls, keys: Mapping[str, str]) -> tuple[str, Kind]:
        """A slot: a site is published again and again."""
        return keys["site_id"], Kind.SLOT

    @classmethod
    def warnings(cls, system: Any) -> Iterator[tuple[Place, str]]:
        """The vendor's documentation of every version has Studio at ``/studio``."""
        if not urlsplit(system.base_url).path.endswith("/studio"):
            yield ("base_url",), "does not end in /studio, the path of Studio; write https://HOST/studio"

    def read(self, job: Job, previous: Status | None) -> Steps:
        """One request; two with ``api: auto`` until the version is known.

        After a cycle of 4.x, up to two more.
        """
        site = job.keys["site_id"]
        status = yield from self._read(site, previous)
        if isinstance(status.memory, Lost) and previous is not None and previous.state is State.RUNNING:
            _log.warning("a publish was lost with its server", extra={"system": job.system, "job_id": job.id})
        cycle = previous.memory if previous is not None else None
        if isinstance(cycle, Cycle) and (status.state in _OVER or status.unseen_end is not None):
            return (yield from self._confirmed(job, status, cycle))
        return status

    def _confirmed(self, job: Job, status: Status, cycle: Cycle) -> Steps:
        """Asks whether a package of a cycle that is over is published.

        Without that, the end is certain only for reads that follow each other soon: where publishing was
        started again after an error, the status is that after a success. A package whose items arrive while
        others are published is published in several cycles, so none of its items must wait any more.

        A read that fails leaves the status of the cycle, so the next read asks again.
        """
        site = job.keys["site_id"]
        try:
            waiting = yield from _packages(site, "READY_FOR_LIVE", "PROCESSING")
            if waiting.all_shown and cycle.package not in waiting.ids:
                completed = yield from _packages(site, "COMPLETED")
                if cycle.package in completed.ids:
                    status = replace(status, unseen_end=State.SUCCEEDED, unseen_within=None)
        except Failure as failure:
            if failure.reason is Reason.RATE_LIMITED:
                raise
            if failure.reason in _PASSING and job.id not in self._asked_again:
                # Once, since the server can have a lasting error for this request alone.
                self._asked_again.add(job.id)
                raise
            if not self._refused:
                fields = {"system": job.system, "job_id": job.id, "reason": failure.reason}
                _log.warning("cannot read which packages are published", extra=fields)
            self._refused = True
        self._asked_again.discard(job.id)
        return status

    def _read(self, site: str, previous: Status | None) -> Steps:
        match self.options.api:
            case "v1":
                return self._status_v1((yield Request(_path_v1(site))), previous)
            case "v2":
                return (yield from self._read_v2(site, previous))
        return (yield from self._read_auto(site, previous))

    def _read_v2(self, site: str, previous: Status | None) -> Steps:
        return self._status_v2((yield Request(_path_v2(site))), previous)

    def _read_auto(self, site: str, previous: Status | None) -> Steps:
        if self._speaks_v2:
            response = yield Request(_path_v2(site), expect=frozenset({404}))
            if response.status == 404:
                # If the response is not of version 2, the server no longer has it (a downgrade), and the
                # next read tries version 1 again.
                self._speaks_v2 = _is_v2(response)
                raise Failure(Reason.NOT_FOUND, status=404)
            return self._status_v2(response, previous)
        response = yield Request(_path_v1(site), expect=frozenset({301, 404}))
        if response.status not in (301, 404):
            return self._status_v1(response, previous)
        status = yield from _fallback(self._read_v2(site, previous), response.status, "has the site")
        self._speaks_v2 = True
        return status

    def _status_v1(self, response: Response, previous: Status | None) -> Status:
        body = response.object()
        if not _has_word(body):
            raise invalid(response, "the response has no status")
        return publishing(body, previous, self.state_of)

    def _status_v2(self, response: Response, previous: Status | None) -> Status:
        body = mapping(_body_v2(response).get("publishingStatus"))
        if not _has_word(body) and not isinstance(body.get("currentTask", ""), dict | None):
            raise invalid(response, "the response has no publishingStatus with a status or a task")
        return publishing(body, previous, self.state_of)

    def discover(self, keys: CrafterDiscover, now: float) -> Listing:
        """One request for each 100 sites, one more until the version is known; version 1 also has states."""
        del now
        request_v1, page = partial(_sites_request_v1, keys.username), partial(_page, state_of=self.state_of)
        if self.options.api == "v2" or self._speaks_v2:
            return (yield from paged(_sites_request_v2, page))
        if self.options.api == "v1":
            return (yield from paged(request_v1, page))
        request = request_v1(0, 0)
        first = yield from received(replace(request, expect=request.expect | {301, 404}))
        if first.status in (301, 404):
            # This does not show the version of statuses: 3.1 lists sites by version 2 long before.
            return (yield from _fallback(paged(_sites_request_v2, page), first.status, "lists sites"))
        if not any("publishingStatus" in site for site in _sites(first)[0]):
            return (yield from paged(request_v1, page, first=first))
        # Servers with this field also have version 2 of the status, which has more than version 1.
        self._speaks_v2 = True
        return (yield from paged(_sites_request_v2, page))


def _path_v1(site: str) -> str:
    return path(*_V1, "publish", "status.json", site_id=site)


def _path_v2(site: str) -> str:
    return path("api", "2", "publish", "status", siteId=site)


class _Packages(NamedTuple):
    """The ids of packages with an item in one of some states, and whether these are all such packages."""

    ids: frozenset[str]
    all_shown: bool


def _packages(site: str, *states: str) -> Generator[Any, Any, _Packages]:
    query = {"siteId": site, "states": ",".join(states), "offset": "0", "limit": str(_MAX_PACKAGES)}
    response = yield Request(path("api", "2", "publish", "packages", **query))
    body = _body_v2(response)
    packages = body.get("packages")
    if not isinstance(packages, list):
        raise invalid(response, "the response has no list of packages")
    check_number(packages, _MAX_PACKAGES)
    ids = frozenset(text(mapping(package).get("id")) for package in packages)
    return _Packages(ids, all_shown=len(packages) >= (count(body.get("total")) or 0))


def _fallback(v2: Generator[Any, Any, T], v1_status: int, does: str) -> Generator[Any, Any, T]:
    """Makes the requests of version 2 after version 1 answered 301 (moved) or 404 (none, or removed)."""
    try:
        return (yield from v2)
    except Failure as failure:
        if v1_status == 301 or failure.reason in NOT_OF_PATH:
            raise
    # The response of an old server to version 2 means nothing, so the 404 of version 1 counts.
    raise Failure(Reason.NOT_FOUND, f"neither version 1 nor version 2 {does}", status=404)


def _has_word(body: Mapping[str, Any]) -> bool:
    return isinstance(body.get("status", 0), str | None)


def _is_v2(response: Response) -> bool:
    try:
        return isinstance(response.object().get("response"), dict)
    except Failure:
        return False


def _body_v2(response: Response) -> Mapping[str, Any]:
    """The body of a version 2 response. Its ``response.code`` can be an error although the status is 200."""
    body = response.object()
    code = number(mapping(body.get("response")).get("code"))
    if code:
        reason = _CODE_REASONS.get(int(code))
        detail = f"response.code is {code:.0f}" if reason else "response.code is unknown"
        raise Failure(reason or Reason.INVALID_RESPONSE, detail, status=response.status)
    return body


def _sites_request_v1(username: str | None, _number: int, before: int) -> Request:
    query = {"start": str(before), "number": str(PAGE_SIZE)}
    if username is not None:
        query["username"] = username
    refused = frozenset({400} if username is None else ())
    return Request(path(*_V1, "site", "get-per-user.json", **query), expect=refused)


def _sites_request_v2(_number: int, before: int) -> Request:
    return Request(path("api", "2", "users", "me", "sites", offset=str(before), limit=str(PAGE_SIZE)))


def _sites(response: Response) -> tuple[list[Mapping[str, Any]], int | None]:
    """The sites of a page, and the number of sites on all pages."""
    if response.status == 400:
        raise Failure(Reason.CLIENT_ERROR, "this server lists by user: set username of discover", status=400)
    body = _body_v2(response)
    sites = body.get("sites")
    if not isinstance(sites, list):
        raise invalid(response, "the response has no list of sites")
    check_number(sites, PAGE_SIZE)
    return [mapping(site) for site in sites], count(body.get("total"))


def _page(response: Response, *, state_of: StateOf) -> NumberedPage:
    """Reads a page of sites of either version; only version 1 has their states."""
    sites, total = _sites(response)
    found: dict[str, Found | None] = {}
    skipped = 0
    for site in sites:
        site_id, status = key(site.get("siteId", site.get("site_id"))), _listed(site, state_of)
        if site_id is None:
            skipped += 1
            continue
        keys, name = {"site_id": site_id}, text(site.get("name"))
        each = Found(keys, status, complete=status is not None, name=name)
        found[site_id] = each if text(site.get("state")) in _READY else None
    return NumberedPage(len(sites), found, total, skipped)


def _listed(site: Mapping[str, Any], state_of: StateOf) -> Status | None:
    """The status of a site in a listing of version 1: ``status|message``, from 3.1.14 on in two fields."""
    fields = Fields(site)
    word = fields.text("publishingStatus")
    message = fields.read("publishingStatusMessage", message_of, "text") or ""
    if not word and not message:
        return None
    if not word and "|" in message:
        word, _, message = message.partition("|")
    enabled = fields.read("publishingEnabled", _switch, "0 or 1")
    status = publishing({"status": word, "message": message, "enabled": enabled}, None, state_of)
    # Each item writes a new time, and a listing has no previous status: the time is not that of the start.
    return replace(status, started_at=None, notes=fields.notes)


def _switch(value: object) -> bool | None:
    return bool(value) if value in (0, 1) else None
