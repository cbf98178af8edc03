"""What each expression of the provider ``json`` finds in recorded responses, for ``list`` and ``probe``."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

from exporter.config_types import Expression
from exporter.expressions.budget import Budget, Misfit
from exporter.model.failure import Failure, reason_of_status
from exporter.model.http import Request, Response
from exporter.providers.base import Explained, Explanation, Found
from exporter.providers.json.discover_keys import ListKeys
from exporter.providers.json.listing import keys_of, listed

S = TypeVar("S")
T = TypeVar("T")

_NOTHING = "the expression found nothing"


def explained(
    expressions: Mapping[str, Expression | None], value: Any, notes: Mapping[str, str], budget: Budget
) -> list[Explained]:
    """What each expression finds in a value.

    Args:
        expressions: by key; ``None`` for one that is not configured.
        value: a JSON value, or a response that has one; nothing is found in any other.
        notes: by key.
    """
    # As in config_types.
    from exporter.expressions.tree import place_of_loss  # noqa: PLC0415

    if isinstance(value, Response):
        try:
            value = value.json()
        except Failure:
            return []  # the failure of the read says so
    rows = []
    for key, expression in expressions.items():
        if expression is None:
            continue
        note = notes.get(key, "")
        try:
            found = expression.find(value, budget)
        except Misfit as error:
            found, note = None, f"its expression {error}"
        there = place_of_loss(expression.source, value, budget) if found is None else None
        rows.append(Explained(key, expression.source, found, "" if note == _NOTHING else note, there))
    return rows


def explained_keys(keys: Mapping[str, Expression], entry: Any, budget: Budget) -> list[Explained]:
    """What the expressions of ``keys`` find in an entry, and why one of them is no key."""
    notes = {}
    for name, expression in keys.items():
        try:
            keys_of("keys", {name: expression}, entry, budget)
        except Failure as failure:
            notes[f"keys.{name}"] = why(failure)
    return explained({f"keys.{name}": each for name, each in keys.items()}, entry, notes, budget)


def why(failure: Failure) -> str:
    """The detail of a failure without the key at its beginning."""
    return failure.detail.partition(": ")[2] or failure.detail


class Replay:
    """The responses of a listing, read again.

    Args:
        responses: of all its pages, and of those of its parents before them, by number.
        budget: of the explanation.
    """

    def __init__(self, responses: Mapping[int, Response], budget: Budget) -> None:
        self._left = [*responses.items()]
        self._budget = budget

    def __bool__(self) -> bool:
        """Whether responses are left."""
        return bool(self._left)

    def pages(self, place: str, keys: ListKeys) -> Iterator[tuple[Explanation, list[Any]]]:
        """The explanation and the entries of each page of the next list.

        Args:
            place: of the keys in the configuration.
        """
        entries: list[Any] = []

        def find(entry: Any) -> tuple[Found, ...]:
            entries.append(entry)
            return ()

        steps = listed(place, keys, {}, find, self._budget)
        request: Request | Found | None = next(steps)
        while isinstance(request, Request) and self._left:
            number, response = self._left.pop(0)
            entries.clear()
            try:
                request = _answered(steps, request, response)
            except (StopIteration, Failure):
                request = None
            if 200 <= response.status < 300 or response.status in keys.accept:
                paging = keys.paging
                more = {} if paging is None else {"paging.next": paging.next, "paging.total": paging.total}
                rows = explained(
                    {"error": keys.error, "items": keys.items, **more}, response, {}, self._budget
                )
                yield (f"Response {number} ({place})", rows), [*entries]
        steps.close()


def replayed(steps: Generator[Request, Response, T], responses: Iterable[Response]) -> T | None:
    """What a read returns for its responses; ``None`` if it fails, or needs more of them."""
    try:
        request = next(steps)
        for response in responses:
            request = _answered(steps, request, response)
    except StopIteration as stop:
        return cast("T", stop.value)
    except Failure:
        return None
    finally:
        steps.close()
    return None


def _answered(steps: Generator[S, Any, Any], request: Request, response: Response) -> S:
    """What a generator yields after a response, which is sent or thrown as in a read."""
    if 200 <= response.status < 300 or response.status in request.expect:
        return steps.send(response)
    return steps.throw(Failure(reason_of_status(response.status)))
