"""CAPS / OpenPublishing, simulated: build jobs of docsets, one id per docset and kind of publish.

The body is that of the help page "[GET] Get publish state info by bulidjobid" with all its fields. That
page shows ``Succeeded`` only: every other ``job_status``, the error bodies and the fields that are null
before the end are guesses in the style of ASP.NET.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from exporter.simulator.lives import (
    EPOCH,
    FINE,
    HOUR,
    MINUTE,
    End,
    Life,
    Moment,
    Part,
    Phase,
    World,
    ended,
    hanging,
)
from exporter.simulator.responses import CutOff, gateway, guid, hex_id, precise, refusal, ticks, to_second

NOTE = "docs-eu is down part of the time."
TOKEN = "demo-caps-token"
TOKEN_WITHOUT_RIGHTS = "demo-caps-token-without-rights"
PROJECT = guid("caps", "project")
_WORDS = {
    End.SUCCEEDED: "Succeeded",
    End.WITH_ERRORS: "PartiallySucceeded",
    End.FAILED: "Failed",
    End.TIMED_OUT: "Failed",
    End.CANCELED: "Canceled",
    End.ODD: "Quarantined",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Docset(Part):
    """One kind of publish of one docset in one locale; ``as_text``: counts come as strings."""

    kind: str = "promote"
    locale: str = "en-US"
    as_text: bool = False

    @property
    def build_job_id(self) -> str:
        """Made of the docset's id, as at the vendor."""
        return f"{guid('docset', self.name)}--{self.kind}"


DOCS = (
    Docset(name="User guide, live", life=Life(ends=FINE, lag=0), expect={"success_within": "1h"}),
    Docset(name="User guide, staging", kind="publish", life=Life(ends=FINE, lag=0.5)),
    Docset(name="Release notes", life=Life(10 * MINUTE), as_text=True, expect={"success_within": "12h"}),
    Docset(name="API reference", life=ended(End.WITH_ERRORS), labels={"squad": "sdk"}),
    Docset(name="Getting started (ja)", locale="ja-JP", life=ended(End.FAILED), labels={"squad": "i18n"}),
    Docset(name="Knowledge base", life=hanging(Phase.RUNNING), expect={"progress_within": "3m"}),
    Docset(name="Legal notices", life=ended(End.CANCELED), labels={"squad": "legal"}),
    Docset(name="Archive (fr)", locale="fr-FR", life=hanging(Phase.QUEUED), labels={"squad": "i18n"}),
    Docset(name="Tutorials", life=hanging(Phase.ENDING)),
    Docset(name="Partner portal", life=ended(End.ODD), labels={"squad": "partners"}),
)
DOCS_EU = (
    Docset(name="User guide (de)", locale="de-DE", life=Life()),
    Docset(name="Privacy centre (de)", locale="de-DE", life=Life(HOUR, ends=FINE)),
)


@dataclass(frozen=True, slots=True)
class CapsHost:
    """One CAPS host.

    Args:
        world: see `World`.
        docsets: those that it publishes.
        shaky: it is down part of the time: first 503, then connections that break.
    """

    world: World
    docsets: Sequence[Docset]
    shaky: bool = False

    def routes(self) -> list[BaseRoute]:
        """Its paths, below the system's prefix."""
        return [
            Route("/v1/Projects/{project}/BuildJobs/{job}/properties", self.properties),
            Route("/{rest:path}", self.nothing),
        ]

    async def properties(self, request: Request) -> Response:
        """The newest run of a build job."""
        if self.shaky:
            window, left = self.world.window("caps-eu", 5 * MINUTE, 2 * MINUTE, 2 * MINUTE)
            if window == 1:
                return gateway(503, "Service Unavailable", {"Retry-After": str(min(30, int(left) + 1))})
            if window == 2:
                return CutOff()
        _check(request)
        locale = request.query_params.get("locale")
        if not locale:
            raise refusal(400, {"Message": "The request is invalid.", "ModelState": {"locale": ["required"]}})
        wanted = (request.path_params["project"], request.path_params["job"], locale)
        for docset in self.docsets:
            if (PROJECT, docset.build_job_id, docset.locale) == wanted:
                moment = self.world.moment(docset.build_job_id, docset.life)
                if moment is not None:
                    return JSONResponse(_body(docset, moment))
        return await self.nothing(request)

    async def nothing(self, request: Request) -> Response:
        """404."""
        return JSONResponse({"Message": f"No HTTP resource was found that matches '{request.url}'."}, 404)


