"""What a provider is: which requests it makes and how it reads the responses, without any I/O.

A provider is a generator: it yields a `Request`, is sent the `Response` and returns the `Status`. Two
requests are two yields. Every network error, and every HTTP status that the request does not expect, is
thrown into it as a `Failure` at the yield.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct
from pydantic import Field

from exporter.config_types import Keys, Place, PositiveDuration
from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import Job, Kind, State, Status
from exporter.providers.rate_limit import RateLimit

_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch
"""Text that percent-encoding does not change (RFC 3986 section 2.3)."""

Steps = Generator[Request, Response, Status]
"""One read of one job: yields its requests, returns the status."""

StateOf = Callable[[str], State]
"""`Provider.state_of`, for functions outside of the class."""


class Found(Struct, frozen=True):
    """One job of a listing.

    Args:
        keys: those of ``JobKeys``, as strings.
        status: its status, if the listing has it.
        complete: the listing has all that a read of the job has, so the job itself is not read.
        name: the vendor's name of the job, for listings without a status.
        labels: as those of a status, for listings without one.
        failure: why its entry of the listing cannot be read. The job then counts as failed, and no other.
    """

    keys: Mapping[str, str]
    status: Status | None = None
    complete: bool = False
    name: str = ""
    failure: Failure | None = None
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explained:
    """What one expression of the configuration finds in a response. For people, never for a read.

    Args:
        key: of the configuration, such as ``state`` or ``keys.id``.
        source: the expression.
        value: what it finds; ``None`` for nothing.
        note: what becomes of the value, or why it is not used, in the exporter's own words.
        there: if it finds nothing, the part of the response in which its path ends, or ``None`` for null.
    """

    key: str
    source: str
    value: Any
    note: str = ""
    there: Any = None


Explanation = tuple[str, Sequence[Explained]]
"""A title, such as ``Entry 1``, and the expressions that are evaluated there."""


SHORT_BODY = 32 << 10
"""Bytes of JSON that are parsed and read in 2 ms, whatever they contain."""

Counting = Generator[Request, Response, Mapping[State, int]]
"""One count of a system's jobs: yields its requests, returns the number of jobs by state."""


@dataclass(frozen=True, slots=True)
class ListingEnd:
    """What a listing reports at its end, besides its jobs. All texts are the exporter's own words.

    Args:
        skipped: how many entries name no job, by what is wrong with them.
        incomplete: why jobs are missing, to follow "the listing is incomplete"; empty if none is known to be.
    """

    skipped: Mapping[str, int] = field(default_factory=dict)
    incomplete: str = ""


Listing = Generator[Request | Found, Response | None, ListingEnd | None]
"""One listing, page by page: yields requests and the jobs of each page; a `Found` is sent ``None``.

It may return nothing instead of a `ListingEnd`.
"""


def received(request: Request) -> Generator[Request, Response | None, Response]:
    """The response to a request of a listing, for ``yield from``."""
    response = yield request
    if response is None:
        raise TypeError("a Request was sent no Response")
    return response


def invalid(response: Response, detail: str) -> Failure:
    """The failure of a response that the provider does not understand, to be raised."""
    return Failure(Reason.INVALID_RESPONSE, detail, status=response.status)


_NO_RESPONSE = frozenset({Reason.TIMEOUT, Reason.DNS, Reason.CONNECT, Reason.TLS, Reason.DEADLINE})
NOT_OF_PATH = _NO_RESPONSE | {Reason.RATE_LIMITED, Reason.AUTH, Reason.INTERNAL}
"""Failures that do not depend on the requested path, so that another path would fail as well."""


class DiscoverKeys(Keys):
    """The keys of ``discover:`` that every provider with listings has."""

    newer_than: PositiveDuration | None = Field(
        None, description="leave out runs that ended longer ago; runs that have not ended stay"
    )

    @property
    def reads_unlisted(self) -> bool:
        """Whether active jobs that are no longer listed are read by themselves until they have ended."""
        return False

    @property
    def short_body(self) -> int:
        """As `Provider.short_body`, for the pages of the listing."""
        return SHORT_BODY

    def names_the_jobs_of(self, other: "DiscoverKeys") -> bool:
        """Whether both listings have the same jobs, except for the age of runs and the interval."""
        names = type(self).model_fields.keys() - {"newer_than", "interval"}
        return type(self) is type(other) and all(
            getattr(self, name) == getattr(other, name) for name in names
        )


