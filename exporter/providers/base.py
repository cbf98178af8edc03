"""What every provider is: what to ask and how to read the answer, without any I/O.

A provider is a generator: it yields an `Ask`, is sent the `Answer` and returns the `Status`. Two
requests are two yields. Every fault of the wire and every HTTP status that the ask did not expect
is thrown into it as a `Failure`, where it stands.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Literal
from urllib.parse import quote, urlencode

from exporter.failure import Failure, Reason
from exporter.fields import Keys
from exporter.job import Job, Kind, Status


@dataclass(frozen=True, slots=True)
class Ask:
    """One GET that a provider wants answered. Hashable: equal asks share one prepared request.

    Args:
        path: begins with ``/``, is appended to the system's ``base_url``, segments encoded.
        headers: besides those of the system and its credentials.
        expect: statuses outside 200 to 299 that the provider wants to see itself.
    """

    path: str
    headers: tuple[tuple[str, str], ...] = ()
    expect: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are lower case; the body is unpacked and bounded."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            Failure: ``invalid_response``, it is not JSON (an HTML page, cut off, nested too deep).
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise Failure(Reason.INVALID_RESPONSE, "the answer is not JSON", status=self.status) from None

    def object(self) -> Mapping[str, Any]:
        """The body as a JSON object.

        Raises:
            Failure: ``invalid_response``, it is anything else.
        """
        value = self.json()
        if not isinstance(value, dict):
            raise Failure(Reason.INVALID_RESPONSE, "the answer is not a JSON object", status=self.status)
        return value


Reading = Generator[Ask, Answer, Status]
"""One read of one job: yields what it asks, returns what it read."""


class Provider(ABC):
    """One kind of system. Holds the system's own options and no state of any job.

    Args:
        options: the validated part of the config, an instance of `Options`.

    Class attributes:
        name: the value of ``provider:``.
        Options: the provider's own keys of a system.
        JobKeys: the provider's own keys of an entry of ``jobs:``.
        rate_limit_scope: whose limit a 429 tells of: this ``job``'s, or the whole ``system``'s.
        poll_steps: seconds between reads of one job that the vendor asks for; the first again
            when the progress changes. Empty where it asks for none.
        retry_after_headers: lower-case names of headers that tell how long to wait, best first.
        rate_limit_remaining_header: lower-case name of the header that tells how many calls are left.
    """

    name: ClassVar[str]
    Options: ClassVar[type[Keys]]
    JobKeys: ClassVar[type[Keys]]
    rate_limit_scope: ClassVar[Literal["job", "system"]] = "job"
    poll_steps: ClassVar[tuple[float, ...]] = ()
    retry_after_headers: ClassVar[tuple[str, ...]] = ("retry-after",)
    rate_limit_remaining_header: ClassVar[str] = ""

    def __init__(self, options: Any) -> None:
        self.options = options

    @classmethod
    @abstractmethod
    def identify(cls, keys: Mapping[str, str]) -> tuple[str, Kind]:
        """The label ``job_id`` of the job with these keys, and whether it is a slot or a run."""

    @abstractmethod
    def read(self, job: Job, previous: Status | None) -> Reading:
        """Reads one job.

        Args:
            job: whose ``keys`` are those of ``JobKeys``.
            previous: the last status understood, if there is one.

        Raises:
            Failure: the job could not be read.
        """


@lru_cache(maxsize=1 << 14)
def path(*segments: str, **query: str) -> str:
    """A path of the given segments, each percent-encoded whole (a slash too), and its query."""
    encoded = "/" + "/".join(quote(segment, safe="") for segment in segments)
    return f"{encoded}?{urlencode(query, quote_via=quote)}" if query else encoded
