"""What a simulated Studio of CrafterCMS shows of its publish cycles.

The steps are those of the server's code and of responses that were recorded from servers: every item of all
due packages is prepared, then all are deployed in one commit, which succeeds or fails as a whole.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from exporter.simulator.lives import End, Life, Moment, Phase, World
from exporter.simulator.responses import guid, to_second

_USER = "k.lindqvist"
# Shares of the work of a cycle. A commit begins and ends with work that is not counted.
_PREPARED = 0.25
_DEPLOYING = _PREPARED + 0.005  # in between there is no counter
_COUNTED = (0.3, 0.9)
_SUBMITTED = 0.6  # a package for a later time
_COUNTER_STAYS_SECONDS = 0.8
_REMEMBERED = 60  # cycles of a site whose packages are listed


def _packages(moment: Moment) -> list[str]:
    """The ids of the packages of a cycle."""
    return [guid(moment.key, each) for each in range(moment.draw("packages").randint(1, 3))]


def _package(moment: Moment, share: float) -> str:
    """The package that contains the item at this share of the items of a cycle."""
    ids = _packages(moment)
    return ids[min(len(ids) - 1, int(share * len(ids)))]


def message(moment: Moment) -> tuple[str | None, str]:
    """Status and message of a 3.0. A person stops publishing when a "canceled" cycle is over."""
    match moment.phase:
        case Phase.UNBORN:
            return "idle", "Idle"
        case Phase.QUEUED:
            return "queued", "Items queued for publishing"
        case Phase.ENDED if moment.end is End.FAILED:
            # The path is empty where the commit fails and not an item.
            return "stopped", f"Stopped while trying to publish item:  on {to_second(moment.ended_at)}"
        case Phase.ENDED if moment.end is End.CANCELED:
            return "stopped", f"User {_USER} disabled publishing for site on {to_second(moment.ended_at)}"
        case Phase.ENDED if moment.end is End.ODD:
            # A text that an administrator changed and that has no "|" between status and message.
            return None, "Publishing is being looked after"
    items = moment.draw("items").randint(6, 40)
    if moment.phase is Phase.ENDED or (moment.phase is Phase.ENDING and moment.end is End.CANCELED):
        when = to_second(moment.at(moment.done))
        package = _package(moment, 1)
        return "idle", f"Last successful publish was for package: {package} on {when} with {items} items"
    item = min(items - 1, int(moment.done / _PREPARED * items))
    package = _package(moment, item / items)
    first = item == 0 or package != _package(moment, (item - 1) / items)
    # The message of a package follows that of its first item.
    prepared = _PREPARED * (item + 0.5) / items
    if first and moment.done >= prepared:
        return "publishing", f"Currently publishing package: {package} on {to_second(moment.at(prepared))}"
    when = to_second(moment.at(_PREPARED * item / items))
    return "busy", f"Currently publishing item: /site/website/news/{item + 1}/index.xml on {when}"


def status(moment: Moment, *, staging: bool = False, planned: bool = False) -> dict[str, Any]:
    """``publishingStatus`` of a 4.1.

    Args:
        moment: the newest cycle of the site.
        staging: the site has a staging target too, which the counter of a commit counts first.
        planned: a package for a later time is submitted while the cycle runs.
    """
    word, total = _word(moment, planned=planned), moment.items[0]
    stopped = moment.end is End.CANCELED and moment.phase in (Phase.ENDING, Phase.ENDED)
    counter = _counter(moment, total, staging=staging)
    submission = None if counter is None else _package(moment, max(counter - 1, 0) % total / total)
    return {
        "enabled": word != "error" and not stopped,
        "status": word,
        "lockOwner": None,
        "lockTTL": None,
        "publishingTarget": submission and "live",
        "submissionId": submission,
        "numberOfItems": counter or 0,
        "totalItems": 0 if counter is None else total,
        "published": moment.phase is not Phase.UNBORN,
    }


def _word(moment: Moment, *, planned: bool) -> str:
    # "Publish all" runs within its request, and only writes a word where paths have failed.
    if moment.phase is Phase.UNBORN or (moment.end is End.WITH_ERRORS and moment.phase is not Phase.ENDED):
        return "ready"
    match moment.phase:
        case Phase.QUEUED:
            return "queued"
        case Phase.ENDING if moment.end is End.CANCELED:
            return "stopped"
        case Phase.RUNNING | Phase.ENDING:
            if planned and moment.done >= _SUBMITTED:
                return "queued"
            return "processing" if moment.done < (_PREPARED + _DEPLOYING) / 2 else "publishing"
    ends = {
        End.SUCCEEDED: "queued" if planned else "ready",
        End.CANCELED: "ready",
        End.WITH_ERRORS: "readyWithErrors",
        End.ODD: "hibernating",
    }
    return ends.get(moment.end, "error")


def _counter(moment: Moment, total: int, *, staging: bool) -> int | None:
    """The counter of items, which a server has from the start of a cycle until a moment after its end."""
    if moment.started_at is None or moment.end is End.WITH_ERRORS:
        return None
    if moment.ended_at is not None and moment.now - moment.ended_at >= _COUNTER_STAYS_SECONDS:
        return None
    if moment.done < _PREPARED:
        return int(total * moment.done / _PREPARED)
    if moment.done < _DEPLOYING:
        return None
    begin, end = _COUNTED
    share = min(1.0, max(0.0, (moment.done - begin) / (end - begin)))
    return int((2 * total if staging else total) * share)


def cycles(world: World, job: str, life: Life) -> Iterator[Moment]:
    """The last cycles of a site, newest first."""
    newest = world.moment(job, life)
    for run in range(newest.run if newest else 0, 0, -1)[:_REMEMBERED]:
        if moment := world.moment(job, life, run):
            yield moment


def packages(moments: Iterable[Moment]) -> Iterator[tuple[str, str, Moment]]:
    """Id and state of each package of cycles that are sorted newest first, those that were published first.

    The packages of a cycle that failed wait until a person cancels them and starts publishing again.
    """
    rows = []
    for index, moment in enumerate(moments):
        state = "PROCESSING"
        if moment.phase is Phase.QUEUED:
            state = "READY_FOR_LIVE"
        elif moment.phase is Phase.ENDED:
            failed = "CANCELLED" if index else "READY_FOR_LIVE"
            state = failed if moment.end is End.FAILED else "COMPLETED"
        if moment.phase is not Phase.UNBORN and moment.end is not End.WITH_ERRORS:
            rows += [(each, state, moment) for each in _packages(moment)]
    yield from sorted(rows, key=lambda row: row[1] != "COMPLETED")
