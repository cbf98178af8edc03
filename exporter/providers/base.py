"""What every provider is: what to ask and how to read the answer, without any I/O.

A provider is a generator: it yields an `Request`, is sent the `Answer` and returns the `Status`. Two
requests are two yields. Every fault of the wire and every HTTP status that the ask did not expect
is thrown into it as a `Failure`, where it stands.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal
from urllib.parse import quote, urlencode

from pydantic import Field

from exporter.config_types import Keys, Place, PositiveDuration
from exporter.model.http import Request, Response
from exporter.model.job import Job, Kind, State, Status

Steps = Generator[Request, Response, Status]
"""One read of one job: yields what it asks, returns what it read."""


@dataclass(frozen=True, slots=True)
class Found:
    """One job that a listing names.

    Args:
        keys: those of ``JobKeys``, as strings.
        status: how it stands, where the listing tells; it is sent back `None` for an answer.
        complete: the listing told everything, so that no read of the job itself is due.
        name: the vendor's name for the job, where no status carries one.
    """

    keys: Mapping[str, str]
    status: Status | None = None
    complete: bool = False
    name: str = ""


Counting = Generator[Request, Response, Mapping[State, int]]
"""One count of a system's jobs: yields what it asks, returns how many jobs are in which state."""

Listing = Generator[Request | Found, Response | None, None]
"""One listing, page by page: yields what it asks and each job it finds."""


def answered(ask: Request) -> Generator[Request, Response | None, Response]:
    """One page of a listing, for ``yield from``: there only what is found is sent no answer."""
    answer = yield ask
    if answer is None:
        raise TypeError("an Request was not answered")
    return answer


class DiscoverKeys(Keys):
    """The keys of ``discover:`` that every provider with listings has."""

    newer_than: PositiveDuration | None = Field(
        None, description="leave out runs that ended longer ago; those that have not ended always stay"
    )

    def names_the_jobs_of(self, other: "DiscoverKeys") -> bool:
        """Whether both listings name the same jobs, but for the age of those and the pace of these."""
        names = type(self).model_fields.keys() - {"newer_than", "interval"}
        return type(self) is type(other) and all(
            getattr(self, name) == getattr(other, name) for name in names
        )


class Provider(ABC):
    """One kind of system. Holds the system's own options and no state of any job.

    Args:
        options: the validated part of the config, an instance of `Options`.

    Class attributes:
        name: the value of ``provider:``.
        Options: the provider's own keys of a system.
        JobKeys: the provider's own keys of an entry of ``jobs:``.
        Discover: the keys of ``discover:``; ``None`` where the system has no listing.
        states: what the vendor's words for states mean, in lower case; any other word is unknown. Empty
            where the configuration says it.
        rate_limit_scope: whose limit a 429 tells of: this ``job``'s, or the whole ``system``'s.
        poll_steps: seconds between reads of one job that the vendor asks for; the first again
            when the progress changes. Empty where it asks for none.
        retry_after_headers: lower-case names of headers that tell how long to wait, best first.
        rate_limit_remaining_header: lower-case name of the header that tells how many calls are left.
    """

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

    def key_names(self) -> tuple[str, ...]:
        """The names of a job's own keys, in the order that makes up ``job_id``."""
        return tuple(self.JobKeys.model_fields)

    @abstractmethod
    def identify(self, keys: Mapping[str, str]) -> tuple[str, Kind]:
        """The label ``job_id`` of the job with these keys, and whether it is a slot or a run.

        A class method where the options have no say in it.
        """

    def check_discover(self, discover: Any) -> Iterator[tuple[tuple[str, ...], str]]:
        """What is wrong between the options and ``discover:``: each place in the latter, and a sentence."""
        yield from ()

    @classmethod
    def warnings(cls, system: Any) -> Iterator[tuple[Place, str]]:
        """What is allowed in a system and surely not meant: each place in its keys, and a sentence.

        The sentence says what to do, and quotes no value.

        Args:
            system: all its validated keys, such as ``base_url`` and ``discover``.
        """
        del system
        yield from ()

    @abstractmethod
    def read(self, job: Job, previous: Status | None) -> Steps:
        """Reads one job.

        Args:
            job: whose ``keys`` are those of ``JobKeys``.
            previous: the last status understood, if there is one.

        Raises:
            Failure: the job could not be read.
        """

    def discover(self, keys: Any, now: float) -> Listing:
        """Lists the jobs there are; only where ``Discover`` is set.

        Args:
            keys: the validated ``discover:`` part of the system, an instance of `Discover`.
            now: Unix time, for filters by age.

        Raises:
            Failure: a page could not be had or understood; what was found so far counts for nothing.
        """
        raise NotImplementedError(f"{self.name} has no listing")

    def summary(self) -> Counting | None:
        """Counts all jobs of the system by state; ``None`` where it cannot or the options do not want it.

        Raises:
            Failure: the counts could not be had or understood.
        """
        return None


@lru_cache(maxsize=1 << 14)
def path(*segments: str, **query: str) -> str:
    """A path of the given segments, each percent-encoded whole (a slash too), and its query."""
    encoded = "/" + "/".join(quote(segment, safe="") for segment in segments)
    return f"{encoded}?{urlencode(query, quote_via=quote)}" if query else encoded
