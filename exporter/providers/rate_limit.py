"""What the headers of a response show of the vendor's rate limit.

There is no standard. These are read, whatever the vendor's prefix or suffix of the name:

- ``Retry-After`` (RFC 9110 section 10.2.3), in milliseconds if the name ends with ``-ms`` (Azure);
- ``X-RateLimit-Remaining`` and ``-Reset`` (a Unix time: GitHub, Azure DevOps), ``X-Rate-Limit-…`` (Okta,
  Zendesk), ``X-RateLimit-Remaining-Minute`` (Kong);
- ``RateLimit-Remaining`` and ``-Reset``: in seconds by draft-ietf-httpapi-ratelimit-headers up to 06, a Unix
  time at GitLab;
- ``RateLimit: limit=100, remaining=0, reset=30`` of draft 07, and ``RateLimit: "default";r=0;t=30`` since
  draft 08, also after a prefix (``Beta-RateLimit``: Jira);
- ``X-RateLimit-Delay``, in seconds (Airbrake).

A header that is sent twice, as by a gateway and by the application behind it, has several values.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple

from exporter.model.dates import http_date, moment
from exporter.providers.values import count, number

UNKNOWN_WAIT = 60.0
"""Seconds to wait if no call is left and no valid time is given: GitHub asks clients to wait that long."""

MAX_HEADERS = 30
MAX_VALUES = 10
"""Headers about a rate limit, and values in one, that are read. Real responses have up to ten. Each value
takes microseconds on the event loop, and headers of 64 KiB can contain 30,000 of them.
"""

# A number below it is in seconds. From here on it may be a Unix time: of 2001 or later.
_FIRST_MOMENT = 1e9
# Confluence demands to wait for 9223372036854775807 seconds where it allows no request at all.
_DIGITS = re.compile(r"\d{1,100}", re.ASCII)
# GitHub: "You have exceeded a secondary rate limit", without any header. Google: "rateLimitExceeded".
_WORDS = re.compile(rb"rate[ _-]?limit", re.IGNORECASE)
_SEARCHED = 4096
_PARAMETER = re.compile(r"(?:^|[;\s])(r|remaining|t|reset)=(\d{1,16})(?![\w.])")


class Window(NamedTuple):
    """One window of a rate limit: how many calls are left, and in how many seconds it ends, if known."""

    left: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How one vendor limits requests.

    Args:
        scope: what a rate limit pauses: the one ``job``, or the whole ``system``.
        retry_after: lower-case names of headers with the time to wait, the best first.
        remaining: lower-case name of a header with the number of calls left, beside the usual ones.
        reset: the same with the end of the window.
    """

    scope: Literal["job", "system"] = "job"
    retry_after: tuple[str, ...] = ("retry-after",)
    remaining: str = ""
    reset: str = ""

    def windows(self, headers: Mapping[str, str], now: float) -> Iterator[Window]:
        """The windows of which a response reports something.

        Args:
            headers: by lower-case name.
            now: Unix time.
        """
        about = (name for name in headers if "limit" in name or name in (self.remaining, self.reset))
        for name in islice(about, MAX_HEADERS):
            if name.endswith("ratelimit"):
                yield from map(_policy, _values(headers[name]))
            elif name == self.remaining or (name != self.reset and "remaining" in name):
                # Docker Hub appends the length of the window: 76;w=21600.
                yield from (Window(count(each.partition(";")[0]), None) for each in _values(headers[name]))
            elif name == self.reset or "reset" in name or "delay" in name:
                yield from (Window(None, seconds) for seconds in _times(headers[name], now))

    def calls_left(self, headers: Mapping[str, str]) -> int | None:
        """How many calls are left in the current window, the least of several; ``None``: not known."""
        return _least(self.windows(headers, 0.0))

    def forbids(self, headers: Mapping[str, str], body: bytes = b"") -> bool:
        """Whether a 403 is a rate limit: no call is left, it has a time to wait, or its text names one.

        Jira and Confluence have ``Retry-After: 0`` in every response while calls are left.
        """
        if self.calls_left(headers) == 0 or self._retry_after(headers, 0.0):
            return True
        return _WORDS.search(body, 0, _SEARCHED) is not None

    def wait(self, status: int, headers: Mapping[str, str], now: float) -> float | None:
        """How many seconds to wait after a response; ``None``: no time is demanded, or it is not known.

        After a success only ``Retry-After`` is one. After a 429, a 503 or a 403 that is a rate limit, the end
        of a window is one as well.

        Args:
            status: of the response.
            headers: by lower-case name.
            now: Unix time; the ``Date`` of the response replaces it, in case the clocks differ.
        """
        now = http_date(headers.get("date", "")) or now
        seconds = self._retry_after(headers, now)
        if seconds is not None or status < 400:
            return seconds
        windows = [*self.windows(headers, now)]
        ends = [(left, end) for left, end in windows if end is not None and end >= 0]
        left = _least(windows)
        if spent := [end for of_this, end in ends if of_this == 0]:
            return max(spent)
        if ends and not left:
            return min(end for _, end in ends)
        # Many vendors send the end of the window with every response. While calls are left, a 503 is no
        # reason to wait for it. Others are of another limit (GitHub's secondary one) that may end earlier.
        if ends and status != 503:
            return min(UNKNOWN_WAIT, *(end for _, end in ends))
        return UNKNOWN_WAIT if left == 0 or status == 403 else None

    def _retry_after(self, headers: Mapping[str, str], now: float) -> float | None:
        others = islice((name for name in headers if "retry-after" in name), MAX_HEADERS)
        for name in (*self.retry_after, *others):
            value = headers.get(name, "").strip()
            seconds = max(_times(value, now), default=None)
            if seconds is None and _DIGITS.fullmatch(value):
                seconds = float(value)
            if seconds is not None:
                return max(0.0, seconds / 1000 if name.endswith("-ms") else seconds)
        return None


USUAL = RateLimit()


def _least(windows: Iterable[Window]) -> int | None:
    return min((window.left for window in windows if window.left is not None), default=None)


def _values(header: str) -> list[str]:
    return header.split(",", MAX_VALUES)[:MAX_VALUES]


def _policy(text: str) -> Window:
    """One member of the header ``RateLimit``."""
    found = dict(_PARAMETER.findall(text))
    return Window(count(found.get("r", found.get("remaining"))), number(found.get("t", found.get("reset"))))


def _times(value: str, now: float) -> Iterator[float]:
    """The seconds from now of each value of a header. A date has a comma as well; its parts are tried too."""
    for each in {value, *_values(value)}:
        if (seconds := _seconds(each, now)) is not None:
            yield seconds


def _seconds(value: str, now: float) -> float | None:
    """The seconds from now of a header: a number of seconds, a Unix time, or a date in either notation."""
    seconds = number(value)
    if seconds is None:
        at = moment(value) or http_date(value)
    elif seconds < _FIRST_MOMENT:
        return seconds if seconds >= 0 else None
    else:
        at = moment(value)
    return None if at is None else at - now
