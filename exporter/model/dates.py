"""Times as servers send them, as Unix time; ``None`` for anything that is not certainly one."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

MAX_LENGTH = 80

_MONTHS = "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"
_CLOCK = (
    r"(?P<hour>\d\d):?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    # An offset may have a name after it (Go, Java). A name alone, such as CST, has several meanings.
    r"(?: ?(?:Z|UTC?|GMT|(?P<offset>[+-](?:0\d|1[0-4])(?::?[0-5]\d)?))(?: [A-Z]{3,5}|\[[\w/+-]+\])?)?"
)
# ISO 8601, in its extended and its basic form, also with a space instead of the T (RFC 3339) or with slashes.
_ISO = rf"(?P<year>\d{{4}})(?P<dash>[-/]?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)(?:T| +){_CLOCK}"
# The form of headers and mails (RFC 9110 section 5.6.7, RFC 5322 section 3.3).
_MAIL = rf"(?:[A-Z]{{3}}, ?)?(?P<day>\d\d?) (?P<month>{'|'.join(_MONTHS)}) (?P<year>\d{{4}}) +{_CLOCK}"
_FORMS = [re.compile(form, re.ASCII | re.IGNORECASE) for form in (_ISO, _MAIL)]
# Milliseconds, as older serializers of .NET write them; the offset does not change the time.
_DOTNET = re.compile(r"/Date\((?P<stamp>-?\d{1,15})(?:[+-]\d{4})?\)/", re.ASCII)
_STAMP = re.compile(r"-?\d{1,19}(?:\.\d{1,16})?", re.ASCII)

_UNITS = 1, 1e3, 1e6, 1e9
_YEAR_2000, _YEAR_2100 = 946_684_800, 4_102_444_800


def http_date(value: str) -> float | None:
    """A header such as ``Date`` (RFC 9110 section 5.6.7)."""
    try:
        return _unix_time(parsedate_to_datetime(value[:64]))
    except (ValueError, OverflowError):
        return None


def moment(value: object) -> float | None:
    """A time of a response: a text such as ``2026-03-01T12:00:00.123456Z``, or a Unix time.

    Texts without an offset are UTC, as servers mean that; digits after the sixth of a second are ignored. A
    date without a time is ``None``: it names no moment.

    A Unix time is a number, or a text of one, in the unit in which it is from 2000 to 2099: seconds, or
    milli-, micro- or nanoseconds. So no other notation (``20260301``, ticks of .NET) is one by chance. 0 and
    less, with which servers write that there is no time, are 0.
    """
    if isinstance(value, str):
        # Most texts. The parser of the standard library is ten times as fast.
        if value[10:11] == "T" and (found := _iso(value)) is not None:
            return found
        text = value.strip()
        if len(text) > MAX_LENGTH:
            return None
        return _stamp(float(text)) if _STAMP.fullmatch(text) else _written(text)
    return _stamp(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _iso(text: str) -> float | None:
    try:
        return _unix_time(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def _stamp(number: float) -> float | None:
    if number <= 0:
        return 0.0
    return next((number / unit for unit in _UNITS if _YEAR_2000 * unit <= number < _YEAR_2100 * unit), None)


def _written(text: str) -> float | None:
    if dotnet := _DOTNET.fullmatch(text):
        return int(dotnet["stamp"]) / 1000
    match = next((match for form in _FORMS if (match := form.fullmatch(text))), None)
    if match is None:
        return None
    month = match["month"].lower()
    second = int(match["second"] or 0)
    leap = second == 60  # it is the first second of the next minute (RFC 3339 appendix D)
    try:
        written = datetime(
            int(match["year"]),
            _MONTHS.index(month) + 1 if month in _MONTHS else int(month),
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            second - leap,
            int(f"{match['fraction'] or '':0<6}"[:6]),
            UTC,
        )
        return (written + timedelta(seconds=leap) - _offset(match["offset"])).timestamp()
    except (ValueError, OverflowError):
        return None


def _offset(written: str | None) -> timedelta:
    if written is None:
        return timedelta()
    digits = written[1:].replace(":", "")
    minutes = 60 * int(digits[:2]) + int(digits[2:] or 0)
    return timedelta(minutes=-minutes if written[0] == "-" else minutes)


def _unix_time(moment: datetime) -> float:
    # Servers that omit the time zone mean UTC.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