class Provider(ABC):
    """One kind of system. An instance has the options of one system and no state of any job.

    Args:
        options: the validated part of the configuration, an instance of `Options`.

    Class attributes:
        name: the value of ``provider:``.
        Options: the provider's own keys of a system.
        JobKeys: the provider's own keys of an entry of ``jobs:``.
        Discover: the keys of ``discover:``; ``None`` if the system has no listing.
        states: the meaning of the vendor's words for states, in lower case. Empty if the configuration
            has the words.
        rate_limit_scope: what a rate limit pauses: the one ``job``, or the whole ``system``.
        poll_steps: seconds between reads of one job that the vendor asks for; the first again
            when the progress changes. Empty if it asks for none.
        retry_after_headers: lower-case names of headers with the time to wait, the best first.
        rate_limit_remaining_header: lower-case name of the header with the number of calls left, if it is
            none of the usual ones that `RateLimit` reads.

    Attributes:
        words: ``states``, after the words that the configuration adds; `state_of` reads it.
        short_body: bytes of the largest body after which a step surely takes less than 2 ms; 0 if every step
            can take longer, as with expressions. Steps after a larger body run in a thread, while those of
            other reads may run on the event loop.
    """

    short_body: int = SHORT_BODY

    name: ClassVar[str]
    Options: ClassVar[type[Keys]]
    JobKeys: ClassVar[type[Keys]]
    Discover: ClassVar[type[DiscoverKeys] | None] = None
    states: ClassVar[Mapping[str, State]] = {}
    rate_limit_scope: ClassVar[Literal["job", "system"]] = "job"
    poll_steps: ClassVar[tuple[float, ...]] = ()
    retry_after_headers: ClassVar[tuple[str, ...]] = ("retry-after",)
    rate_limit_remaining_header: ClassVar[str] = ""

    def __init__(self, options: Any) -> None:
        self.options = options
        self.words: Mapping[str, State] = self.states

    def add_words(self, words: Mapping[str, State]) -> None:
        """Adds the words of the key ``states:`` of the system, which override those that are known.

        Args:
            words: the state by the word in lower case.
        """
        # Not an argument of __init__: plug-ins have constructors of their own.
        self.words = {**self.words, **words}

    def state_of(self, word: str) -> State:
        """The state for a word of the vendor, whose case is ignored; unknown for any other word.

        The word must be the one that ``Status.raw`` shows: a user adds to ``states:`` what is shown.
        """
        return self.words.get(word.casefold(), State.UNKNOWN)

    def rate_limit(self) -> RateLimit:
        """How the vendor limits requests; by default as the class attributes declare."""
        return RateLimit(self.rate_limit_scope, self.retry_after_headers, self.rate_limit_remaining_header)

    def key_names(self) -> tuple[str, ...]:
        """The names of a job's own keys, in the order of ``job_id``."""
        return tuple(self.JobKeys.model_fields)

    @abstractmethod
    def identify(self, keys: Mapping[str, str]) -> tuple[str, Kind]:
        """The label ``job_id`` of the job with these keys, and whether it is a slot or a run.

        A class method if it does not depend on the options.
        """

    def vendor_labels(self) -> Iterator[tuple[Place, str]]:
        """The names of labels that statuses have, each with its place in the options."""
        yield from ()

    def check_keys(self, keys: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Errors between the options and the keys of a configured job: each key, and a sentence."""
        del keys
        yield from ()

    def check_discover(self, discover: Any) -> Iterator[tuple[tuple[str, ...], str]]:
        """Errors between the options and ``discover:``: each place in the latter, and a sentence."""
        yield from ()

    @classmethod
    def warnings(cls, system: Any) -> Iterator[tuple[Place, str]]:
        """What is valid in a system and probably not intended: each place in its keys, and a sentence.

        The sentence says what to do, and quotes no value.

        Args:
            system: all its validated keys, such as ``base_url`` and ``discover``.
        """
        del system
        yield from ()

    @abstractmethod
    def read(self, job: Job, previous: Status | None) -> Steps:
        """Reads one job. The first line of this docstring goes into the documentation: the requests.

        Args:
            job: its ``keys`` are those of ``JobKeys``.
            previous: the last status of the job, if there is one.

        Raises:
            Failure: the job cannot be read.
        """

    def discover(self, keys: Any, now: float) -> Listing:
        """Lists the jobs, if ``Discover`` is set. The first line is for the documentation, as in `read`.

        Args:
            keys: the validated ``discover:`` part of the system, an instance of `Discover`.
            now: Unix time, for filters by age.

        Raises:
            Failure: a page cannot be read. The caller drops the jobs of the pages before it.
        """
        raise NotImplementedError(f"{self.name} has no listing")

    def explain(
        self, responses: Mapping[int, Response], listing: Any = None, first: int = 3
    ) -> Iterator[Explanation]:
        """What the expressions of the configuration find; nothing for a provider without expressions.

        Args:
            responses: of one read or listing in their order, by the number of the request.
            listing: the keys of the listing; ``None`` for the read of a job.
            first: how many entries of the listing.
        """
        del responses, listing, first
        yield from ()

    def summary(self) -> Counting | None:
        """Counts all jobs of the system by state; ``None`` if it cannot or the options do not want it.

        Raises:
            Failure: the counts cannot be read.
        """
        return None


def path(*segments: str, **query: str) -> str:
    """A path of these segments, each percent-encoded (a slash too), and its query."""
    if _UNRESERVED("".join((*segments, *query.values()))):  # nearly all, and to encode them takes 5 us
        text = "/" + "/".join(segments)
        return f"{text}?{'&'.join([f'{name}={value}' for name, value in query.items()])}" if query else text
    encoded = "/" + "/".join([quote(segment, safe="") for segment in segments])
    return f"{encoded}?{urlencode(query, quote_via=quote)}" if query else encoded
