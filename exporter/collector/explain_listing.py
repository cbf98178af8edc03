"""The listings of one system, read once and explained for people."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.collector.choice import chosen
from exporter.collector.explain_expressions import expression_lines, wrapped
from exporter.collector.plan import Plan
from exporter.collector.query import QueryError, check_system
from exporter.model.text import printable
from exporter.providers.base import DiscoverKeys, Found
from exporter.runtime.logging import counted
from exporter.upstream.masks import Masks
from exporter.upstream.reading import Listed
from exporter.upstream.recording import Recorder
from exporter.upstream.trace import Exchange

MAX_LINES = 100
MAX_LINE = 200


@dataclass(frozen=True, slots=True)
class ReadListing:
    """One listing that was read.

    Args:
        plan: of its system.
        recorder: has its requests and responses.
    """

    plan: Plan
    keys: DiscoverKeys
    listed: Listed
    recorder: Recorder


async def read_listings(system: str, plans: Mapping[str, Plan]) -> list[ReadListing]:
    """Reads each listing of a system, up to the first that fails.

    Raises:
        QueryError: the system is not configured, or has no listing.
    """
    check_system(system, plans)
    plan = plans[system]
    if not plan.discover:
        raise QueryError([f"{system}: has no listing; add discover: to it"])
    done: list[ReadListing] = []
    for keys in plan.discover:
        recorder = Recorder()
        listed = await plan.upstream.list_jobs([keys], recorder)
        done.append(ReadListing(plan, keys, listed, recorder))
        if listed.failure is not None:
            break
    return done


def explain_listings(listings: Sequence[ReadListing], masks: Masks, *, first: int, bodies: bool) -> str:
    """Requests, responses, expressions and the number of jobs, without secrets.

    Args:
        masks: the secrets of the configuration; gets those that were sent.
        first: how many entries are shown.
        bodies: whether bodies are shown.
    """
    lines: list[str] = []
    for number, each in enumerate(listings, 1):
        each.recorder.add_issued(masks)
        plan = each.plan
        of = f", listing {number} of {len(plan.discover)}" if len(plan.discover) > 1 else ""
        lines += [f"System  {plan.name} ({plan.upstream.provider.name}){of}", ""]
        lines += _requests(each.recorder, masks, bodies=bodies)
        explained = plan.upstream.provider.explain(each.recorder.responses(), each.keys, first)
        lines += expression_lines(explained, masks)
        lines += [*_result(each.listed), ""]
    lines += _watched(listings)
    return "".join(f"{printable(line)}\n" for line in lines)


def _requests(recorder: Recorder, masks: Masks, *, bodies: bool) -> Iterator[str]:
    if not recorder.exchanges:
        yield "No request for the listing was sent."
        yield "Requests for tokens and logins are not shown."
    recorded = recorder.recorded(masks, frozenset()) if bodies else None
    for number, exchange in enumerate(recorder.exchanges):
        sent: dict[str, Any] = recorded[number] if recorded else {}
        yield f"Request {number + 1}"
        yield f"  {exchange.method} {masks.text(exchange.url)}"
        yield from _body(sent.get("request", {}))
        yield f"  → {_response(exchange)}"
        yield from _body(sent.get("response", {}))
    if recorder.more:
        yield f"… and {recorder.more} more requests."
    yield ""


def _response(exchange: Exchange) -> str:
    if exchange.timing is None:
        return f"no response: {exchange.failure or 'the read ended before'}"
    seconds = exchange.timing.total
    return f"HTTP status {exchange.status}, {exchange.response_bytes} bytes, {seconds * 1000:.1f} ms"


def _body(recorded: Mapping[str, Any]) -> Iterator[str]:
    """The beginning of a masked body."""
    if "json" in recorded:
        text = json.dumps(recorded["json"], indent=2, ensure_ascii=False)
    elif "left_out" in recorded:
        text = f"({recorded['left_out']} bytes that are not shown: too many, or not text)"
    else:
        text = recorded.get("text", "")
    lines = text.splitlines()
    for line in lines[:MAX_LINES]:
        yield f"    {line[:MAX_LINE]}{'…' if len(line) > MAX_LINE else ''}"
    if len(lines) > MAX_LINES:
        yield f"    … and {len(lines) - MAX_LINES} more lines"


def _result(listed: Listed) -> Iterator[str]:
    if listed.failure is not None:
        yield from wrapped(f"Not listed ({listed.failure})")
        return
    yield f"Listed in {listed.seconds * 1000:.1f} ms: {counted(len(listed.value), 'job')} found"
    for why, entries in listed.end.skipped.items():
        if entries:
            yield from wrapped(f"  skipped: {'1 entry' if entries == 1 else f'{entries} entries'} ({why})")
    if listed.end.incomplete:
        yield from wrapped(f"  incomplete: {listed.end.incomplete}")
    failures = [each.failure for each in listed.value.values() if each.failure is not None]
    if failures:
        yield from wrapped(f"  not readable: {counted(len(failures), 'job')}, the first: {failures[0]}")
    if alone := sum(not each.complete for each in listed.value.values()):
        yield f"  read by themselves as well: {counted(alone, 'job')}"


def _watched(listings: Sequence[ReadListing]) -> Iterator[str]:
    """How many of the jobs that were found `serve` watches."""
    last = listings[-1]
    if last.listed.failure is not None:
        return
    found: dict[str, Found] = {}
    found_by: dict[str, int] = {}
    for number, each in reversed(list(enumerate(listings))):
        found |= each.listed.value
        found_by |= dict.fromkeys(each.listed.value, number)
    plan = last.plan
    configured = {job.id for job in plan.jobs}
    both = len(found.keys() & configured)
    found = {job_id: each for job_id, each in found.items() if job_id not in configured}
    kept, dropped = chosen(
        found,
        {},
        newer_than=[keys.newer_than for keys in plan.discover],
        found_by=found_by,
        max_jobs=max(0, plan.max_jobs - len(plan.jobs)),
        now=listings[0].listed.read_at,
    )
    yield f"Watched: {len(kept)} of {counted(len(found), 'found job')}"
    if both:
        yield f"  found, and in jobs: as well: {counted(both, 'job')}"
    if dropped:
        yield f"  max_jobs leaves out {counted(dropped, 'job')}"
    if old := len(found) - len(kept) - dropped:
        yield f"  newer_than leaves out {counted(old, 'job')}"
