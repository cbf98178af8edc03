"""Any other HTTP API with JSON responses: the configuration has the requests and the meaning of responses.

Expressions are JMESPath with arithmetic (https://jmespath.site/, JEP 16). An expression that finds
nothing is an absent series. So is one that finds a value of a wrong type, which is noted in the status. Only
`state` and `root` must find something, else the job cannot be read.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from pydantic import ConfigDict, Field

from exporter.config_types import Expression, Keys, KeyValue, Place, inside
from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import ACTIVE, Items, Job, Kind, State, Status
from exporter.providers.base import DiscoverKeys, Found, Listing, Provider, Steps, invalid, received
from exporter.providers.fields import Fields
from exporter.providers.json.keys import JsonDiscover, RateLimitKeys, ReadKeys, RequestKeys
from exporter.providers.json.listing import Pages, Turn, look
from exporter.providers.json.templates import Values, as_number, filled, filled_in, numbers, parsed, put
from exporter.providers.rate_limit import RateLimit
from exporter.providers.values import key, text

_JSON = ("Content-Type", "application/json")
_MINUS = 'write a name that contains a minus in quotes, as in "a-b", a subtraction with spaces, as in a - b'
_SLASH = (
    "write a name that contains / or another operator in quotes, as in "
    '"app.kubernetes.io/name", and a number that is meant as to_string(a / b)'
)
_SINCE_SECONDS = 60
MAX_INT = 10**20


class JsonOptions(Keys):
    """How one job is read."""

    read: ReadKeys = Field(description="the request for a job, and the meaning of its response")
    rate_limit: RateLimitKeys = Field(
        default_factory=RateLimitKeys, description="what a rate limit pauses, and its headers"
    )


class JsonJob(Keys):
    """One job: the keys in braces in path, query and body of ``read``."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, KeyValue]


