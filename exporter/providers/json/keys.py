"""The keys of ``read:`` of the provider ``json``, and those of every request.

Requests are templates: ``{name}`` in path, query or body is a key of the job. Expressions are compiled
with the configuration, so that an error in one is reported with its place.
"""

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema, field_validator, model_validator
from pydantic_core.core_schema import ValidationInfo

from exporter.config_types import Expr, Expression, HeaderName, Headers, Keys, inside
from exporter.model.http import has_dot_segments
from exporter.model.job import RESULTS, State
from exporter.model.text import has_control_characters
from exporter.providers.rate_limit import RateLimit
from exporter.providers.state_words import StateName, StateWords, by_word

MAX_TEMPLATE = 4096
MAX_WORD = 128
MAX_LABELS = 10
MAX_ALSO = 4
NAME = "^[A-Za-z_][A-Za-z0-9_]{0,63}$"
RESERVED = frozenset({"name", "labels", "expect", "system", "debug"})
"""Names with another meaning in ``jobs:`` or in the query of ``/probe``."""

KEY = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})(:number)?\}")
# RFC 3986 section 3.3: segments of pchar, and keys in braces.
_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}|\{[A-Za-z_][A-Za-z0-9_]{0,63}\})*)+")
# These are about a stored response, the credential and the rate limit, not about the job.
_NEVER_ACCEPTED = frozenset({304, 401, 407, 429})
_MISSING = frozenset({State.IDLE, State.STOPPED})
_ENDED = frozenset({*RESULTS, State.STOPPED})


def can_take_long(value: object) -> bool:
    """Whether an expression in validated keys can take long."""
    return any(expression.can_take_long for _, expression in inside(value, Expression))


def _path(value: str) -> str:
    if len(value) > MAX_TEMPLATE or not _PATH.fullmatch(value):
        raise ValueError(
            "not a path; allowed are / and the characters of a URL's path, with {name} where a key goes; "
            "what follows a ? belongs under query"
        )
    if has_dot_segments(value):
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


def _accepted(status: int) -> int:
    if not 300 <= status <= 599 or status in _NEVER_ACCEPTED:
        raise ValueError(
            "not a status that can be accepted; allowed are 300 to 599 except 304, 401, 407 and 429"
        )
    return status


Accepted = Annotated[int, AfterValidator(_accepted)]
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

    accept: Annotated[list[Accepted], Field(max_length=10)] = Field(
        default_factory=list,
        description="statuses beside 2xx whose responses are read, as 404 where that means that there is no "
        "run; not 304, 401, 407 or 429",
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
    missing: StateName | None = Field(
        None,
        description="state of a slot in whose response root or state finds nothing, idle or stopped: there "
        "is no run yet; without it the read fails",
    )
    also: dict[Annotated[str, Field(pattern=NAME)], RequestKeys] = Field(
        default_factory=dict,
        max_length=MAX_ALSO,
        description="further requests of a read by name: the expressions find the JSON of each response "
        "under its name, beside the fields of the job",
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

    def names(self) -> tuple[str, ...]:
        """The keys in braces, also those of further requests, each once."""
        own, others = super().names(), (each.names() for each in self.also.values())
        return tuple(dict.fromkeys((*own, *(name for names in others for name in names))))

    @field_validator("missing")
    @classmethod
    def _only_without_a_run(cls, state: State | None) -> State | None:
        if state is not None and state not in _MISSING:
            raise ValueError("must be idle or stopped: there is no run")
        return state

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
        if self.kind == "run" and self.missing is not None:
            raise ValueError("missing is for kind: slot; a run that is not there is not_found")
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
