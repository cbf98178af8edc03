"""``/jobs`` and ``/jobs.json``: what the last scrape has read. Nothing here sends a request to a vendor.

The exception is a button that exists only while no job has ever been read.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from exporter import __version__
from exporter.collector.collector import Collector
from exporter.collector.query import Pairs
from exporter.collector.record import MAX_CHANGES
from exporter.metrics.exposition import accepts_gzip
from exporter.model.clock import Clock
from exporter.model.failure import Failure
from exporter.runtime.shared import Rounds
from exporter.views import (
    STATES,
    FilterError,
    Filters,
    JobList,
    JobReport,
    detail,
    reports,
    select,
    unlisted,
)
from exporter.web.cross_site import REFUSAL, is_cross_site
from exporter.web.sending import Pages
from exporter.web.templates import Templates, root_of

JOBS_PER_PAGE = 80
"""A page of so many stays below 100 kB."""
REFRESH_SECONDS = 10
OLD_SECONDS = 300.0
"""Without a read for so long, the page says that nothing scrapes the exporter."""
READ_SECONDS = 10.0
"""For the button that reads all jobs once."""

HTML = "text/html; charset=utf-8"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known at one moment, for the page and for the data.

    Args:
        systems: the names of all.
        listing_failures: why the last listing of a system failed, by system.
        now: Unix time.
        unread: nothing has been read yet.
    """

    jobs: Sequence[JobReport]
    systems: Sequence[str]
    listing_failures: Mapping[str, Failure]
    now: float
    unread: bool


class JobPages:
    """The pages of all jobs.

    Args:
        pairs: the parameters of a request; raises `ValueError`.
        grafana: the address of a Grafana with the dashboards of this project; empty if there is none.
    """

    def __init__(
        self,
        collector: Collector,
        pages: Pages,
        templates: Templates,
        clock: Clock,
        pairs: Callable[[Request], Pairs],
        grafana: str = "",
    ) -> None:
        self._collector = collector
        self._pages = pages
        self._templates = templates
        self._clock = clock
        self._pairs = pairs
        self._grafana = grafana.rstrip("/")
        self._reports: Rounds[list[JobReport]] = Rounds()
        self._rounds: Rounds[bytes] = Rounds()
        self.routes = [
            Route("/jobs", self._jobs, methods=["GET", "POST"]),
            Route("/jobs.json", self._json),
            Route("/jobs/{system}/{job_id:path}", self._job),
        ]

    async def _jobs(self, request: Request) -> Response:
        """Jobs as a page, trouble first; by POST they are read before, if none has been."""
        if request.method == "POST":
            return await self._read(request)
        try:
            pairs = [*self._pairs(request)]
            page = _page(pairs)
            filters = Filters.parse([pair for pair in pairs if pair[0] != "page"])
        except ValueError as error:
            return PlainTextResponse(f"{error}\n", 400)
        root = root_of(request.scope["raw_path"])
        return await self._shared(
            request, (root, filters, page), HTML, lambda: self._render(root, filters, page)
        )

    async def _job(self, request: Request) -> Response:
        """One job in words."""
        record = self._collector.watched(request.path_params["system"], request.path_params["job_id"])
        if record is None:
            return PlainTextResponse("no such job is watched; see /jobs\n", 404)
        now = self._clock.time()
        shown = detail(
            record, self._collector.records_of(record.job.system), self._collector.due_in(record), now
        )
        system, id_ = quote(shown.job.system, safe=""), quote(shown.job.job_id, safe="")
        grafana = f"{self._grafana}/d/remote-job-job?var-system={system}&var-job_id={id_}"
        body = await asyncio.to_thread(
            self._templates.render,
            "job",
            root_of(request.scope["raw_path"]),
            detail=shown,
            now=now,
            grafana=grafana if self._grafana else "",
            of_system=Filters(systems=(shown.job.system,)),
            of_label=lambda name, value: Filters(labels=((name, value),)),
            most=MAX_CHANGES,
            refresh=REFRESH_SECONDS,
        )
        return await self._sent(request, body, HTML)

    async def _json(self, request: Request) -> Response:
        """The same as data, all pages of it."""
        try:
            filters = Filters.parse(self._pairs(request))
        except ValueError as error:
            return PlainTextResponse(f"{error}\n", 400)
        return await self._shared(request, ("json", filters), JSON, lambda: self._encode(filters))

    async def _shared(
        self, request: Request, key: Hashable, type_: str, render: Callable[[], Awaitable[bytes]]
    ) -> Response:
        # Not in the rounds of scrapes: people must not delay these.
        return await self._sent(request, await self._rounds.get(key, render), type_)

    async def _sent(self, request: Request, body: bytes, type_: str) -> Response:
        gzip = accepts_gzip(request.headers.get("accept-encoding", ""))
        response = await self._pages.single(body, type_, accepts_gzip=gzip)
        response.headers["Cache-Control"] = "no-cache"
        return response

    async def _known(self) -> Known:
        jobs = await self._reports.get("", lambda: reports(self._collector.records()))
        failures, unread = self._collector.listing_failures(), self._collector.is_unread
        return Known(jobs, self._collector.systems, failures, self._clock.time(), unread)

    async def _render(self, root: str, filters: Filters, page: int) -> bytes:
        # In a thread: many jobs would block the loop.
        return await asyncio.to_thread(render_jobs, self._templates, root, await self._known(), filters, page)

    async def _encode(self, filters: Filters) -> bytes:
        return await asyncio.to_thread(_encoded, await self._known(), filters)

    async def _read(self, request: Request) -> Response:
        """Reads all jobs once, under pacing, if none has been read yet; then the page."""
        if is_cross_site(request):
            return PlainTextResponse(f"{REFUSAL}\n", 403)
        if self._collector.is_unread:
            await self._collector.collect(READ_SECONDS)
        # Relative: a proxy may serve the exporter under a prefix.
        return Response(status_code=303, headers={"Location": "jobs"})