class JsonApi(Provider):
    """Reads the API that its configuration describes."""

    name: ClassVar[str] = "json"
    Options: ClassVar[type[Keys]] = JsonOptions
    JobKeys: ClassVar[type[Keys]] = JsonJob
    Discover: ClassVar[type[DiscoverKeys] | None] = JsonDiscover

    def __init__(self, options: JsonOptions) -> None:
        super().__init__(options)
        self._read = options.read
        self._names = options.read.names()
        self._numbers = frozenset(numbers([options.read.body, *map(list, options.read.query.values())]))
        self.words = options.read.words()
        given = {name: getattr(options.read, name) for name in _READERS}
        self._given = {name: expression for name, expression in given.items() if expression is not None}

    def rate_limit(self) -> RateLimit:
        """As configured, and the usual headers."""
        limit: RateLimit = self.options.rate_limit.rate_limit()
        return limit

    def key_names(self) -> tuple[str, ...]:
        """The names in braces: those of the path first, then of query and body."""
        return self._names

    def identify(self, keys: Mapping[str, str]) -> tuple[str, Kind]:
        """All its keys, joined; the kind is configured."""
        return "/".join(keys[name] for name in self._names), Kind(self._read.kind)

    def check_keys(self, keys: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """A key that the body has as a number must be one."""
        for name in self._numbers:
            try:
                as_number(name, keys[name])
            except Failure:
                yield name, f"is not a number; read has it as {{{name}:number}}"

    def check_discover(self, discover: JsonDiscover) -> Iterator[tuple[tuple[str, ...], str]]:
        """A listing must have exactly the keys that a read needs."""
        for name in self._names:
            if name not in discover.keys:
                yield ("keys", name), "is missing: read uses it in braces"
        for name in discover.keys:
            if name not in self._names:
                yield ("keys", name), f"unknown key; allowed: {', '.join(self._names)}"

    @classmethod
    def warnings(cls, system: Any) -> Iterator[tuple[Place, str]]:
        """``foo-bar`` subtracts two fields, which is probably not intended."""
        # As in config_types.
        from exporter.expressions import calculates_text, compiled, tight_minus  # noqa: PLC0415

        for place, expression in inside({"read": system.read, "discover": system.discover}, Expression):
            at = tight_minus(expression.source)
            if at is not None:
                yield place, f"the minus at character {at + 1} subtracts one field from another; {_MINUS}"
            elif _is_text(place) and calculates_text(compiled(expression.source)):
                yield place, f"calculates a number where a text belongs; {_SLASH}"

    def read(self, job: Job, previous: Status | None) -> Steps:
        """One request."""
        response = yield _request(self._read, job.keys, Turn())
        value = _body("error", self._read, response)
        if self._read.root is not None:
            value = look("root", self._read.root, value)
            if value is None:
                raise invalid(response, "root: the expression found nothing")
        return self._status(job.id, value, self._read.state)

    def discover(self, keys: JsonDiscover, now: float) -> Listing:
        """One request for each page."""
        since = {} if keys.newer_than is None else _since(now - keys.newer_than)
        pages = Pages(keys)
        seen: set[str] = set()
        turn: Turn | None = pages.first()
        while turn is not None:
            request = _request(keys, since, turn)
            response = yield from received(request)
            if response.status in turn.expect:
                return pages.end(response.status)
            body = _body("discover.error", keys, response)
            entries = look("discover.items", keys.items, body)
            if not isinstance(entries, list):
                raise invalid(response, "discover.items: the value is not a list")
            for entry in entries if pages.add(body, entries) else ():
                try:
                    own = self._keys(keys, entry)
                except Failure as failure:
                    pages.tally.skipped[failure.detail] += 1
                    continue
                job_id, _ = self.identify(own)
                # Of several entries with one id the first counts: listings begin with the newest.
                if job_id not in seen:
                    seen.add(job_id)
                    yield self._found(job_id, own, entry, keys.state)
            turn = pages.after(request, response, body)
        return pages.end()

    def _keys(self, keys: JsonDiscover, entry: Any) -> dict[str, str]:
        """The keys of an entry's job.

        Raises:
            Failure: one of them is not valid as a key of a job; its detail is the same for all entries.
        """
        own = {}
        for name in self._names:
            value = look(f"discover.keys.{name}", keys.keys[name], entry)
            if isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_INT:
                value = str(value)
            checked = key(value)
            if checked is None:
                why = "nothing" if value is None else "a value that is not valid as a key"
                raise Failure(Reason.INVALID_RESPONSE, f"discover.keys.{name}: the expression found {why}")
            own[name] = checked
        return own

    def _found(self, job_id: str, own: Mapping[str, str], entry: Any, state: Expression | None) -> Found:
        if state is None:
            given = {name: each for name, each in self._given.items() if name == "name"}
            return Found(own, name=_word(_results(given, entry), "name"))
        try:
            return Found(own, self._status(job_id, entry, state), complete=True)
        except Failure as failure:
            # Another one, since this has the frames of its traceback, and the entry in them.
            return Found(own, complete=True, failure=Failure(failure.reason, failure.detail))

    def _status(self, job_id: str, value: Any, word: Expression) -> Status:
        results = _results({"state": word, **self._given}, value)
        raw = _word(results, "state")
        if not raw:
            why = results.why_left_out("state") or "state: the expression found nothing"
            raise Failure(Reason.INVALID_RESPONSE, why)
        state = self.state_of(raw)
        found = {name: _READERS[name](results, name) for name in self._given}
        items = Items(**{_ITEMS[name]: found.pop(name) for name in _ITEMS if name in found})
        complete = found.pop("items_sending_complete", None)
        status = Status(state, raw, items=items, sending_complete=complete, notes=results.notes, **found)
        if state is State.QUEUED:
            # A queued run has not started: these are of an earlier attempt or run, or of its creation. An
            # attempt is queued after the start of the one before, also where the vendor keeps the first time.
            queued_at = status.queued_at and max(status.queued_at, status.started_at or 0.0)
            status = replace(status, queued_at=queued_at, started_at=None, progress=None)
        is_run = self._read.kind == "run"
        if state in ACTIVE:
            status = replace(status, ended_at=None)
        since = {State.QUEUED: status.queued_at, State.RUNNING: status.started_at}
        return replace(
            status,
            final=is_run and state in self._read.final,
            # Not where `run` finds nothing in one read: the status would be that of another run.
            run=job_id if is_run and self._read.run is None else status.run,
            state_since=status.state_since or since.get(state, status.result_at),
        )


def _is_text(place: Place) -> bool:
    """Whether the expression at a place in ``read`` or ``discover`` should find a text."""
    return place[1] in ("state", "keys", *_TEXTS)


def _request(request: RequestKeys, keys: Values, turn: Turn) -> Request:
    """A request with the keys of a job, each encoded for its place."""
    path = filled(request.path, {name: quote(str(value), safe="") for name, value in keys.items()})
    query = {name: [filled(each, keys) for each in values] for name, values in request.query.items()}
    for place, value in turn.query.items():
        _put_into_query(query, place, value)
    if turn.path:
        path = turn.path
    elif query:
        path = f"{path}?{urlencode(query, doseq=True, quote_via=quote)}"
    body = filled_in(request.body, keys)
    for place, value in turn.body.items():
        body = body or {}
        put(body, place.split("."), value)
    headers = tuple(request.headers.items())
    if body is None:
        return Request(path, headers, turn.expect, request.method)
    if not any(name.lower() == "content-type" for name in request.headers):
        headers = (*headers, _JSON)
    return Request(path, headers, turn.expect, request.method, json.dumps(body).encode())


def _put_into_query(query: dict[str, list[str]], place: str, value: str | int) -> None:
    """Sets a parameter; a place such as ``variables.cursor`` is inside the JSON of a parameter."""
    name, *inside = place.split(".")
    content = parsed(query[name][0]) if inside and name in query else None
    if isinstance(content, dict):
        content = dict(content)
        put(content, inside, value)
        query[name] = [json.dumps(content)]
    else:
        query[place] = [str(value)]


def _since(moment: float) -> Values:
    """A time in three notations for requests, rounded so that these stay the same for a minute."""
    seconds = max(0, int(moment // _SINCE_SECONDS * _SINCE_SECONDS))
    written = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    return {"since": written, "since_s": seconds, "since_ms": seconds * 1000}


def _body(name: str, request: RequestKeys, response: Response) -> Any:
    """The JSON of a response.

    Raises:
        Failure: ``invalid_response``, it is not JSON, or the expression ``error`` finds something.
    """
    body = response.json()
    if request.error is not None and look(name, request.error, body):
        raise invalid(response, f"{name}: the expression found something")
    return body


def _results(expressions: Mapping[str, Expression], value: Any) -> Fields:
    """The results of expressions for a value, each as a field with the key of its expression."""
    found: dict[str, Any] = {}
    results = Fields(found)
    for name, expression in expressions.items():
        try:
            found[name] = expression.find(value)
        except ValueError as error:
            results.note(name, f"its expression {error}")
    return results


def _word(results: Fields, name: str) -> str:
    """A text; numbers and booleans as JSON writes them."""
    return results.read(name, _as_word, "text") or ""


def _as_word(found: Any) -> str | None:
    if isinstance(found, str):
        return text(found)
    return json.dumps(found) if isinstance(found, int | float) and abs(found) < MAX_INT else None


_ITEMS = {"items": "total", **{f"items_{each.name}": each.name for each in fields(Items)[1:]}}
"""The counts by their key of the configuration, with their name in `Items`."""

_TIMES = "queued_at", "started_at", "ended_at", "reported_at", "state_since", "succeeded_at", "failed_at"

_TEXTS = "step", "run", "name", "type", "level"

_READERS: Mapping[str, Callable[[Fields, str], Any]] = {
    **dict.fromkeys(_TEXTS, _word),
    **dict.fromkeys(("run_number", *_ITEMS), Fields.count),
    "progress": Fields.ratio,
    **dict.fromkeys(("items_sending_complete", "cancelable", "enabled"), Fields.flag),
    **dict.fromkeys(_TIMES, Fields.instant),
}
"""How the result of each expression except ``state`` is read."""
