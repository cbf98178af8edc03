"""Any other HTTP API with JSON responses: the configuration has the requests and the meaning of responses.

Expressions are JMESPath with arithmetic (https://jmespath.site/, JEP 16). An expression that finds
nothing is an absent series. So is one that finds a value of a wrong type, which is noted in the status. Only
`state` and `root` must find something, else the job cannot be read. Nor can it be read if an expression needs
more steps than `exporter.expressions.budget` allows.
"""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from msgspec.structs import replace
from pydantic import ConfigDict, Field

from exporter.config_types import Expression, Keys, KeyValue, Place
from exporter.expressions.budget import LISTING_SECONDS, Budget
from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import ACTIVE, Items, Job, Kind, State, Status
from exporter.providers.base import (
    DiscoverKeys,
    Explained,
    Explanation,
    Found,
    Listing,
    ListingEnd,
    Provider,
    Steps,
    invalid,
)
from exporter.providers.fields import Fields
from exporter.providers.json.discover_keys import JsonDiscover, JsonParents
from exporter.providers.json.doubts import doubts
from exporter.providers.json.explained import Replay, explained, explained_keys, replayed, why
from exporter.providers.json.keys import RateLimitKeys, ReadKeys, RequestKeys, can_take_long
from exporter.providers.json.listing import body_of, keys_of, listed, look
from exporter.providers.json.results import ITEMS, READERS, results_of, word
from exporter.providers.json.templates import (
    UNSAFE,
    Turn,
    Values,
    as_number,
    numbers,
    request_of,
    since_of,
    unsafe_keys,
)
from exporter.providers.rate_limit import RateLimit

