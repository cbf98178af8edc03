"""The keys of ``read:`` and ``discover:`` of the provider ``json``.

Requests are templates: ``{name}`` in path, query or body is a key of the job. Expressions are compiled
with the configuration, so that an error in one is reported with its place.
"""

import json
import re
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema, field_validator, model_validator
from pydantic_core.core_schema import ValidationInfo

from exporter.config_types import (
    Expr,
    HeaderName,
    Headers,
    Keys,
    PositiveDuration,
    has_control_characters,
    inside,
)
from exporter.model.job import RESULTS, State
from exporter.providers.base import DiscoverKeys
from exporter.providers.rate_limit import RateLimit
from exporter.providers.state_words import StateName, StateWords, by_word

MAX_TEMPLATE = 4096
MAX_WORD = 128
MAX_LABELS = 10
RESERVED = frozenset({"name", "labels", "expect", "system", "debug"})
"""Names with another meaning in ``jobs:`` or in the query of ``/probe``."""

SINCE = ("since", "since_s", "since_ms")
"""The names in braces that a listing's request can have: the time ``newer_than`` ago, in three notations."""

KEY = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})(:number)?\}")
# RFC 3986 section 3.3: segments of pchar, and keys in braces.
_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}|\{[A-Za-z_][A-Za-z0-9_]{0,63}\})*)+")
_ENDED = frozenset({*RESULTS, State.STOPPED})


def _path(value: str) -> str:
    if len(value) > MAX_TEMPLATE or not _PATH.fullmatch(value):
        raise ValueError(
            "not a path; allowed are / and the characters of a URL's path, with {name} where a key goes; "
            "what follows a ? belongs under query"
        )
    if any(unquote(segment) in (".", "..") for segment in value.split("/")):
        raise ValueError("must not contain the path segments . or ..")
    return value


def _query_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str) or len(value) > MAX_TEMPLATE or has_control_characters(value):
        raise ValueError(
            "must be text, a whole number, true or false, or a list of these; text of at most "
            f"{MAX_TEMPLATE} characters, none of them a control character"
        )
    return value


def _query_values(value: object) -> tuple[str, ...]:
    return tuple(_query_text(each) for each in (value if isinstance(value, list | tuple) else [value]))


def _body(value: object) -> object:
    if not isinstance(value, dict | list):
        raise ValueError("must be a mapping or a list, which is sent as JSON")  # noqa: TRY004  as above
    try:
        # Plain values, without the types that the YAML reader adds.
        return json.loads(json.dumps(value, allow_nan=False))
    except ValueError:
        raise ValueError("contains a number that JSON does not have") from None


_SCALAR = {"type": ["string", "integer", "boolean"]}
QueryValues = Annotated[
    tuple[str, ...],
    PlainValidator(_query_values),
    WithJsonSchema({"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}),
]
Body = Annotated[
    Any, PlainValidator(_body), WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "array"}]})
]
Word = Annotated[str, Field(min_length=1, max_length=MAX_WORD)]


