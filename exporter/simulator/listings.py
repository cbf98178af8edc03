"""What the listings of simulated systems have in common: runs as jobs, and pages."""

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.simulator.lives import Life, Moment, World


@dataclass(frozen=True, slots=True)
class ListRow:
    """An entry of a listing, and its sort key."""

    at: float
    id: str
    entry: dict[str, Any]


def latest_runs(world: World, job: str, life: Life, number: int) -> Iterator[Moment]:
    """The newest runs of a job, so many; each must end within a cycle of its life."""
    newest = world.moment(job, life)
    if newest is not None:
        for run in range(newest.run - number + 1, newest.run + 1):
            if moment := world.moment(job, life, run):
                yield moment


def newest_first(rows: Iterable[ListRow]) -> list[ListRow]:
    """The rows in the order of listings."""
    return sorted(rows, key=lambda row: (row.at, row.id), reverse=True)


def page_after(rows: Sequence[ListRow], token: str | None, size: int) -> tuple[Sequence[ListRow], str | None]:
    """A page of rows that are sorted `newest_first`, and the token of the next one.

    A token contains the last row of its page, so that rows that are added or removed in between move no
    other row from one page to the next.

    Raises:
        ValueError: the token is not valid.
    """
    if token is not None:
        last = _decode(token)
        rows = [row for row in rows if (row.at, row.id) < last]
    page = rows[:size]
    return page, _encode(page[-1]) if len(rows) > len(page) else None


def _encode(row: ListRow) -> str:
    return base64.urlsafe_b64encode(f"{row.at!r} {row.id}".encode()).decode()


def _decode(token: str) -> tuple[float, str]:
    at, row_id = base64.b64decode(token, altchars=b"-_", validate=True).decode().split(" ")
    return float(at), row_id
