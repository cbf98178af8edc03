from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from exporter.config.errors import shown, translate
from exporter.config_types import Keys


class Inner(Keys):
    number: int | Literal["latest", "newest"] = 1
    raw: bytes = b""
    few: Annotated[list[str], Field(max_length=2)] = Field(default_factory=list)
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5


class Outer(Keys):
    by_name: dict[str, Inner | None]


def told(**keys: object) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"by_name": {"x": keys}})
    return {shown(place): text for place, text in translate(caught.value.errors(), Outer)}


def test_a_value_that_may_be_of_several_types_has_one_error() -> None:
    assert told(number="x") == {
        "by_name.x.number": "must be a whole number, or unknown value; allowed: latest, newest"
    }


def test_an_unknown_key_is_compared_with_those_of_its_own_place() -> None:
    assert told(numer=1) == {
        "by_name.x.numer": "unknown key; did you mean number? allowed: number, raw, few, share"
    }


def test_limits_are_told() -> None:
    assert told(few=["a", "b", "c"], share=2.0) == {
        "by_name.x.few": "must have at most 2 entries",
        "by_name.x.share": "must be less than 1.0",
    }


def test_an_error_without_words_of_ours_says_nothing_of_the_value() -> None:
    assert told(raw="hunter2") == {"by_name.x.raw": "is not allowed here"}


def test_a_key_that_looks_like_no_key_is_not_shown() -> None:
    assert shown(("systems", "a b", "jobs", 0, "Bearer hunter2")) == "systems.?.jobs[0].?"
