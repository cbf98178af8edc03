"""Dates as servers send them, as Unix time; ``None`` for anything that is not one."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def http_date(value: str) -> float | None:
    """A header such as ``Date`` (RFC 9110 section 5.6.7)."""
    try:
        return _unix_time(parsedate_to_datetime(value[:64]))
    except (ValueError, OverflowError):
        return None


def iso_date(value: object) -> float | None:
    """A text such as ``2026-03-01T12:00:00.123456Z`` (ISO 8601); digits after the sixth are ignored."""
    if not isinstance(value, str) or not 10 <= len(value) <= 40:
        return None
    try:
        return _unix_time(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        return None


def _unix_time(moment: datetime) -> float:
    # Servers that omit the time zone mean UTC.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