# Each takes at least one of the requests that a listing may make.
MAX_PARENTS = 499


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
        self._requests = [options.read, *options.read.also.values()]
        templates = [[each.body, *map(list, each.query.values())] for each in self._requests]
        self._numbers = frozenset(numbers(templates))
        self.words = options.read.words()
        given = {name: getattr(options.read, name) for name in READERS}
        self._given = {name: expression for name, expression in given.items() if expression is not None}
        self._named = {name: each for name, each in self._given.items() if name == "name"}
        self._entry_state = _state_of_entries(options.read)
        self._labels = {f"labels_from.{name}": each for name, each in options.read.labels_from.items()}
        if can_take_long(options.read):
            self.short_body = 0

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

    def vendor_labels(self) -> Iterator[tuple[Place, str]]:
        """Those of ``labels_from``."""
        for name in self._read.labels_from:
            yield ("read", "labels_from", name), name

    def check_keys(self, keys: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """A key that the body has as a number must be one, and no keys may make a segment of dots."""
        for request in self._requests:
            for name in unsafe_keys(request, keys):
                yield name, "makes a segment . or .. of the path of the request"
        for name in self._numbers:
            try:
                as_number(name, keys[name])
            except Failure:
                yield name, f"is not a number; read has it as {{{name}:number}}"

    def check_discover(self, discover: JsonDiscover) -> Iterator[tuple[tuple[str, ...], str]]:
        """A listing must have exactly the keys that a read needs."""
        parents = {} if discover.parents is None else discover.parents.keys
        found = {*discover.keys, *parents}
        for name in parents:
            if name not in self._names:
                yield ("parents", "keys", name), f"unknown key; allowed: {', '.join(self._names)}"
        for name in self._names:
            if name not in found:
                yield ("keys", name), "is missing: read uses it in braces"
        for name in discover.keys:
            if name not in self._names:
                yield ("keys", name), f"unknown key; allowed: {', '.join(self._names)}"

    @classmethod
    def warnings(cls, system: Any) -> Iterator[tuple[Place, str]]:
        """Expressions that are valid, but find something else than what is probably intended."""
        yield from doubts(system)

    def read(self, job: Job, previous: Status | None) -> Steps:
        """One request, and one for each entry of `also`."""
        budget = Budget()
        value, notes = yield from self._value(job.keys, budget)
        if value is None and self._read.missing is not None:
            return Status(self._read.missing)
        status = self._status(job.id, value, self._read.state, budget)
        return replace(status, notes=(*notes, *status.notes)) if notes else status

    def _value(
        self, keys: Values, budget: Budget
    ) -> Generator[Request, Response, tuple[Any, tuple[str, ...]]]:
        """What the expressions of a job start in, and a note for each response that is missing in it."""
        read = self._read
        response = yield request_of(read, keys, Turn())
        value = None
        if read.missing is None or response.body.strip():
            value = body_of("error", read, response, budget)
        if read.root is not None:
            value = look("root", read.root, value, budget)
        if value is None and read.missing is not None:
            return None, ()
        if value is None and read.root is not None:
            raise invalid(response, "root: the expression found nothing")
        return (yield from self._with_others(keys, value, response, budget)) if read.also else (value, ())

    def _with_others(
        self, keys: Values, value: Any, response: Response, budget: Budget
    ) -> Generator[Request, Response, tuple[dict[str, Any], tuple[str, ...]]]:
        """The value with the JSON of the further responses, and a note for each that is not available."""
        if not isinstance(value, dict):
            raise invalid(response, "the value is not an object, to which also could add responses")
        together, notes = dict(value), []
        for name, request in self._read.also.items():
            place = f"also.{name}"
            together.pop(name, None)
            try:
                further = yield request_of(request, keys, Turn())
                together[name] = body_of(f"{place}.error", request, further, budget)
            except Failure as failure:
                # The others may succeed in the next read.
                if failure.reason not in (Reason.NOT_FOUND, Reason.FORBIDDEN):
                    raise
                notes.append(f"{place}: {failure.reason}")
        return together, tuple(notes)

    def explain(
        self, responses: Mapping[int, Response], listing: Any = None, first: int = 3
    ) -> Iterator[Explanation]:
        """What each expression of the read finds, or of the listing and of its first entries."""
        if listing is None:
            yield from self._explain_read(tuple(responses.values()))
            return
        budget = Budget()
        replay = Replay(responses, budget)
        if listing.parents is not None:
            left = first
            for page, entries in replay.pages("discover.parents", listing.parents):
                yield page
                for entry in entries[:left]:
                    yield f"Parent {first - left + 1}", explained_keys(listing.parents.keys, entry, budget)
                    left -= 1
        number = 0
        while replay:
            for page, entries in replay.pages("discover", listing):
                yield page
                for entry in entries[: first - number]:
                    number += 1
                    state, tried = self._state_in(listing), listing.state is None
                    found = self._explain_job(entry, state, budget, tried=tried)
                    yield f"Entry {number}", [*explained_keys(listing.keys, entry, budget), *found]

    def _explain_read(self, responses: Sequence[Response]) -> Iterator[Explanation]:
        budget, first = Budget(), {"error": self._read.error, "root": self._read.root}
        for response in responses[:1]:
            yield "Response", explained(first, response, {}, budget)
        found = replayed(self._value({}, budget), responses)
        if found is not None and found[0] is not None:
            yield "Job", self._explain_job(found[0], self._read.state, budget)

    def _explain_job(
        self, value: Any, state: Expression | None, budget: Budget, *, tried: bool = False
    ) -> list[Explained]:
        expressions: dict[str, Expression] = {"state": state, **self._given} if state else self._named
        notes: dict[str, str] = {}
        if state is not None:
            try:
                status = self._status("", value, state, budget)
            except Failure as failure:
                notes["state"] = why(failure)
                if tried:
                    notes["state"] = "so the job is read by itself"
                    expressions = {"state": state, **self._named}
            else:
                notes.update(
                    (place, text) for place, _, text in (each.partition(": ") for each in status.notes)
                )
                notes["state"] = f"→ {status.state}"
        return explained({**expressions, **self._labels}, value, notes, budget)

    def discover(self, keys: JsonDiscover, now: float) -> Listing:
        """One request for each page; with `parents`, for each page of them and of the jobs of each."""
        since = {} if keys.newer_than is None else since_of(now - keys.newer_than)
        seen: set[str] = set()
        budget = Budget(seconds=LISTING_SECONDS)
        if keys.parents is None:
            return (yield from self._jobs(keys, since, {}, seen, budget))
        parents: dict[tuple[str, ...], dict[str, str]] = {}
        add = partial(_add, parents, keys, keys.parents, budget)
        ends = [(yield from listed("discover.parents", keys.parents, since, add, budget))]
        for parent in parents.values():
            try:
                ends.append((yield from self._jobs(keys, {**since, **parent}, parent, seen, budget)))
            except Failure as failure:
                # One that was deleted since, or whose jobs are hidden, does not hide those of the others.
                if failure.reason not in (Reason.NOT_FOUND, Reason.FORBIDDEN):
                    raise
                ends.append(ListingEnd(incomplete=f"the jobs of a parent cannot be listed: {failure.reason}"))
        skipped = sum((Counter(end.skipped) for end in ends), Counter[str]())
        return ListingEnd(skipped, next((end.incomplete for end in ends if end.incomplete), ""))

    def _jobs(
        self,
        keys: JsonDiscover,
        values: Values,
        parent: Mapping[str, str],
        seen: set[str],
        budget: Budget,
    ) -> Generator[Request | Found, Response | None, ListingEnd]:
        """The jobs of one listing.

        Args:
            values: of the names in braces.
            parent: keys of each job that are not in its entry.
            seen: the ids of jobs that were found before; those of this listing are added.
            budget: of this listing, and those of the other parents.
        """
        state = self._state_in(keys)

        def find(entry: Any) -> Iterator[Found]:
            own = {**parent, **keys_of("discover.keys", keys.keys, entry, budget)}
            _check_safe("discover.keys", self._requests, own)
            job_id, _ = self.identify(own)
            # Of several entries with one id the first counts: listings begin with the newest.
            if job_id not in seen:
                seen.add(job_id)
                yield self._found(job_id, own, entry, state, keys, budget)

        return (yield from listed("discover", keys, values, find, budget))

    def _state_in(self, keys: JsonDiscover) -> Expression | None:
        """The expression for the state in the entries of a listing."""
        return None if keys.names_only else keys.state or self._entry_state

    def _found(
        self,
        job_id: str,
        own: Mapping[str, str],
        entry: Any,
        state: Expression | None,
        keys: JsonDiscover,
        budget: Budget,
    ) -> Found:
        if state is not None:
            try:
                status = self._status(job_id, entry, state, budget)
                return Found(own, status, complete=not (keys.read_active and status.state in ACTIVE))
            except Failure as failure:
                if failure.reason is Reason.TOO_LARGE:
                    raise
                if keys.state is not None:
                    # Another one, since this has the frames of its traceback, and the entry in them.
                    return Found(own, complete=True, failure=Failure(failure.reason, failure.detail))
        results = results_of({**self._named, **self._labels}, entry, budget)
        return Found(own, name=word(results, "name"), labels=self._labels_in(results))

    def _labels_in(self, results: Fields) -> dict[str, str]:
        found = {place.partition(".")[2]: word(results, place) for place in self._labels}
        return {name: value for name, value in found.items() if value}

    def _status(self, job_id: str, value: Any, expression: Expression, budget: Budget) -> Status:
        results = results_of({"state": expression, **self._given, **self._labels}, value, budget)
        raw = word(results, "state")
        if not raw and self._read.missing is not None and not results.why_left_out("state"):
            return Status(self._read.missing, notes=results.notes)
        if not raw:
            why = results.why_left_out("state") or "state: the expression found nothing"
            raise Failure(Reason.INVALID_RESPONSE, why)
        state = self.state_of(raw)
        found = {name: READERS[name](results, name) for name in self._given}
        items = Items(**{ITEMS[name]: found.pop(name) for name in ITEMS if name in found})
        found["sending_complete"] = found.pop("items_sending_complete", None)
        labels = self._labels_in(results)
        status = Status(state, raw, items=items, labels=labels, notes=results.notes, **found)
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


def _state_of_entries(read: ReadKeys) -> Expression | None:
    """The expression of ``read`` for the state, if it can be tried in the entries of a listing.

    Not that of a slot whose run is inside of it: its entries are no runs. Nor where each entry would have a
    state: with ``missing``, or if it finds something in an empty object, such as ``status || 'never'``.
    """
    if read.missing is not None or (read.kind == "slot" and read.root is not None):
        return None
    try:
        return read.state if read.state.find({}) is None else None
    except ValueError:
        return None


def _check_safe(place: str, requests: Iterable[RequestKeys], keys: Mapping[str, str]) -> None:
    """Fails for an entry whose keys would change the path of a request."""
    if any(name for request in requests for name in unsafe_keys(request, keys)):
        raise Failure(Reason.INVALID_RESPONSE, f"{place}: {UNSAFE}")


def _add(
    parents: dict[tuple[str, ...], dict[str, str]],
    jobs: JsonDiscover,
    keys: JsonParents,
    budget: Budget,
    entry: Any,
) -> Iterator[Found]:
    own = keys_of("discover.parents.keys", keys.keys, entry, budget)
    _check_safe("discover.parents.keys", [jobs], own)
    parents.setdefault(tuple(own.values()), own)
    if len(parents) > MAX_PARENTS:
        raise Failure(Reason.TOO_LARGE, f"discover.parents: more than {MAX_PARENTS} parents")
    return iter(())