def render_jobs(templates: Templates, root: str, known: Known, filters: Filters, page: int) -> bytes:
    """The page of all jobs.

    Args:
        page: from 1; the last one if there are not so many.
    """
    selection, pairs = select(known.jobs, filters), filters.pairs()
    pages = max(1, -(-len(selection.jobs) // JOBS_PER_PAGE))
    page = min(page, pages)
    return templates.render(
        "jobs",
        root,
        selection=selection,
        jobs=selection.jobs[(page - 1) * JOBS_PER_PAGE : page * JOBS_PER_PAGE],
        unlisted=unlisted(known.listing_failures, filters.systems),
        filters=filters,
        # The form has one field for each kind of filter; it sends the others as well.
        shown=dict(reversed(pairs)),
        more=[pair for index, pair in enumerate(pairs) if pair[0] in {name for name, _ in pairs[:index]}],
        page=page,
        pages=pages,
        newest=max((job.read_at for job in known.jobs if job.read_at is not None), default=None),
        now=known.now,
        unread=known.unread,
        old=OLD_SECONDS,
        refresh=REFRESH_SECONDS,
        states=STATES,
        systems=known.systems,
    )


def _page(pairs: Pairs) -> int:
    given = [value for name, value in pairs if name == "page"] or ["1"]
    if len(given) > 1 or not (given[0].isascii() and given[0].isdigit() and 1 <= len(given[0]) <= 6):
        raise FilterError("page: allowed is a number")
    return max(1, int(given[0]))


def _encoded(known: Known, filters: Filters) -> bytes:
    selection = select(known.jobs, filters)
    missing = unlisted(known.listing_failures, filters.systems)
    empty = JobList(__version__, round(known.now, 3), selection.total, selection.counts, missing)
    head = msgspec.json.encode(empty).removesuffix(b"]}")
    # One job at a time: other threads cannot run while JSON is encoded.
    return head + b",\n".join([msgspec.json.encode(job) for job in selection.jobs]) + b"]}\n"