def _check(request: Request) -> None:
    token = request.headers.get("Authorization")
    if token == TOKEN_WITHOUT_RIGHTS:
        raise refusal(403, {"Message": "You are not allowed to read this project."})
    if token != TOKEN or request.headers.get("TokenType") not in ("jwt", "sas"):
        raise refusal(401, {"Message": "Authorization has been denied for this request."})


def _body(docset: Docset, moment: Moment) -> dict[str, Any]:
    total, succeeded, failed = moment.items
    as_sent = str if docset.as_text else int
    word = moment.word(_WORDS)
    changed = moment.ended_at or moment.started_at or moment.queued_at or EPOCH
    container = docset.build_job_id.partition("--")[0]
    source = {"project_id": PROJECT, "entity_id": container, "entity_type": "Container"}
    return {
        "job_status": word,
        "is_incremental": False,
        "is_on_demand": True,
        "is_scheduled": None,
        "message": _message(word, moment),
        "triggered_by": "v-mori@example.com",
        "started_at": precise(moment.started_at),
        "ended_at": precise(moment.ended_at),
        "cancelable": moment.phase in (Phase.QUEUED, Phase.RUNNING),
        "total_count": as_sent(total),
        "successful_count": as_sent(succeeded),
        "failed_count": as_sent(failed),
        "job_progress": 1 if moment.done >= 1 else round(moment.done, 4),
        "source_entities": [json.dumps({**source, "locale": docset.locale}, separators=(",", ":"))],
        # A reverse-time key: 2^63 - 1 less the ticks of the time when the run was queued.
        "latest_blob_id": str(2**63 - 1 - ticks(moment.queued_at or EPOCH)),
        "categorized_count": _categories(total, succeeded, failed),
        "job_type": "Live" if docset.kind == "promote" else "Staging",
        "job_level": "DocSet",
        "staged_locales": None,
        "promoted_locales": None,
        "locales": [docset.locale],
        "entity_id": docset.build_job_id,
        "project_id": PROJECT,
        "parent_id": guid("caps", "parent"),
        "organization_id": hex_id("caps", "organization"),
        "name": None,
        "revision": 3 * moment.run + list(Phase).index(moment.phase),
        "locale": docset.locale,
        "default_locale": "en-US",
        "entity_type": "BuildJob",
        "assigned_to": None,
        "created_at": to_second(EPOCH),
        "updated_by": hex_id("caps", "user"),
        "attributes": None,
        "readonly_fields": None,
        "e_tag": "W/\"datetime'{}'\"".format(quote(precise(changed, "Z") or "")),
        "group_revisions": {"Localizable": 0},
    }


def _message(word: str, moment: Moment) -> str:
    if moment.ended_at is None or moment.started_at is None:
        return f"{word}."
    took = moment.ended_at - moment.started_at
    hours, rest = divmod(took, HOUR)
    minutes, seconds = divmod(rest, MINUTE)
    return f"{word} in {int(hours):02}:{int(minutes):02}:{seconds:010.7f} seconds."


def _categories(total: int, succeeded: int, failed: int) -> str:
    """JSON in a string: a third of the items are outlines, done first, and only articles fail."""
    outlines = total // 3
    done = min(outlines, succeeded)
    parts = {"Outline": (outlines, done, 0), "Article": (total - outlines, succeeded - done, failed)}
    names = ("total_count", "successful_count", "failed_count")
    return json.dumps({name: dict(zip(names, part, strict=True)) for name, part in parts.items()})


def routes(world: World) -> list[BaseRoute]:
    """The paths of both systems."""
    return [
        Mount("/caps", routes=CapsHost(world, DOCS).routes()),
        Mount("/caps-eu", routes=CapsHost(world, DOCS_EU, shaky=True).routes()),
    ]


def systems(base_url: str) -> dict[str, Any]:
    """Its systems in a configuration."""
    return {
        name: {
            "provider": "caps",
            "base_url": f"{base_url}/{prefix}",
            "labels": {"squad": squad},
            "auth": {"type": "headers", "headers": {"Authorization": TOKEN, "TokenType": "jwt"}},
            "jobs": [
                docset.entry(project_id=PROJECT, build_job_id=docset.build_job_id, locale=docset.locale)
                for docset in docsets
            ],
        }
        for name, prefix, squad, docsets in (
            ("docs", "caps", "docs", DOCS),
            ("docs-eu", "caps-eu", "docs-eu", DOCS_EU),
        )
    }
