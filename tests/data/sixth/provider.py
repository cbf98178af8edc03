"""A vendor made up for a test: builds of an imaginary service."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from exporter.config_types import Keys, KeyValue
from exporter.model.http import Request, Response
from exporter.model.job import Items, Job, Kind, State, Status
from exporter.providers.base import DiscoverKeys, Found, Listing, Provider, Steps, invalid, path
from exporter.providers.paging import PAGE_SIZE, NumberedPage, paged
from exporter.providers.values import count, key, mapping, text

_FINAL = frozenset({State.SUCCEEDED, State.FAILED})


class SixthOptions(Keys):
    """Which team's builds these are."""

    team: KeyValue = Field(description="name of the team")


class SixthJob(Keys):
    """One build."""

    build: KeyValue = Field(description="id of the build")


class SixthDiscover(DiscoverKeys):
    """The builds of the team."""


class Sixth(Provider):
    """Reads ``GET /teams/{team}/builds/{build}``, lists ``GET /teams/{team}/builds``."""

    name: ClassVar[str] = "sixth"
    Options: ClassVar[type[Keys]] = SixthOptions
    JobKeys: ClassVar[type[Keys]] = SixthJob
    Discover: ClassVar[type[DiscoverKeys] | None] = SixthDiscover
    states: ClassVar[Mapping[str, State]] = {
        "waiting": State.QUEUED,
        "busy": State.RUNNING,
        "good": State.SUCCEEDED,
        "bad": State.FAILED,
    }
    poll_steps: ClassVar[tuple[float, ...]] = (20.0, 60.0)

    @classmethod
    def identify(cls, keys: Mapping[str, str]) -> tuple[str, Kind]:
        """A run: each build has an id of its own."""
        return keys["build"], Kind.RUN

    def read(self, job: Job, previous: Status | None) -> Steps:
        """One request."""
        response = yield Request(path("teams", self.options.team, "builds", job.keys["build"]))
        body = response.object()
        if "phase" not in body:
            raise invalid(response, "the response has no phase")
        return self._status(job.id, body)

    def discover(self, keys: SixthDiscover, now: float) -> Listing:
        """One request for each 100 builds, with their states."""

        def request(number: int, _before: int) -> Request:
            query = {"page": str(number), "size": str(PAGE_SIZE)}
            return Request(path("teams", self.options.team, "builds", **query))

        return paged(request, self._page)

    def _page(self, response: Response) -> NumberedPage:
        builds = response.object().get("builds", [])
        found: dict[str, Found | None] = {}
        for build in map(mapping, builds):
            if (build_id := key(build.get("id"))) is not None:
                found[build_id] = Found({"build": build_id}, self._status(build_id, build), complete=True)
        return NumberedPage(len(builds), found, None)

    def _status(self, job_id: str, body: Mapping[str, Any]) -> Status:
        raw = text(body.get("phase"))
        state = self.state_of(raw)
        items = Items(total=count(body.get("of")), processed=count(body.get("done")))
        return Status(state=state, raw=raw, final=state in _FINAL, run=job_id, items=items)
