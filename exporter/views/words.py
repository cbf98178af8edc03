"""Words and signs for people."""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise

from exporter.model.job import State
from exporter.views.report import UNREAD, UNREADABLE

SHAPES: Mapping[str, str] = {
    State.FAILED: "✖",
    UNREADABLE: "⚠",
    State.STOPPED: "■",
    State.UNKNOWN: "?",
    State.SUCCEEDED_WITH_ERRORS: "◩",
    State.CANCELING: "◌",
    State.RUNNING: "▶",
    State.QUEUED: "◷",
    State.SUCCEEDED: "✔",
    State.CANCELED: "⊘",
    State.IDLE: "○",
    UNREAD: "·",
}
"""A sign for each state, so that color is never all that differs."""

LABELS: Mapping[str, str] = {state: state.replace("_", " ") for state in SHAPES} | {UNREAD: "not read yet"}
"""Each state in words."""

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def duration(seconds: float) -> str:
    """``45 s``, ``3 min 20 s``, ``2 h 5 min``, ``12 d``: at most two units; nothing is below 0 s."""
    whole = max(0, round(seconds))
    for (unit, size), (smaller, part) in pairwise(_UNITS):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def iso(at: float) -> str:
    """``2026-11-29T14:32:19Z``; empty for a time that no calendar has."""
    try:
        written = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return ""
    return written.replace("+00:00", "Z")


def utc(at: float) -> str:
    """``2026-11-29 14:32:19 UTC``."""
    return iso(at).replace("T", " ").replace("Z", " UTC") or repr(at)


def ago(then: float | None, now: float) -> str:
    """``3 min 20 s ago``; ``never`` without a time."""
    return "never" if then is None else f"{duration(now - then)} ago"


def percent(ratio: float) -> str:
    """``42%``: 100% only if nothing is left, 0% only if nothing is done."""
    whole = round(ratio * 100)
    if 0 < ratio < 1:
        whole = min(max(whole, 1), 99)
    return f"{whole}%"