class RequestKeys(Keys):
    """One request, with keys in braces."""

    method: Literal["GET", "POST"] = Field(
        "GET", description="POST only if it changes nothing: the request is sent in each read"
    )
    path: Annotated[str, AfterValidator(_path)] = Field(
        description="appended to base_url; {name} in braces is a key of the job"
    )
    query: dict[str, QueryValues] = Field(
        default_factory=dict, description="parameters, keys in braces; a list repeats a parameter"
    )
    headers: Headers = Field(
        default_factory=dict, description="headers of this request; override those of the system"
    )
    body: Body | None = Field(
        None,
        description="body of a POST, sent as JSON, keys in braces in its strings; a string that is only "
        "{name:number} is sent as a number",
    )
    error: Expr | None = Field(
        None,
        description="if it finds anything but null, false, 0 or an empty value in the response, the request "
        "has failed; for APIs that report errors under HTTP status 200",
    )

    @field_validator("body")
    @classmethod
    def _only_posted(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("method") == "GET":
            raise ValueError("needs method: POST")
        return value

    def names(self) -> tuple[str, ...]:
        """The keys in braces, those of the path first, then of query and body, each once."""
        templates = inside([self.path, self.query, self.body], str)
        return tuple(dict.fromkeys(name for _, template in templates for name, _ in KEY.findall(template)))


class ReadKeys(RequestKeys):
    """How one job is read and what the response means."""

    kind: Literal["run", "slot"] = Field(
        "run", description="run: ends once; slot: one identity, run after run"
    )
    root: Expr | None = Field(
        None, description="the job in the response; all other expressions except error start there"
    )
    state: Expr = Field(description="the vendor's word for the state of the job")
    states: StateWords = Field(
        default_factory=dict,
        min_length=1,
        description="the words for each state; case is ignored, any other word "
        "is unknown; without it the words must be the states themselves",
    )
    final: Annotated[list[StateName], Field(min_length=1)] = Field(
        default_factory=lambda: list(RESULTS),
        description="the states in which a run has ended for good; without it succeeded, "
        "succeeded_with_errors, failed and canceled",
    )
    step: Expr | None = Field(None, description="the vendor's word for the step of the run")
    run: Expr | None = Field(None, description="identity of a run of a slot")
    run_number: Expr | None = Field(None, description="number of the run, which grows with every run")
    progress: Expr | None = Field(None, description="from 0 to 1; a percentage is divided by `100`")
    items: Expr | None = Field(None, description="items of the run known so far")
    items_sent: Expr | None = Field(None, description="items sent")
    items_additional_sent: Expr | None = Field(
        None, description="items sent in addition to the requested ones"
    )
    items_processed: Expr | None = Field(None, description="items processed, with any result")
    items_succeeded: Expr | None = Field(None, description="items that succeeded")
    items_failed: Expr | None = Field(None, description="items that failed")
    items_skipped: Expr | None = Field(None, description="items skipped")
    items_deleted: Expr | None = Field(None, description="items deleted")
    items_acknowledged: Expr | None = Field(None, description="items acknowledged")
    items_sending_complete: Expr | None = Field(None, description="true once no more items will be sent")
    cancelable: Expr | None = Field(None, description="true if the run can be canceled now")
    enabled: Expr | None = Field(None, description="false if no run will start")
    queued_at: Expr | None = Field(
        None, description="when the run was queued; like all times ISO 8601 or Unix seconds or milliseconds"
    )
    started_at: Expr | None = Field(None, description="when the run started")
    ended_at: Expr | None = Field(None, description="when the run ended; ignored before the end")
    reported_at: Expr | None = Field(None, description="when the vendor last updated the response")
    state_since: Expr | None = Field(
        None, description="since when the job is in its state; without it the times above are used"
    )
    succeeded_at: Expr | None = Field(None, description="when a run last succeeded, this one or an earlier")
    failed_at: Expr | None = Field(None, description="when a run last failed, this one or an earlier")
    name: Expr | None = Field(None, description="the vendor's name for the job")
    type: Expr | None = Field(None, description="type of the job")
    level: Expr | None = Field(None, description="environment or stage of the job")
    labels_from: dict[str, Expr] = Field(
        default_factory=dict,
        max_length=MAX_LABELS,
        description="labels of all series of the job, for routing alerts: an expression by the name of each",
    )

    @field_validator("final")
    @classmethod
    def _only_ends(cls, states: list[State]) -> list[State]:
        if any(state not in _ENDED for state in states):
            raise ValueError(f"contains a state in which no run ends; allowed: {', '.join(sorted(_ENDED))}")
        return states

    @model_validator(mode="after")
    def _has_keys(self) -> "ReadKeys":
        names = self.names()
        if not names:
            raise ValueError(
                "path, query or body must have at least one key in braces, whose value identifies the job"
            )
        if taken := RESERVED.intersection(names):
            raise ValueError(f"{min(taken)} has another meaning; choose another name for this key")
        if self.kind == "slot" and "final" in self.model_fields_set:
            raise ValueError("a slot never ends: final is for kind: run")
        return self

    def words(self) -> dict[str, State]:
        """The state by the vendor's word in lower case."""
        return by_word(self.states) if self.states else {state.value: state for state in State}


class RateLimitKeys(Keys):
    """How the API limits requests. The usual headers need no configuration."""

    scope: Literal["job", "system"] = Field(
        "job", description="what a rate limit pauses: system if the API counts the requests of an account"
    )
    remaining_header: HeaderName | None = Field(
        None, description="response header with the number of calls left, beside the usual ones"
    )
    reset_header: HeaderName | None = Field(
        None, description="the same with the time to wait: seconds, a Unix time or a date"
    )

    def rate_limit(self) -> RateLimit:
        """The same for reading responses."""
        remaining, reset = ((name or "").lower() for name in (self.remaining_header, self.reset_header))
        return RateLimit(self.scope, remaining=remaining, reset=reset)


class Paging(Keys):
    """How a listing continues after its first page: by number, by a token, or by the next page's address."""

    page: Word | None = Field(None, description="parameter for the number of the page, or for an offset")
    first: int = Field(1, ge=0, le=1, description="the number of the first page")
    step: int = Field(
        1, ge=1, le=100_000, description="difference from one page to the next; more than 1 for an offset"
    )
    size: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="entries that a page is requested to have; after a page with fewer, a repeated page or a "
        "status 400, 404, 416 or 422 is the end",
    )
    token: Word | None = Field(None, description="parameter for the token of the next page")
    next: Expr | None = Field(
        None, description="the token in the response; without token: the address of the next page"
    )
    header: HeaderName | None = Field(
        None, description="the same in a response header; in Link (RFC 8288) the address with rel=next"
    )
    total: Expr | None = Field(
        None,
        description="the number of entries on all pages, in each response; a listing that ends with fewer is "
        "incomplete. Without it, usual names beside the list are tried",
    )
    into: Literal["query", "body", "path"] = Field(
        "query",
        description="place of the parameter, whose name can lead into it by dots: variables.cursor is cursor "
        "in the mapping variables of a body, or in a query parameter that is JSON. In path its name is in "
        "braces",
    )
    max_pages: int | None = Field(
        None, ge=1, le=500, description="limit of pages, for listings that begin with the newest"
    )

    @model_validator(mode="after")
    def _one_way(self) -> "Paging":
        sources = (self.next is not None) + (self.header is not None)
        ways = sources + (self.page is not None)
        only_total = ways == 0 and self.token is None and self.total is not None
        if (ways != 1 and not only_total) or (self.page is not None and self.token is not None):
            raise ValueError(
                "allowed is one of: page; token with next or header; next or header alone, for an address; "
                "total alone, for one page"
            )
        numbers = {"first", "step", "size"} & self.model_fields_set
        if numbers and self.page is None:
            raise ValueError(f"{min(numbers)} goes with page only")
        if self.into == "body" and self.page is None and self.token is None:
            raise ValueError("into: body goes with page or token only")
        if self.into == "path" and self.page is None:
            raise ValueError("into: path goes with page only")
        return self


