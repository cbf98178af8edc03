"""Moments as endpoints write them, read without ever failing."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MAX_LENGTH = 64


def http_date(value: str) -> float | None:
    """Unix time of a header such as ``Date`` (RFC 9110 section 5.6.7); ``None`` if it is none."""
    try:
        return _unix_time(parsedate_to_datetime(value[:_MAX_LENGTH]))
    except (ValueError, OverflowError):
        return None


def iso_date(value: object) -> float | None:
    """Unix time of a text such as ``2026-03-01T12:00:00.000000Z`` (RFC 3339); ``None`` if it is none."""
    if not isinstance(value, str):
        return None
    try:
        return _unix_time(datetime.fromisoformat(value[:_MAX_LENGTH]))
    except (ValueError, OverflowError):
        return None


def _unix_time(moment: datetime) -> float:
    # Without a zone it is UTC, which is what every endpoint means that leaves it out.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
