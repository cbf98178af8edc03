"""The key ``states:``: the vendor's words for each state, as a user writes them."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from exporter.model.job import State
from exporter.providers.values import MAX_TEXT, text

MAX_WORDS = 100


def _word(value: str) -> str:
    # Words of responses are shortened in the same way before they are compared and shown.
    if not (word := text(value)):
        raise ValueError("must not be blank")
    return word


def _one_state_a_word(states: dict[State, list[str]]) -> dict[State, list[str]]:
    seen: dict[str, tuple[State, int]] = {}
    for state, words in states.items():
        for index, word in enumerate(words):
            first, at = seen.setdefault(word.casefold(), (state, index))
            if first is not state:
                raise ValueError(f"{first}[{at}] and {state}[{index}] are one word, which can have one state")
    return states


_Word = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_word)]

StateName = Annotated[State, Field(strict=False)]

StateWords = Annotated[
    dict[StateName, Annotated[list[_Word], Field(min_length=1, max_length=MAX_WORDS)]],
    AfterValidator(_one_state_a_word),
]
"""The vendor's words for each state; case is ignored, and no word has two states."""


def by_word(states: Mapping[State, list[str]]) -> dict[str, State]:
    """The state of each word of a `StateWords`; the words in lower case."""
    return {word.casefold(): state for state, words in states.items() for word in words}