class ListKeys(RequestKeys):
    """A list in the response, page by page."""

    items: Expr = Field(description="the list in a page")
    keys: dict[str, Expr] = Field(
        default_factory=dict, description="keys by name, each an expression for its entry of the list"
    )
    paging: Paging | None = Field(None, description="the next page; without it there is one page")

    def check_place(self) -> None:
        """Checks that the parameter of a page has a place.

        Raises:
            ValueError: it has none.
        """
        paging, names = self.paging, KEY.findall(self.path)
        if paging is None or paging.into == "query":
            return
        place = paging.page or paging.token or ""
        if paging.into == "path":
            if (place, "") not in names:
                raise ValueError(f"paging into the path needs {{{place}}} in path")
            return
        if self.method == "GET":
            raise ValueError("paging into the body needs method: POST")
        inside = self.body or {}
        for name in place.split("."):
            if not isinstance(inside, dict):
                raise ValueError("paging into the body needs a mapping where the parameter goes")  # noqa: TRY004
            inside = inside.get(name) or {}

    def check_names(self, *allowed: str) -> frozenset[str]:
        """Checks the names in braces, and returns them.

        Raises:
            ValueError: one is not allowed.
        """
        names = set(self.names())
        if self.paging is not None and self.paging.into == "path":
            names -= {self.paging.page}
        if not names.issubset(allowed):
            raise ValueError(f"has a name in braces that is not known; allowed: {', '.join(allowed)}")
        return frozenset(names)


class JsonParents(ListKeys):
    """What has listings of jobs, such as the projects of a system."""

    @model_validator(mode="after")
    def _fits_together(self) -> "JsonParents":
        if not self.keys:
            raise ValueError("keys is missing: the names in braces of the listings")
        self.check_place()
        self.check_names(*SINCE)
        return self


class JsonDiscover(DiscoverKeys, ListKeys):
    """The jobs in a list of the response."""

    parents: JsonParents | None = Field(
        None,
        description="a listing of parents, such as projects: the jobs of each are listed, with its keys as "
        "names in braces and as keys of the jobs",
    )
    state: Expr | None = Field(
        None,
        description="the word for the state in an entry; the other expressions of read are then evaluated "
        "in the entry too, and the job itself is not read",
    )
    interval: PositiveDuration = Field(
        "1m", validate_default=True, description="interval of a listing without states"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "JsonDiscover":
        parents = self.parents
        self.check_place()
        names = self.check_names(*SINCE, *(parents.keys if parents is not None else ()))
        if not self.keys and parents is None:
            raise ValueError("keys is missing: the keys of a job")
        if parents is not None:
            names |= parents.check_names(*SINCE)
            if both := self.keys.keys() & parents.keys.keys():
                raise ValueError(f"{min(both)} is a key of parents already")
        if names.intersection(SINCE) and self.newer_than is None:
            raise ValueError("since in braces needs newer_than")
        return self
