"""Tries whether a system can be read with its credential and its rights, with as few requests as possible."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from exporter.auth.jwt import jwt_expiry, jwt_scopes
from exporter.collector.explain_listing import ReadListing, read_listings
from exporter.collector.plan import Plan
from exporter.model.clock import Clock
from exporter.model.failure import Failure, Reason
from exporter.model.job import Job, Status
from exporter.providers.base import Found
from exporter.runtime.logging import counted
from exporter.upstream.reading import Listed
from exporter.upstream.recording import Recorder

SYSTEMS_AT_A_TIME = 16
MAX_JOBS = 5
"""Jobs that are read of one system: each can need rights of its own, and each costs requests."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One read, of the listing or of a job.

    Args:
        what: ``listing``, or the job's name or id.
        found: what the listing found, by ``job_id``.
        status: of the job.
        failure: why it could not be read.
        scopes: of the token that was sent; ``None`` if they are not known.
        expired: the token that was sent has expired.
        skipped: entries of the listing that name no job.
    """

    what: str
    found: Mapping[str, Found] | None = None
    status: Status | None = None
    failure: Failure | None = None
    scopes: frozenset[str] | None = None
    expired: bool = False
    skipped: int = 0

    @property
    def reason(self) -> Reason | None:
        """Of the failure."""
        return self.failure.reason if self.failure is not None else None


@dataclass(frozen=True, slots=True)
class Online:
    """What was tried of one system."""

    plan: Plan
    attempts: Sequence[Attempt]

    @property
    def works(self) -> bool:
        """Whether nothing failed."""
        return self.reason is None

    @property
    def reason(self) -> Reason | None:
        """Of the first failure."""
        return next((attempt.reason for attempt in self.attempts if attempt.failure is not None), None)


async def try_systems(plans: Iterable[Plan], clock: Clock) -> list[Online]:
    """Reads a part of each system, see `try_system`; the results are in the order of the plans."""
    slots = asyncio.Semaphore(SYSTEMS_AT_A_TIME)

    async def one(plan: Plan) -> Online:
        async with slots:
            return await try_system(plan, clock)

    return list(await asyncio.gather(*map(one, plans)))


async def try_system(plan: Plan, clock: Clock) -> Online:
    """Reads the listings of a system and some of its jobs.

    A listing can need other rights than the jobs in it, so one of them is read too.
    """
    attempts: list[Attempt] = []
    listings = await read_listings(plan.name, {plan.name: plan}) if plan.discover else []
    attempts += [_listing(each, clock) for each in listings]
    if any(attempt.reason is Reason.AUTH for attempt in attempts):
        return Online(plan, attempts)
    for job in _jobs(plan, listings):
        recorder = Recorder()
        reading = await plan.upstream.read(job, None, recorder)
        what = job.name or job.id
        attempts.append(_attempt(what, recorder, clock, reading.failure, status=reading.value))
        if reading.failure is not None and reading.failure.reason is Reason.AUTH:
            break
    return Online(plan, attempts)


def _jobs(plan: Plan, listings: Iterable[ReadListing]) -> Sequence[Job]:
    if plan.jobs:
        return plan.jobs[:MAX_JOBS]
    found = (each for listing in listings for each in listing.listed.value.values() if not each.complete)
    return [plan.job(each.keys, each.name) for each in list(found)[:1]]


def _listing(read: ReadListing, clock: Clock) -> Attempt:
    listed = read.listed
    attempt = _attempt(
        "listing", read.recorder, clock, listed.failure or _without_jobs(listed), found=listed.value
    )
    return replace(attempt, skipped=sum(listed.end.skipped.values()))


def _without_jobs(listed: Listed) -> Failure | None:
    """Why the jobs of a listing that was read cannot be read in it."""
    failures = [each.failure for each in listed.value.values() if each.failure is not None]
    if failures:
        count = f"{len(failures)} of {counted(len(listed.value), 'job')}"
        return Failure(failures[0].reason, f"{count} cannot be read: {failures[0].detail}")
    if listed.end.skipped and not listed.value:
        why, entries = max(listed.end.skipped.items(), key=lambda each: each[1])
        return Failure(Reason.INVALID_RESPONSE, f"{entries} entries and no job: {why}")
    return None


def _attempt(
    what: str,
    recorder: Recorder,
    clock: Clock,
    failure: Failure | None,
    *,
    found: Mapping[str, Found] | None = None,
    status: Status | None = None,
) -> Attempt:
    scopes = (jwt_scopes(value) for value in recorder.issued)
    ends = (jwt_expiry(value) for value in recorder.issued)
    return Attempt(
        what,
        None if failure is not None else found,
        status,
        failure,
        next((each for each in scopes if each is not None), None),
        any(end is not None and end < clock.time() for end in ends),
    )
