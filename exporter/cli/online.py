"""What `try_system` found, as lines for people and as values for programs."""

import textwrap
from collections.abc import Iterator
from typing import Any

from exporter.collector.online import Attempt, Online
from exporter.config import SystemConfig
from exporter.guides import GUIDES, Trouble
from exporter.model.failure import Reason
from exporter.model.text import printable
from exporter.runtime.logging import counted
from exporter.views import problem

WIDTH = 80
_NO_SERVER = (
    "No server responded at the address under auth:. Check it, proxy_url, the firewall and the resolver of "
    "the machine."
)
_OK, _FAILED = "ok      ", "failed  "


def lines(online: Online, system: SystemConfig, indent: str = "") -> Iterator[str]:
    """One line for each read; under one that failed, what to do and who can do it."""
    yield f"{indent}{online.plan.name}: {system.provider.name} at {online.plan.upstream.place['host']}"
    below, said = f"{indent}{' ' * 10}", ""
    for attempt in online.attempts:
        mark = _FAILED if attempt.failure is not None else _OK
        yield from _wrapped(f"{indent}  {mark}{_result(attempt)}", below)
        advice = next_step(attempt, system)
        if advice and advice != said:
            yield from _wrapped(f"{below}{advice}", below)
        said = advice or said


def values(online: Online, system: SystemConfig) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "system": online.plan.name,
        "works": online.works,
        "attempts": [
            {
                "what": attempt.what,
                "jobs": None if attempt.found is None else len(attempt.found),
                "state": None if attempt.status is None else attempt.status.state,
                "reason": attempt.reason,
                "detail": attempt.failure.detail if attempt.failure is not None else None,
                "next_step": next_step(attempt, system) or None,
            }
            for attempt in online.attempts
        ],
    }


def next_step(attempt: Attempt, system: SystemConfig) -> str:
    """What to do about a read that failed or found nothing, and who can do it; else empty."""
    if attempt.failure is None and attempt.found != {}:
        return ""
    guide = GUIDES.get(system.provider.name)
    reach = system.reach
    trouble = Trouble(attempt.reason, reach.base_url, reach.auth, attempt.scopes, attempt.expired)
    steps = [guide.advice(trouble)] if guide is not None else []
    if attempt.failure is not None and attempt.failure.cause is not None:
        # The vendor has not seen the credential yet, so there is nothing to say about it.
        steps = [_NO_SERVER]
    if attempt.scopes is not None and attempt.reason in (Reason.UNAUTHORIZED, Reason.FORBIDDEN):
        steps.append(f"Scopes of the token: {', '.join(sorted(attempt.scopes)) or 'none'}.")
    if attempt.reason is not None:
        # The vendor's own advice is about credentials and rights; this is about everything else.
        if not any(steps):
            steps.append(problem(attempt.reason).next_step)
        page = f"docs/on-call/reasons.md#{attempt.reason}"
        steps.append(f"See {guide.page} and {page}." if guide is not None else f"See {page}.")
    return " ".join(filter(None, steps))


def _result(attempt: Attempt) -> str:
    if attempt.failure is not None:
        return f"{attempt.what}: {attempt.failure}"
    if attempt.status is not None:
        return f"{attempt.what}: {attempt.status.state}"
    entries = "1 entry" if attempt.skipped == 1 else f"{attempt.skipped} entries"
    skipped = f", {entries} skipped" if attempt.skipped else ""
    return f"{attempt.what}: {counted(len(attempt.found or ()), 'job')} found{skipped}"


def _wrapped(line: str, indent: str) -> list[str]:
    return textwrap.wrap(
        printable(line), WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
